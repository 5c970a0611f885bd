"""What the verbs of ``gatelodge`` do: the same functions in the command's own process and beside a running server."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from gatelodge.cli import apps, auditing, operating, people, rights, server_parts, servers
from gatelodge.cli.seeding import make_org, new_app
from gatelodge.cli.verb import ACTOR, NotFound, Verb, knows_its_url, run_audited
from gatelodge.core import orgs, permissions, propagation, secrets, users
from gatelodge.core.apps import as_command, presets, registry
from gatelodge.core.apps.fields import Field, from_text
from gatelodge.core.apps.policies import FIELDS as POLICY_FIELDS
from gatelodge.core.apps.policies import Policies
from gatelodge.core.apps.settings import FIELDS, Settings, api_name_from
from gatelodge.core.errors import Refused
from gatelodge.core.ids import USER
from gatelodge.core.orgs import Org
from gatelodge.web.site import Site

MOST_LISTED = 1000
SHORTEST_PASSWORD = 12
EVERY = ("mcp_servers", "mcp_tools")
"""Policies whose None means every one."""


def answering(site: Site) -> Callable[[str, dict[str, Any]], Awaitable[object]]:
    """What a running server does with a verb that came over its control socket."""

    async def answer(verb: str, arguments: dict[str, Any]) -> object:
        return await perform(site, verb, arguments)

    return answer


async def perform(site: Site, verb: str, arguments: dict[str, Any]) -> object:
    """One verb of ``VERBS``. Raises ``NotFound``, ``Refused`` or ``Invalid``."""
    if verb not in VERBS:
        raise NotFound(f"this version of gatelodge has no command {verb!r}")
    found = await site.store.read(orgs.all_orgs, site.config.public_url)
    if not found:
        raise NotFound("this database has no org yet: start gatelodge dev or gatelodge serve once")
    name = str(arguments.pop("org", ""))
    org = next((org for org in found if org.name == name), None)
    if org is None:
        raise NotFound(f"there is no org named {name!r}; gatelodge org list shows them")
    return await VERBS[verb](site, org, arguments)


async def app_create(site: Site, org: Org, arguments: dict[str, Any]) -> object:
    """Register an app."""
    preset = presets.BY_NAME.get(arguments["preset"] or "other")
    if preset is None:
        raise Refused(f"there is no preset {arguments['preset']!r}; choose from {', '.join(presets.BY_NAME)}", "preset")
    settings = settings_of(arguments)
    made = new_app(site, org.id, settings, preset=preset.name, created_by=ACTOR)
    told: dict[str, Any] = {"actor": ACTOR, "now_ms": site.clock.now_ms(), "delay": site.config.delay}
    stored = await site.store.run(propagation.create_app, made, **told)
    return _app(stored)


def settings_of(arguments: dict[str, Any]) -> Settings:
    """The Settings that the flags of ``app create`` say, with what its preset fills in."""
    preset = presets.BY_NAME[arguments["preset"] or "other"]
    given = {field.name: arguments[field.name] for field in FIELDS if arguments.get(field.name) is not None}
    filled = preset.callback_urls if arguments["preset_callbacks"] else ()
    made = {
        "api_name": given.get("api_name") or api_name_from(given["label"]),
        "callback_urls": tuple(dict.fromkeys((*filled, *given.get("callback_urls", ())))),
        "scopes": tuple(filter(None, given.get("scopes", as_command.DEFAULT_SCOPES))),
    }
    return msgspec.convert(given | made, Settings)


async def app_list(site: Site, org: Org, arguments: dict[str, Any]) -> object:
    """The org's apps by API Name."""
    return [_app(app) for app in await site.store.read(registry.in_order, org.id, limit=MOST_LISTED)]


async def app_display(site: Site, org: Org, arguments: dict[str, Any]) -> object:
    """One app with its Settings and Policies. Raises ``NotFound``."""
    app = await apps.named(site, org, arguments["api_name"])
    live = await site.store.read(propagation.live_on, org.id, app.consumer_key, site.clock.now_ms())
    decided = {"settings": msgspec.structs.asdict(app.settings), "policies": _policies(app.policies)}
    return _app(app) | {"live_nodes": live.live_nodes, "nodes": live.nodes} | decided


async def app_policies(site: Site, org: Org, arguments: dict[str, Any]) -> object:
    """An app's policies, after the changes that are asked for. Raises ``NotFound``, ``Refused`` or ``Invalid``."""
    app = await apps.named(site, org, arguments["api_name"])
    if arguments["changes"]:
        app = await site.store.run(
            propagation.change_app,
            app,
            revision=app.revision,
            settings=app.settings,
            policies=changed_policies(app.policies, arguments["changes"]),
            actor=ACTOR,
            now_ms=site.clock.now_ms(),
            delay=site.config.delay,
        )
    return _policies(app.policies)


def changed_policies(policies: Policies, changes: list[str]) -> Policies:
    """Policies with these NAME=VALUE changes; one of a list may come several times. Raises ``Refused``."""
    fields = {field.name: field for field in POLICY_FIELDS}
    texts: dict[str, list[str]] = {}
    for change in changes:
        name, equals, value = change.partition("=")
        if not equals or name not in fields:
            raise Refused(f"--set {change!r:.80} must be NAME=VALUE; the names are {', '.join(fields)}", "set")
        texts.setdefault(name, []).append(value)
    values = {name: from_text(fields[name], _parts(fields[name], sent)) for name, sent in texts.items()}
    values |= {name: None for name in EVERY if values.get(name) == ("*",)}
    return msgspec.structs.replace(policies, **values)


def _parts(field: Field, sent: list[str]) -> tuple[str, ...]:
    return tuple(part for text in sent for part in text.split(",")) if field.kind == "list" else tuple(sent)


async def user_create(site: Site, org: Org, arguments: dict[str, Any]) -> object:
    """Make a user; a password that was made here is in the answer, once."""
    given = arguments["password"]
    if given is not None and len(given) < SHORTEST_PASSWORD:
        raise Refused(f"the password has {len(given)} characters; at least {SHORTEST_PASSWORD} are needed", "password")
    password = given or secrets.new_token()[:20]
    sets = (*([permissions.ADMINISTRATOR.api_name] if arguments["admin"] else []), *arguments["permission_sets"])
    user_id = secrets.new_id(USER)
    said: dict[str, object] = {"username": arguments["username"], "permission_sets": sets}
    made = await run_audited(
        site, org, "user:account:create", user_id, said, users.create,
        id=user_id,
        org_id=org.id,
        username=arguments["username"],
        name=arguments["name"] or arguments["username"],
        email=arguments["email"] or arguments["username"],
        password_hash=await site.passwords.hash(password),
        permission_sets=sets,
        time_zone=org.preferences.time_zone,
        now=site.clock.now(),
    )  # fmt: skip
    return _user(made) | {"permission_sets": list(sets)} | ({} if given else {"password": password})


async def user_list(site: Site, org: Org, arguments: dict[str, Any]) -> object:
    """The org's users by name."""
    return [_user(user) for user in await site.store.read(users.in_order, org.id, limit=MOST_LISTED)]


async def org_create(site: Site, org: Org, arguments: dict[str, Any]) -> object:
    """Add an org at a path of the deployment. Raises ``Refused`` when the name is taken."""
    known = await site.store.read(orgs.all_orgs, site.config.public_url)
    if arguments["name"] in [each.name for each in known]:
        raise Refused(f"an org named {arguments['name']!r} exists already; choose another name", "name")
    made = await make_org(
        site, name=arguments["name"], label=arguments["label"] or arguments["name"], kind=arguments["kind"]
    )
    return _org(site, made)


async def org_list(site: Site, org: Org, arguments: dict[str, Any]) -> object:
    """The deployment's orgs."""
    return [_org(site, each) for each in await site.store.read(orgs.all_orgs, site.config.public_url)]


def _app(app: registry.ExternalClientApp) -> dict[str, Any]:
    return {
        "id": app.id,
        "api_name": app.settings.api_name,
        "name": app.settings.label,
        "consumer_key": app.consumer_key,
        "callback_urls": list(app.settings.callback_urls),
        "scopes": list(app.settings.scopes),
        "preset": app.preset,
        "is_enabled": app.policies.is_enabled,
        "revision": app.revision,
    }


def _policies(policies: Policies) -> dict[str, Any]:
    """As ``--set`` takes them: every MCP server and every tool are written ``*``."""
    return msgspec.structs.asdict(policies) | {name: "*" for name in EVERY if getattr(policies, name) is None}


def _user(user: users.User) -> dict[str, Any]:
    return {"id": user.id, "username": user.username, "name": user.name, "is_active": user.is_active}


def _org(site: Site, org: Org) -> dict[str, Any]:
    path = f"/o/{org.name}" if org.name else "/"
    shown = {"id": org.id, "name": org.name, "label": org.label, "kind": org.kind, "path": path}
    return shown | ({"issuer": org.issuer} if knows_its_url(site) else {})


VERBS: dict[str, Verb] = {
    **auditing.VERBS,
    **operating.VERBS,
    **rights.VERBS,
    **server_parts.VERBS,
    **servers.VERBS,
    **apps.VERBS,
    "user reset-link": people.reset_link,
    "identity-provider add": people.provider_add,
    "identity-provider list": people.provider_list,
    "identity-provider remove": people.provider_remove,
    "app create": app_create,
    "app list": app_list,
    "app display": app_display,
    "app policies": app_policies,
    "user create": user_create,
    "user list": user_list,
    "org create": org_create,
    "org list": org_list,
}
