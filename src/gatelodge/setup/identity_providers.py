"""Identity providers: OpenID providers whose users may sign in here. A provider is asked who it is before it is added."""

import msgspec
from starlette.responses import Response

from gatelodge.core import audit, identity_providers, permissions, secrets
from gatelodge.core.errors import Refused
from gatelodge.core.identity_providers import IdentityProvider, Rules
from gatelodge.core.ids import IDENTITY_PROVIDER
from gatelodge.core.operation import Operation
from gatelodge.core.permissions import SYSTEM, PermissionSet
from gatelodge.setup.acting import actor_of
from gatelodge.setup.frame import Visit
from gatelodge.web import upstream
from gatelodge.web.addresses import client_address
from gatelodge.web.errors import BadRequest
from gatelodge.web.upstream import NotVouched
from gatelodge.words import _

PATH = "/setup/identity-providers"
FIELDS = ("name", "label", "issuer", "client_id", "username_claim", "groups_claim", "mapping")
EMPTY = dict.fromkeys(FIELDS, "") | {"username_claim": "email", "groups_claim": "groups"}


async def show_list(visit: Visit) -> Response:
    """GET /setup/identity-providers."""
    return await _list(visit, {})


async def change(visit: Visit) -> Response:
    """Remove one: nobody signs in by it any more, and the sessions of those who did end."""
    if visit.field("act") != "remove":
        raise BadRequest(_("{value!r:.40} can't be done with identity providers").format(value=visit.field("act")))
    name = visit.field("name")
    found = await visit.site.store.read(identity_providers.find, visit.org.id, name)
    if found is None:
        raise BadRequest(_("this org has no identity provider {name!r:.60}").format(name=name), 404)
    if visit.field("confirm").strip() != found.name:
        return await _list(visit, {name: _("Type the name {name} to remove it.").format(name=found.name)})
    actor, now_ms = visit.session.user.id, visit.site.clock.now_ms()
    await visit.site.store.run(removed, visit.org.id, name, actor=actor, now_ms=now_ms)
    return visit.go(PATH)


def removed(org_id: str, name: str, *, actor: str, now_ms: int) -> Operation[bool]:
    """Remove a provider with the sessions of its users, written down. True for exactly one caller."""
    if not (yield from identity_providers.remove(org_id, name)):
        return False
    yield from audit.record(org_id, now_ms, actor, "org:identity_provider:remove", name, {})
    return True


def added(made: IdentityProvider, *, actor: str, now_ms: int) -> Operation[None]:
    """Add a provider, written down. Raises ``Refused``."""
    yield from identity_providers.add(made)
    details: dict[str, object] = {"issuer": made.issuer, "rules": msgspec.to_builtins(made.rules)}
    yield from audit.record(made.org_id, now_ms, actor, "org:identity_provider:add", made.name, details)


async def show_new(visit: Visit) -> Response:
    """GET /setup/identity-providers/new."""
    return await _form(visit, EMPTY, (), {})


async def add(visit: Visit) -> Response:
    """POST /setup/identity-providers/new: ask the provider who it is; only then is it added."""
    values = {name: visit.field(name).strip() for name in FIELDS}
    chosen = visit.all("permission_sets")
    try:
        made = _made(visit, values, chosen)
        _check_gives(visit, made, await visit.site.store.read(permissions.of_org, visit.org.id))
        address = client_address(visit.request, visit.site.config)
        visit.site.limits.check(visit.org.id, "upstream new", address, visit.site.clock.now_ms())
        metadata = await upstream.discover(visit.site, made)
        if visit.field("act") == "test":
            found = {name: str(metadata[name]) for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")}
            return await _form(visit, values, chosen, {}, found)
        actor, now_ms = visit.session.user.id, visit.site.clock.now_ms()
        await visit.site.store.run(added, made, actor=actor, now_ms=now_ms)
    except Refused as refused:
        return await _form(visit, values, chosen, {refused.field: refused.message})
    except NotVouched as refused:
        return await _form(visit, values, chosen, {"issuer": refused.reason.here()})
    return visit.go(PATH)


def _made(visit: Visit, values: dict[str, str], chosen: tuple[str, ...]) -> IdentityProvider:
    if not values["client_id"]:
        raise Refused(
            _("The client id is missing: the provider gives it to you when you register this org."), "client_id"
        )
    made = IdentityProvider(
        id=secrets.new_id(IDENTITY_PROVIDER),
        org_id=visit.org.id,
        name=values["name"],
        label=values["label"] or values["name"],
        issuer=values["issuer"],
        client_id=values["client_id"],
        sealed=visit.site.ring.seal(
            identity_providers.PURPOSE,
            visit.field("client_secret").strip().encode(),
            identity_providers.row_name(visit.org.id, values["name"]),
        ),
        rules=Rules(
            username_claim=values["username_claim"] or "email",
            groups_claim=values["groups_claim"] or "groups",
            mapping=dict(_pair(line) for line in values["mapping"].splitlines() if line.strip()),
            permission_sets=chosen,
            links_by_username=visit.field("links_by_username") == "on",
            allows_private_addresses=visit.field("allows_private_addresses") == "on",
        ),
        created_at=visit.site.clock.now(),
    )
    identity_providers.check_issuer(made)
    return made


def _pair(line: str) -> tuple[str, str]:
    value, equals, api_name = (part.strip() for part in line.rpartition("="))
    if not equals or not value or not api_name:
        raise Refused(
            _("{line} must be VALUE=PERMISSION_SET, such as admins=Administrator.").format(line=line), "mapping"
        )
    return value, api_name


def _check_gives(visit: Visit, made: IdentityProvider, known: list[PermissionSet]) -> None:
    """Who names a provider could come by it themselves: it gives nothing, and leads into no account, that they may not
    have. Raises ``Refused``.
    """
    by = actor_of(visit)
    given = (*made.rules.permission_sets, *made.rules.mapping.values())
    system = tuple({each for one in known if one.api_name in given for each in one.system})
    if beyond := by.beyond(system):
        raise Refused(
            _("You can't give what you may not do yourself: {beyond}.").format(beyond=", ".join(sorted(beyond))),
            "permission_sets",
        )
    if made.rules.links_by_username and by.beyond(SYSTEM):
        raise Refused(
            _(
                "A provider that is trusted with usernames leads into every account: only who may do everything adds one."
            ),
            "links_by_username",
        )


async def _list(visit: Visit, errors: dict[str, str]) -> Response:
    store, org_id = visit.site.store, visit.org.id
    counts = await store.read(identity_providers.counts, org_id)
    rows = [
        {"provider": each, "users": counts.get(each.id, 0)}
        for each in await store.read(identity_providers.of_org, org_id)
    ]
    return visit.page(
        "identity_providers.html",
        title=_("Identity Providers"),
        status=422 if errors else 200,
        rows=rows,
        errors=errors,
        way_back=upstream.redirect_uri(visit.org),
    )


async def _form(
    visit: Visit,
    values: dict[str, str],
    chosen: tuple[str, ...],
    errors: dict[str, str],
    answered: dict[str, str] | None = None,
) -> Response:
    return visit.page(
        "identity_provider_new.html",
        title=_("New Identity Provider"),
        status=422 if errors else 200,
        values=values,
        chosen=chosen,
        errors=errors,
        answered=answered or {},
        links_by_username=visit.field("links_by_username") == "on",
        allows_private_addresses=visit.field("allows_private_addresses") == "on",
        sets=await visit.site.store.read(permissions.of_org, visit.org.id),
        way_back=upstream.redirect_uri(visit.org),
    )
