"""What ``gatelodge user reset-link`` and ``gatelodge identity-provider`` do."""

from typing import Any

from gatelodge.cli.verb import ACTOR, NotFound, knows_its_url, run_audited
from gatelodge.core import identity_providers, secrets, users
from gatelodge.core.errors import Refused
from gatelodge.core.identity_providers import IdentityProvider, Rules
from gatelodge.core.ids import IDENTITY_PROVIDER
from gatelodge.core.orgs import Org
from gatelodge.setup.people import make_link
from gatelodge.web import upstream
from gatelodge.web.site import Site


async def reset_link(site: Site, org: Org, arguments: dict[str, Any]) -> object:
    """A one-time link to a new password, in the answer alone. Raises ``NotFound`` or ``Refused``."""
    if not knows_its_url(site):
        raise Refused(
            "no server runs here, and without it this command doesn't know the public URL that the link begins with:"
            " start the server, or set GATELODGE_PUBLIC_URL, or name its --config"
        )
    user = await site.store.read(users.find_by_username, org.id, arguments["username"])
    if user is None:
        raise NotFound(f"this org has no user {arguments['username']!r}; gatelodge user list shows them")
    link = await make_link(site, org, user, actor=ACTOR)
    return {"username": user.username, "link": link, "minutes": 30}


async def provider_add(site: Site, org: Org, arguments: dict[str, Any]) -> object:
    """Let the users of an OpenID provider sign in. Raises ``Refused``."""
    mapping = dict(_pair(text) for text in arguments["map"])
    secret = arguments["client_secret"] or ""
    made = IdentityProvider(
        id=secrets.new_id(IDENTITY_PROVIDER),
        org_id=org.id,
        name=arguments["name"],
        label=arguments["label"] or arguments["name"],
        issuer=arguments["issuer"],
        client_id=arguments["client_id"],
        sealed=site.ring.seal(
            identity_providers.PURPOSE, secret.encode(), identity_providers.row_name(org.id, arguments["name"])
        ),
        rules=Rules(
            scopes=tuple(dict.fromkeys(("openid", *(arguments["scope"] or ("profile", "email"))))),
            username_claim=arguments["username_claim"],
            groups_claim=arguments["groups_claim"],
            mapping=mapping,
            permission_sets=tuple(arguments["permission_sets"]),
            links_by_username=arguments["link_by_username"],
            allows_private_addresses=arguments["allow_private_addresses"],
        ),
        created_at=site.clock.now(),
    )
    identity_providers.check_issuer(made)
    said: dict[str, object] = {"name": made.name, "issuer": made.issuer, "client_id": made.client_id}
    await run_audited(site, org, "org:identity_provider:add", made.id, said, identity_providers.add, made)
    return _provider(site, org, made)


async def provider_list(site: Site, org: Org, arguments: dict[str, Any]) -> object:
    """The org's providers."""
    return [_provider(site, org, each) for each in await site.store.read(identity_providers.of_org, org.id)]


async def provider_remove(site: Site, org: Org, arguments: dict[str, Any]) -> object:
    """Let nobody sign in through a provider any more. Raises ``NotFound``."""
    name = arguments["name"]
    removing = identity_providers.remove
    if not await run_audited(site, org, "org:identity_provider:remove", name, {"name": name}, removing, org.id, name):
        raise NotFound(f"this org has no identity provider {arguments['name']!r}; identity-provider list shows them")
    return {"removed": arguments["name"]}


def _pair(text: str) -> tuple[str, str]:
    value, equals, api_name = text.rpartition("=")
    if not equals or not value or not api_name:
        raise Refused(f"--map {text!r} must be VALUE=PERMISSION_SET, for example admins=Administrator", "map")
    return value, api_name


def _provider(site: Site, org: Org, each: IdentityProvider) -> dict[str, Any]:
    way_back = {"redirect_uri": upstream.redirect_uri(org)} if knows_its_url(site) else {}
    return way_back | {
        "name": each.name,
        "label": each.label,
        "issuer": each.issuer,
        "client_id": each.client_id,
        "username_claim": each.rules.username_claim,
        "groups_claim": each.rules.groups_claim,
        "mapping": [f"{value}={api_name}" for value, api_name in each.rules.mapping.items()],
        "permission_sets": list(each.rules.permission_sets),
        "links_by_username": each.rules.links_by_username,
        "allows_private_addresses": each.rules.allows_private_addresses,
    }
