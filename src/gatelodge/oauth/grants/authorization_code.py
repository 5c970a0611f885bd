"""The authorization code grant (RFC 6749 §4.1.3, RFC 7636 §4.5)."""

from gatelodge.core import connections, refresh, secrets
from gatelodge.core.connections import Connection, Proof
from gatelodge.core.errors import Denied
from gatelodge.core.mcp_servers import canonical
from gatelodge.core.operation import Operation
from gatelodge.core.orgs import Org
from gatelodge.core.propagation import LiveClient
from gatelodge.core.refresh import Family
from gatelodge.core.scopes import REFRESH_TOKEN
from gatelodge.oauth import pkce
from gatelodge.oauth.errors import OAuthError
from gatelodge.oauth.grants.granted import Granted
from gatelodge.web.site import Site


async def exchange(site: Site, org: Org, client: LiveClient, form: dict[str, str]) -> Granted | Denied:
    """Redeem a code. No scope parameter is read: RFC 6749 §4.1.3 defines none, the token inherits the code's."""
    code, verifier = form.get("code", ""), form.get("code_verifier", "")
    if not code:
        raise OAuthError("invalid_request", "code is missing")
    if verifier and not pkce.is_verifier(verifier):
        raise OAuthError("invalid_grant", "invalid code verifier: it must be 43 to 128 of A-Z a-z 0-9 - . _ ~")
    proof = Proof(
        client_id=client.client_id,
        redirect_uri=form.get("redirect_uri"),
        code_challenge=pkce.challenge_of(verifier) if verifier else "",
        resource=canonical(form["resource"]) if "resource" in form else None,
    )
    now = site.clock.now()
    fresh = Family(
        id=secrets.new_token()[:22],
        org_id=org.id,
        connection_id="",
        salt=secrets.new_token(),
        n=1,
        recent=(),
        expires_at=now + refresh.IDLE_LIFETIME,
    )
    return await site.store.run(redeem, org.id, secrets.digest(code), proof, fresh, now)


def redeem(org_id: str, digest: str, proof: Proof, fresh: Family, now: int) -> Operation[Granted | Denied]:
    """Begin the connection and, with the scope ``refresh_token``, its family."""
    begun = yield from connections.redeem(org_id, digest, proof, now)
    if not isinstance(begun, Connection):
        return begun
    family = None
    if REFRESH_TOKEN in begun.scopes:
        family = refresh.of(begun, fresh)
        yield from refresh.begin(family)
    return Granted(connection=begun, scopes=begun.scopes, family=family)
