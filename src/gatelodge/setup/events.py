"""Events of the audit as people read them: what happened, by whom, to what, and from what to what."""

import datetime as dt
from collections.abc import Mapping
from typing import Any, cast

import msgspec

from gatelodge.core import mcp_servers, server_terms, users
from gatelodge.core.apps import registry
from gatelodge.core.apps.policies import FIELDS as POLICIES
from gatelodge.core.apps.settings import FIELDS as SETTINGS
from gatelodge.core.audit import Filter, Recorded
from gatelodge.core.call_arguments import visible
from gatelodge.core.ids import APP, MCP_SERVER, USER, is_id
from gatelodge.core.org_options import APP_RULES, PREFERENCES
from gatelodge.setup.frame import Visit
from gatelodge.web import moments
from gatelodge.words import _, mark

WORDS = {
    "app:settings:create": mark("Created an app"),
    "app:settings:change": mark("Changed an app"),
    "app:settings:delete": mark("Deleted an app"),
    "app:settings:restore": mark("Restored a deleted app"),
    "app:secret:make": mark("Made a consumer secret"),
    "app:secret:stage": mark("Staged a new consumer secret"),
    "app:secret:apply": mark("Applied a staged consumer secret"),
    "app:secret:discard": mark("Discarded a staged consumer secret"),
    "app:page:make": mark("Made the page for an app's users"),
    "app:page:off": mark("Switched off the page for an app's users"),
    "app:page:replace": mark("Made another link to the page for an app's users"),
    "app:usage:revoke_all": mark("Signed everybody out of an app"),
    "approval:call:approve": mark("Approved a call"),
    "approval:call:decline": mark("Declined a call"),
    "approval:rule:set": mark("Had a tool ask a person first"),
    "approval:rule:remove": mark("Let a tool be called unasked"),
    "app:connected_app:import": mark("Imported a Connected App"),
    "audit:events:purge": mark("Removed old events"),
    "calls:records:purge": mark("Removed old records of calls"),
    "calls:records:lost": mark("Lost records of calls"),
    "calls:records:crash": mark("A node ended without a word"),
    "connection:scopes:allow": mark("Allowed an app more"),
    "connection:session:end": mark("A connection ended"),
    "org:scopes:change": mark("Changed the org's own scopes"),
    "org:access:revoke": mark("Revoked all access from before a time"),
    "org:recording:change": mark("Changed what is kept"),
    "org:settings:change": mark("Changed the org's settings"),
    "org:settings:create": mark("Made the org"),
    "org:signing_key:rotate": mark("Rotated the signing key"),
    "server:register": mark("Added an MCP server"),
    "server:activate": mark("Activated an MCP server"),
    "server:deactivate": mark("Deactivated an MCP server"),
    "server:change": mark("Changed an MCP server"),
    "server:remove": mark("Removed an MCP server"),
    "server:origins:change": mark("Changed which pages may call a server"),
    "server:database:mapping": mark("Changed how a database is shown"),
    "server:database:password": mark("Set a database's password"),
    "server:items:read": mark("Read what a server offers"),
    "server:item:accept": mark("Accepted a changed tool"),
    "server:item:change": mark("Changed a tool"),
    "server:item:forget": mark("Removed a tool that is gone"),
    "org:identity_provider:add": mark("Added an identity provider"),
    "org:identity_provider:remove": mark("Removed an identity provider"),
    "setup:password_link:create": mark("Made a password link"),
    "setup:authorization:end": mark("Took back a user's access to an app"),
    "setup:permission_set:change": mark("Changed a permission set"),
    "setup:permission_set:create": mark("Created a permission set"),
    "setup:permission_set:delete": mark("Deleted a permission set"),
    "setup:sessions:end": mark("Ended a user's sessions"),
    "setup:sessions:end_all": mark("Ended everybody's sessions"),
    "sign_in:passkey:copied": mark("Refused a copied passkey"),
    "sign_in:recovery_code:use": mark("Used a recovery code"),
    "sign_in:session:end": mark("Signed out"),
    "sign_in:session:verify": mark("Proved again who they are"),
    "sign_in:user:failure": mark("Failed to sign in"),
    "sign_in:user:success": mark("Signed in"),
    "upstream:grant:connect": mark("Connected an account at a server"),
    "upstream:grant:disconnect": mark("Disconnected an account at a server"),
    "upstream:grant:lose": mark("Lost an account at a server"),
    "upstream:secret:remove": mark("Removed a server's credential"),
    "upstream:secret:set": mark("Set a server's credential"),
    "upstream:user:create": mark("Came for the first time by an identity provider"),
    "upstream:user:follow": mark("Changed as the identity provider says"),
    "upstream:user:link": mark("Was linked to an identity provider"),
    "user:account:activate": mark("Activated a user"),
    "user:account:change": mark("Changed a user"),
    "user:account:create": mark("Created a user"),
    "user:account:deactivate": mark("Deactivated a user"),
    "user:account:delete": mark("Deleted a user"),
    "user:authorization:end": mark("Took back an app's access"),
    "user:consent:decline": mark("Declined an app"),
    "user:consent:give": mark("Allowed an app"),
    "user:password:change": mark("Changed their password"),
    "user:password:reset": mark("Set a new password by a link"),
    "user:permission_set:assign": mark("Gave a permission set"),
    "user:permission_set:unassign": mark("Took a permission set away"),
    "user:preferences:change": mark("Changed their preferences"),
    "user:session:end": mark("Ended a session of their own"),
    "user:totp:confirm": mark("Set up an authenticator app"),
    "user:totp:remove": mark("Removed an authenticator app"),
    "user:passkey:add": mark("Added a passkey"),
    "user:passkey:remove": mark("Removed a passkey"),
    "user:recovery_codes:create": mark("Made new recovery codes"),
}
"""What the tags are called. One that isn't here is shown as it is."""
LONGEST = 200
"""Characters of a value on a page; an export has it whole."""


class Detail(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that an event tells: a field with what it was and became, or a remark."""

    name: str
    before: str = ""
    after: str
    is_change: bool = False


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """An event as a list shows it. ``actor`` and ``subject`` are names where there are any; ``link`` leads to the
    subject, "" to nothing.
    """

    event: Recorded
    at: int
    words: str
    actor: str
    subject: str
    link: str
    details: list[Detail]


PROGRAMS = {name: name for name in (mark("the command line"), mark("the node"), mark("the health probe"))}
"""Who acts without being a user, as the audit names them."""


async def lines(visit: Visit, found: list[Recorded]) -> list[Line]:
    """These events with the names of who and what they tell of."""
    names: dict[str, str] = {}
    for each in found:
        for record_id in (each.actor, each.subject, *filter(_is_named, each.told().values())):
            if record_id not in names:
                names[record_id] = await name_of(visit, record_id)
    return [
        Line(
            event=each,
            at=each.at // 1000,
            words=_(WORDS[each.tag]) if each.tag in WORDS else each.tag,
            actor=_(PROGRAMS.get(each.actor, "")) or names[each.actor] or _("nobody"),
            subject=names[each.subject],
            link=_link(each.subject) if names[each.subject] != each.subject else "",
            details=details(each, names),
        )
        for each in found
    ]


def _is_named(value: object) -> bool:
    """Whether a detail is the id of something that people call by a name."""
    return isinstance(value, str) and any(is_id(value, kind) for kind in (USER, APP, MCP_SERVER))


async def name_of(visit: Visit, record_id: str) -> str:
    """What people call a record by, or the id where it has gone."""
    store, org_id = visit.site.store, visit.org.id
    if is_id(record_id, USER):
        user = await store.read(users.find, org_id, record_id)
        return user.username if user else record_id
    if is_id(record_id, APP):
        app = await store.read(registry.find, org_id, record_id)
        return app.settings.label if app else record_id
    if is_id(record_id, MCP_SERVER):
        servers = await store.read(mcp_servers.of_org, org_id)
        return next((each.label for each in servers if each.id == record_id), record_id)
    return visit.org.label if record_id == org_id else record_id


def _link(record_id: str) -> str:
    below = {USER: "/setup/users/", APP: "/setup/apps/"}.get(record_id[:3])
    return f"{below}{record_id}" if below else ""


LABELS = {
    "app": {field.name: field.label for field in (*SETTINGS, *POLICIES)},
    "server": server_terms.LABELS,
    "org": {field.name: field.label for field in (*PREFERENCES, *APP_RULES)},
}
"""What the fields of each kind are called on their own pages."""
NAMES = {
    "address": mark("address"),
    "agent": mark("browser"),
    "api_name": mark("API Name"),
    "app": mark("app"),
    "asks_first": mark("asks a person first"),
    "email": mark("e-mail"),
    "four_eyes": mark("by somebody else"),
    "is_active": mark("active"),
    "is_on": mark("on"),
    "kind": mark("kind"),
    "label": mark("label"),
    "level": mark("level"),
    "methods": mark("ways"),
    "name": mark("name"),
    "permission_sets": mark("permission sets"),
    "scopes": mark("scopes"),
    "session": mark("session"),
    "source": mark("source"),
    "username": mark("username"),
    "why": mark("why"),
}
"""What the remarks of other events are called; any other is called by its name in the audit."""


def details(event: Recorded, names: Mapping[str, str]) -> list[Detail]:
    """What an event tells, in order: changes and remarks; what it names by an id, by its name of ``names``."""
    made: list[Detail] = []
    for field, value in event.told().items():
        name = _(LABELS.get(event.kind, NAMES).get(field) or NAMES.get(field, field))
        if value in ("", None, [], {}):
            continue
        change = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
        if set(change) == {"from", "to"}:
            made.append(Detail(name=name, before=_text(change["from"]), after=_text(change["to"]), is_change=True))
        else:
            said = _(value) if field == "why" and isinstance(value, str) else value
            made.append(Detail(name=name, after=_text(names.get(said, said) if isinstance(said, str) else said)))
    return made


def _text(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "", True: _("yes"), False: _("no")}[value]
    if isinstance(value, str):
        text = value
    elif isinstance(value, list) and all(isinstance(each, str) for each in cast("list[Any]", value)):
        text = ", ".join(cast("list[str]", value))
    else:
        text = msgspec.json.encode(value).decode()
    return visible(text if len(text) <= LONGEST else f"{text[:LONGEST]}…")


async def asked(visit: Visit, query: dict[str, str], *, kind: str = "", person: str = "") -> Filter:
    """What a list was narrowed to: ``person`` is a username, ``from`` and ``to`` are days in the reader's zone. A
    ``kind`` or ``person`` that is given here can't be changed by the query.
    """
    since, until = _day(query.get("from", "")), _day(query.get("to", ""))
    wanted = query.get("subject", "").strip()
    return Filter(
        actors=await _names_of(visit, person or query.get("person", "").strip()),
        kind=kind or query.get("kind", ""),
        subject=await _id_of(visit, wanted),
        since=since,
        until=until + 86_400_000 if until else 0,
    )


async def _names_of(visit: Visit, typed: str) -> tuple[str, ...]:
    found = await _id_of(visit, typed)
    return tuple(dict.fromkeys((found, typed))) if typed else ()


async def _id_of(visit: Visit, typed: str) -> str:
    """A user by name or an app by API Name; anything else is taken as the id that was typed."""
    if "@" in typed:
        user = await visit.site.store.read(users.find_by_username, visit.org.id, typed)
        return user.id if user else typed
    app = await visit.site.store.read(registry.find_by_api_name, visit.org.id, typed) if typed else None
    return app.id if app else typed


def _day(typed: str) -> int:
    """The beginning of a day (2026-11-24) in the reader's zone, in epoch milliseconds; 0 for what is no day."""
    try:
        day = dt.datetime.fromisoformat(typed[:10])
    except ValueError:
        return 0
    return int(day.replace(tzinfo=moments.zone()).timestamp() * 1000)
