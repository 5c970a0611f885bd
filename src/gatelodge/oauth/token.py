"""The token endpoint (RFC 6749 §3.2): shared phases that no grant can skip."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from gatelodge.core import refresh
from gatelodge.core.errors import Denied
from gatelodge.core.orgs import Org
from gatelodge.oauth import issuing
from gatelodge.oauth.client_auth import Authenticated, authenticate, needs_more
from gatelodge.oauth.errors import NO_STORE, OAuthError, as_json
from gatelodge.oauth.grants import ALIASES, GRANTS, device_code
from gatelodge.oauth.grants.granted import Exchange, Grant, Granted
from gatelodge.web import dpop, forms
from gatelodge.web.addresses import client_address
from gatelodge.web.errors import BadRequest
from gatelodge.web.site import Site


class TokenAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer of RFC 6749 §5.1, with the original's own fields, which its clients read.

    ``expires_in`` is in seconds, ``issued_at`` in epoch milliseconds as text.
    """

    access_token: str
    token_type: str
    expires_in: int
    scope: str
    issued_at: str
    instance_url: str
    id: str
    token_format: str
    refresh_token: str = ""
    id_token: str = ""
    issued_token_type: str = ""


REFRESH = "refresh_token"


async def token(site: Site, org: Org, request: Request) -> Response:
    """Exchange a grant for tokens."""
    try:
        form = await body_of(request)
        authenticated = await authenticate(site, org, request, form)
        if form.get("response_type") == device_code.RESPONSE_TYPE and "grant_type" not in form:
            address = client_address(request, site.config)
            return await device_code.begin(site, org, authenticated, form, address=address)
        grant = _grant_of(authenticated, form)
        asked = Exchange(
            client=authenticated.client,
            is_proven=authenticated.is_proven,
            form=form,
            address=client_address(request, site.config),
            dpop_jkt=await dpop_jkt_of(site, org, request),
        )
        granted = await grant.exchange(site, org, asked)
        if isinstance(granted, Denied):
            raise OAuthError(granted.error, granted.description)
        answer = await _answer(site, org, asked, granted)
        if form["grant_type"] != REFRESH:
            site.calls.note_sign_in(org.id, authenticated.client.app_id)
    except OAuthError as refused:
        return as_json(refused)
    return Response(msgspec.json.encode(answer), headers=NO_STORE, media_type="application/json")


async def dpop_jkt_of(site: Site, org: Org, request: Request) -> str:
    """The thumbprint of the key that the request's DPoP proof was made with; "" without a proof (RFC 9449 §5).

    Raises ``OAuthError`` (invalid_dpop_proof).
    """
    try:
        return await dpop.thumbprint_of(site.store, site.clock, org, request)
    except dpop.BadProof as error:
        raise OAuthError("invalid_dpop_proof", f"the proof is refused: {error}") from None


async def body_of(request: Request) -> dict[str, str]:
    """The parameters of a request to an endpoint for clients, each once. Raises ``OAuthError`` (invalid_request)."""
    if request.scope["query_string"]:
        # Parameters in a URL end up in logs (RFC 6749 §2.3.1; OAuth 2.1 §3.2).
        raise OAuthError("invalid_request", "send the parameters in the body, not in the URL")
    try:
        return forms.once(await forms.read_form(request))
    except BadRequest as error:
        raise OAuthError("invalid_request", str(error), error.status if error.status == 413 else 400) from None  # noqa: PLR2004


def _grant_of(authenticated: Authenticated, form: dict[str, str]) -> Grant:
    """The grant that is asked for, if this app may use it and proved as much as it must. Raises ``OAuthError``."""
    if "grant_type" not in form:
        raise OAuthError("invalid_request", "grant_type is missing")
    grant = GRANTS.get(ALIASES.get(form["grant_type"], form["grant_type"]))
    if grant is None:
        raise OAuthError("unsupported_grant_type", f"grant type not supported; send one of: {', '.join(GRANTS)}")
    client = authenticated.client
    if missing := grant.lacks(client):
        raise OAuthError("unauthorized_client", f"oauth_flow_disabled: {client.api_name} lacks {missing}")
    if grant.needs_proof(client) and not authenticated.is_proven:
        raise needs_more(authenticated)
    return grant


async def _answer(site: Site, org: Org, asked: Exchange, granted: Granted) -> TokenAnswer:
    issued = await issuing.access_token(site, org, asked.client, granted, dpop_jkt=asked.dpop_jkt)
    return TokenAnswer(
        access_token=issued.text,
        token_type="DPoP" if asked.dpop_jkt else "Bearer",
        expires_in=issued.lifetime,
        scope=" ".join(granted.scopes),
        issued_at=str(site.clock.now_ms()),
        instance_url=org.issuer,
        id=f"{org.issuer}/id/{org.id}/{granted.connection.user_id}",
        token_format=issued.format,
        refresh_token=refresh.write(site.ring, granted.family) if granted.family else "",
        id_token=await issuing.id_token(site, org, asked.client, granted, issued),
        issued_token_type=granted.issued_token_type,
    )
