"""Pushed authorization requests (RFC 9126): a client sends its request to us first, and its user with a reference."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from gatelodge.core import pushed_requests, secrets
from gatelodge.core.errors import Refused
from gatelodge.core.orgs import Org
from gatelodge.core.pushed_requests import PushedRequest
from gatelodge.oauth import requests
from gatelodge.oauth.client_auth import Authenticated, authenticate, needs_more
from gatelodge.oauth.errors import NO_STORE, OAuthError, ToldToTheUser, as_json
from gatelodge.oauth.registered import check_client
from gatelodge.oauth.requests import AuthorizeRequest
from gatelodge.oauth.token import body_of, dpop_jkt_of
from gatelodge.web.addresses import client_address, network_of
from gatelodge.web.site import Site


async def push(site: Site, org: Org, request: Request) -> Response:
    """Check a request as the authorization endpoint would, and keep it for a minute."""
    try:
        form = await body_of(request)
        authenticated = await authenticate(site, org, request, form)
        if authenticated.client.settings.require_secret_for_web_server_flow and not authenticated.is_proven:
            raise needs_more(authenticated)
        if "request_uri" in form:
            raise OAuthError("invalid_request", "request_uri can't be pushed (RFC 9126 2.1)")
        asked_for = await _checked(site, org, authenticated, form, await dpop_jkt_of(site, org, request))
        reference = secrets.new_token()
        kept = _pushed(site, org, request, authenticated, asked_for, reference)
        try:
            await site.store.run(pushed_requests.keep, kept, site.clock.now())
        except Refused as refused:
            raise OAuthError("temporarily_unavailable", refused.message, 429) from None
    except OAuthError as refused:
        return as_json(refused)
    body = {"request_uri": f"{pushed_requests.URN}{reference}", "expires_in": pushed_requests.LIFETIME}
    return Response(msgspec.json.encode(body), 201, NO_STORE, media_type="application/json")


async def _checked(
    site: Site, org: Org, authenticated: Authenticated, form: dict[str, str], dpop_jkt: str
) -> AuthorizeRequest:
    """The request, after every check of the authorization endpoint. Raises ``OAuthError``."""
    sent = form | {"client_id": authenticated.client.client_id}
    if dpop_jkt and sent.setdefault("dpop_jkt", dpop_jkt) != dpop_jkt:  # RFC 9449 §10.1
        raise OAuthError("invalid_request", "dpop_jkt is not the thumbprint of the key of the DPoP proof")
    asked_for = requests.parse(list(sent.items()))
    try:
        asked = await check_client(site, org, asked_for)
    except ToldToTheUser as refused:
        raise OAuthError("invalid_request", f"{refused.code}: {refused}") from None
    for check in requests.TOLD_TO_THE_CLIENT:
        check(asked)
    return asked_for


def _pushed(
    site: Site,
    org: Org,
    request: Request,
    authenticated: Authenticated,
    asked_for: AuthorizeRequest,
    reference: str,
) -> PushedRequest:
    digest = secrets.digest(reference)
    return PushedRequest(
        digest=digest,
        org_id=org.id,
        client_id=asked_for.client_id,
        # Who proved who they are sends for all its users; whoever else is at an address has a limit.
        address="" if authenticated.is_proven else network_of(client_address(request, site.config)),
        request=msgspec.json.encode(msgspec.structs.replace(asked_for, pushed=digest)).decode(),
        expires_at=site.clock.now() + pushed_requests.LIFETIME,
    )
