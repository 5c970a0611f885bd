"""Before a change of an app is saved: what changes, and what follows for whoever uses it. Also what two people who edit
one app are shown.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
from starlette.responses import Response

from gatelodge.core import consequences
from gatelodge.core.apps.fields import Field
from gatelodge.core.apps.policies import FIELDS as POLICY_FIELDS
from gatelodge.core.apps.policies import Policies
from gatelodge.core.apps.registry import ExternalClientApp
from gatelodge.core.apps.settings import FIELDS, Settings
from gatelodge.setup.frame import Visit
from gatelodge.words import _, ngettext

T = TypeVar("T", Settings, Policies)

HIDDEN = ("form_token", "confirmed", "save")
"""Fields of the form that the question doesn't carry along."""


class Difference(msgspec.Struct, frozen=True):
    """A field that differs, as lines on both sides; ``name`` is the field's own."""

    name: str
    label: str
    before: tuple[str, ...]
    after: tuple[str, ...]


class Review(msgspec.Struct, frozen=True):
    """What a save would change, and what follows from it, as sentences."""

    differences: list[Difference]
    effects: list[str]


async def of_settings(visit: Visit, app: ExternalClientApp, typed: Settings) -> Review:
    """What saving these Settings would do."""
    found = await visit.site.store.read(consequences.of_settings, app, typed)
    return Review(differences(app.settings, typed, FIELDS), _sentences(found))


async def of_policies(visit: Visit, app: ExternalClientApp, typed: Policies) -> Review:
    """What saving these Policies would do."""
    found = await visit.site.store.read(consequences.of_policies, app, typed)
    return Review(differences(app.policies, typed, POLICY_FIELDS), _sentences(found))


def ask(visit: Visit, app: ExternalClientApp, review: Review, *, action: str) -> Response:
    """The question. Its form carries everything that was typed, so that both answers go on from there."""
    return visit.page(
        "app_review.html",
        title=_("Save these changes?"),
        app=app,
        action=action,
        review=review,
        fields=[(name, value) for name, value in visit.fields if name not in HIDDEN],
    )


def differences(before: T, after: T, fields: Sequence[Field]) -> list[Difference]:
    """The fields in which two of a kind differ, in the order of the form."""
    found: list[Difference] = []
    for field in fields:
        ours, theirs = getattr(before, field.name), getattr(after, field.name)
        if ours != theirs:
            found.append(Difference(field.name, _(field.label), _lines(field, ours), _lines(field, theirs)))
    return found


def taken(visit: Visit, typed: T, stored: T) -> T:
    """What was typed, with the field that was to be taken from the stored version ("" for none)."""
    name = visit.field("take")
    known = {field.name for field in (FIELDS if isinstance(typed, Settings) else POLICY_FIELDS)}
    return msgspec.structs.replace(typed, **{name: getattr(stored, name)}) if name in known else typed


def _lines(field: Field, value: Any) -> tuple[str, ...]:
    if field.kind == "flag":
        return (_("On") if value else _("Off"),)
    if field.kind == "choice":
        return (_(dict(field.choices)[value]),)
    if value is None:
        return (_("Every one"),)
    lines = value if field.kind == "list" else str(value).splitlines()
    return tuple(lines) or (_("None"),)


def _named(names: tuple[str, ...], every: str) -> str:
    return every if names == ("*",) else ", ".join(names)


def _sentences(found: consequences.Consequences) -> list[str]:
    """What follows, for people."""
    return [*_for_people(found), *_for_connections(found), *_for_servers(found)]


def _for_people(found: consequences.Consequences) -> list[str]:
    said: list[str] = []
    if found.signed_out:
        one = ngettext("{n} person is signed out of the app.", "{n} people are signed out of the app.", found.users)
        said.append(one.format(n=found.users))
    if found.may_use_before > found.may_use_after:
        counted = {"after": found.may_use_after, "before": found.may_use_before}
        said.append(
            _("{after} users may use the app, in place of {before}. The others are refused at their next call.").format(
                **counted
            )
        )
    said += [
        _("Clients that return to {url} can't sign anybody in any more.").format(url=url)
        for url in found.lost_callbacks
    ]
    if found.narrower_addresses:
        said.append(_("Who comes from another address than the trusted ranges is refused at the next call."))
    return said


def _for_connections(found: consequences.Consequences) -> list[str]:
    n, said = found.connections, list[str]()
    for scope, lost in found.lost_scopes.items():
        sentence = ngettext("{n} connection loses the scope {scope}.", "{n} connections lose the scope {scope}.", lost)
        said.append(sentence.format(n=lost, scope=scope))
    if found.need_secret:
        sentence = ngettext(
            "{n} connection can't be renewed without a secret.", "{n} connections can't be renewed without a secret.", n
        )
        said.append(sentence.format(n=n))
    if found.refresh_ends_sooner:
        sentence = ngettext(
            "{n} connection ends sooner: its refresh token lasts less long.",
            "{n} connections end sooner: their refresh tokens last less long.",
            n,
        )
        said.append(sentence.format(n=n))
    if found.run_as_ends:
        said.append(_("What the app does by itself as {user} ends.").format(user=found.run_as_ends))
    return said


def _for_servers(found: consequences.Consequences) -> list[str]:
    said: list[str] = []
    if found.lose_mcp:
        said.append(_("MCP servers refuse the access tokens that are issued from now on: they are no JWTs."))
    if found.lost_servers:
        names = _named(found.lost_servers, _("every other server"))
        said.append(_("The app is refused by {names}.").format(names=names))
    if found.lost_tools:
        names = _named(found.lost_tools, _("any other tool"))
        said.append(_("The app can't call {names} any more.").format(names=names))
    if found.is_read_only:
        said.append(_("Tools that write are refused to the app from now on."))
    return said
