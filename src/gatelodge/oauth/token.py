"""The token endpoint (RFC 6749 §3.2): shared phases that no grant can skip."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from gatelodge.core import refresh, secrets, tokens
from gatelodge.core.errors import Denied
from gatelodge.core.orgs import Org
from gatelodge.oauth.client_auth import authenticate
from gatelodge.oauth.errors import NO_STORE, OAuthError, as_json
from gatelodge.oauth.grants import GRANTS
from gatelodge.oauth.grants.granted import Granted
from gatelodge.web import forms
from gatelodge.web.errors import BadRequest
from gatelodge.web.site import Site


class TokenAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer of RFC 6749 §5.1. ``expires_in`` is in seconds."""

    access_token: str
    token_type: str
    expires_in: int
    scope: str
    refresh_token: str = ""


async def token(site: Site, org: Org, request: Request) -> Response:
    """Exchange a grant for tokens."""
    try:
        form = await _parse(request)
        client = await authenticate(site, org, request, form)
        grant = GRANTS.get(form.get("grant_type", ""))
        if grant is None:
            raise _no_such_grant(form)
        granted = await grant(site, org, client, form)
        if isinstance(granted, Denied):
            raise OAuthError(granted.error, granted.description)
        answer = await _render(site, org, granted)
    except OAuthError as refused:
        return as_json(refused)
    return Response(msgspec.json.encode(answer), headers=NO_STORE, media_type="application/json")


async def _parse(request: Request) -> dict[str, str]:
    if request.scope["query_string"]:
        # Parameters in a URL end up in logs (RFC 6749 §2.3.1; OAuth 2.1 §3.2).
        raise OAuthError("invalid_request", "send the parameters in the body, not in the URL")
    try:
        return forms.once(await forms.read_form(request))
    except BadRequest as error:
        raise OAuthError("invalid_request", str(error), error.status if error.status == 413 else 400) from None  # noqa: PLR2004


def _no_such_grant(form: dict[str, str]) -> OAuthError:
    if "grant_type" not in form:
        return OAuthError("invalid_request", "grant_type is missing")
    return OAuthError("unsupported_grant_type", f"grant type not supported; send one of: {', '.join(GRANTS)}")


async def _render(site: Site, org: Org, granted: Granted) -> TokenAnswer:
    keys = await site.live.keys(org.id)
    connection = msgspec.structs.replace(granted.connection, scopes=granted.scopes)
    claims = tokens.claims(connection, issuer=org.issuer, jti=secrets.new_token()[:22], now=site.clock.now())
    return TokenAnswer(
        access_token=tokens.sign(keys.signing, keys.kid, claims),
        token_type="Bearer",
        expires_in=tokens.LIFETIME,
        scope=claims.scope,
        refresh_token=refresh.write(site.ring, granted.family) if granted.family else "",
    )
