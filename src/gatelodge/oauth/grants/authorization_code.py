"""The authorization code grant (RFC 6749 §4.1.3, RFC 7636 §4.5)."""

from gatelodge.core import codes, refresh, secrets
from gatelodge.core.codes import Code, Proof
from gatelodge.core.errors import Denied
from gatelodge.core.mcp_servers import canonical
from gatelodge.core.operation import Operation
from gatelodge.core.orgs import Org
from gatelodge.core.refresh import Family
from gatelodge.oauth import pkce
from gatelodge.oauth.errors import OAuthError
from gatelodge.oauth.grants import admitting
from gatelodge.oauth.grants.granted import Exchange, Granted
from gatelodge.web.site import Site


async def exchange(site: Site, org: Org, asked: Exchange) -> Granted | Denied:
    """Redeem a code. No scope parameter is read: RFC 6749 §4.1.3 defines none, the token inherits the code's."""
    form = asked.form
    code, verifier = form.get("code", ""), form.get("code_verifier", "")
    if not code:
        raise OAuthError("invalid_request", "code is missing")
    if verifier and not pkce.is_verifier(verifier):
        raise OAuthError("invalid_grant", "invalid code verifier: it must be 43 to 128 of A-Z a-z 0-9 - . _ ~")
    proof = Proof(
        client_id=asked.client.client_id,
        redirect_uri=form.get("redirect_uri"),
        code_challenge=pkce.challenge_of(verifier) if verifier else "",
        resource=canonical(form["resource"]) if "resource" in form else None,
        dpop_jkt=asked.dpop_jkt,
    )
    digest, now = secrets.digest(code), site.clock.now()
    held = await site.store.read(codes.find, org.id, digest)
    if held is None:
        return codes.UNKNOWN
    if refusal := await admitting.refusal(site, org, asked, held.connection):
        return refusal
    fresh = admitting.fresh_family(asked.client, org, now)
    return await site.store.run(redeem, held, proof, fresh, now)


def redeem(held: Code, proof: Proof, fresh: Family | None, now: int) -> Operation[Granted | Denied]:
    """Begin the connection and, where one is due, its family."""
    code = yield from codes.redeem(held, proof, now)
    if isinstance(code, Denied):
        return code
    begun = code.connection
    family = yield from refresh.begin_for(begun, fresh)
    return Granted(
        connection=begun,
        scopes=begun.scopes,
        audience=begun.resource,
        family=family,
        has_id_token=True,
        nonce=code.nonce,
    )
