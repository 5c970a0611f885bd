"""The Authorization Code and Credentials Flow of the original: the app itself asks for the user's name and password, and
gets a code by POST. Off by default, and never beside ``mcp_api``: the app sees the password.

The password stands in the body or in HTTP Basic, never in a URL; it is compared and forgotten.
"""

import base64
import binascii

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from gatelodge.core import codes, connections, secrets
from gatelodge.core.apps import admission
from gatelodge.core.apps.policies import STANDARD
from gatelodge.core.apps.settings import LABELS
from gatelodge.core.connections import Connection
from gatelodge.core.ids import AUTHORIZATION, CONNECTION
from gatelodge.core.operation import Operation
from gatelodge.core.orgs import Org
from gatelodge.core.scopes import MCP_API
from gatelodge.live import LiveUser
from gatelodge.oauth import requests
from gatelodge.oauth.client_auth import check_rate
from gatelodge.oauth.errors import NO_STORE, OAuthError, ToldToTheUser, as_json
from gatelodge.oauth.registered import check_client
from gatelodge.oauth.requests import Asked
from gatelodge.oauth.steps import CODES
from gatelodge.web import forms
from gatelodge.web.addresses import client_address
from gatelodge.web.errors import BadRequest
from gatelodge.web.sign_in import try_password
from gatelodge.web.site import Site

HEADER = "auth-request-type"
NAMED_USER = "Named-User"
RESPONSE_TYPE = "code_credentials"
METHODS = ("pwd",)


class CodeAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the original answers, and our ``iss`` (RFC 9207)."""

    code: str
    iss: str
    state: str | None = None


async def answer(site: Site, org: Org, request: Request) -> Response:
    """POST to the authorization endpoint with ``Auth-Request-Type``: a code as JSON, bound like every other."""
    try:
        form = await _form_of(request)
        check_rate(site, org, request, form.get("client_id", ""))
        asked = await _asked(site, org, request, form)
        live_user = await _signed_in(site, org, request, form)
        _check_policies(site, org, request, asked, live_user)
        value = await _code(site, asked, live_user)
    except OAuthError as refused:
        return as_json(refused)
    body = CodeAnswer(code=value, iss=org.issuer, state=asked.request.state)
    return Response(msgspec.json.encode(body), headers=NO_STORE, media_type="application/json")


def header_is_missing() -> Response:
    """The refusal of a request that says by its parameter alone that it is for this flow."""
    return as_json(OAuthError("invalid_request", f"with response_type={RESPONSE_TYPE} send {HEADER}: {NAMED_USER}"))


async def _form_of(request: Request) -> dict[str, str]:
    if request.scope["query_string"]:
        raise OAuthError("invalid_request", "send the parameters in the body, not in the URL")
    kinds = request.headers.getlist(HEADER)
    if [kind.lower() for kind in kinds] != [NAMED_USER.lower()]:
        raise OAuthError("invalid_request", f"Auth-Request-Type must be {NAMED_USER}")
    try:
        return forms.once(await forms.read_form(request))
    except BadRequest as error:
        raise OAuthError("invalid_request", str(error)) from None


def flow_is_enabled(asked: Asked) -> None:
    """Settings allow it, and none of the app's tokens can open MCP servers: asked again, whatever the form allowed."""
    client = asked.client
    if not client.settings.code_credentials_flow:
        missing = LABELS["code_credentials_flow"]
        raise OAuthError("unauthorized_client", f"oauth_flow_disabled: {client.api_name} lacks {missing} (Settings)")
    if MCP_API in client.scopes:
        raise OAuthError(
            "unauthorized_client", "oauth_flow_disabled: an app with the scope mcp_api can't use this flow"
        )


def response_type_is_ours(asked: Asked) -> None:
    """The header and the parameter say the same."""
    if asked.request.response_type != RESPONSE_TYPE:
        raise OAuthError("unsupported_response_type", f"with {HEADER} send response_type={RESPONSE_TYPE}")


CHECKS = (
    requests.state_is_bounded,
    requests.client_is_enabled,
    flow_is_enabled,
    response_type_is_ours,
    requests.response_mode_is_supported,
    requests.request_objects_are_not_used,
    requests.pkce_is_used_when_required,
    requests.dpop_jkt_is_a_thumbprint,
    requests.scopes_are_allowed,
    requests.resource_is_known,
)


async def _asked(site: Site, org: Org, request: Request, form: dict[str, str]) -> Asked:
    """The request, before anything is done with the password. Raises ``OAuthError``."""
    asked_for = requests.parse(list(form.items()))
    try:
        asked = await check_client(site, org, asked_for)
    except ToldToTheUser as refused:
        raise OAuthError("invalid_request", f"{refused.code}: {refused}") from None
    for check in CHECKS:
        check(asked)
    return asked


async def _signed_in(site: Site, org: Org, request: Request, form: dict[str, str]) -> LiveUser:
    """The user with this name and password, as the sign-in pages know them. Raises ``OAuthError``."""
    username, password = _credentials(request, form)
    tried = await try_password(site, org, request, username, password)
    if tried.retry_after:
        raise OAuthError("temporarily_unavailable", tried.why, 429, retry_after=tried.retry_after)
    if tried.has_second_factor:  # the app has no page to ask for it on
        raise OAuthError("access_denied", "invalid_session_level: this user signs in with a second factor")
    live_user = await site.live.user(org.id, tried.user_id) if tried.user_id else None
    if live_user is None:
        raise OAuthError("invalid_grant", "authentication failure")
    return live_user


def _credentials(request: Request, form: dict[str, str]) -> tuple[str, str]:
    headers = request.headers.getlist("authorization")
    in_body = "username" in form or "password" in form
    if len(headers) + in_body != 1:
        raise OAuthError("invalid_request", "send username and password in the body, or in one Basic header")
    if in_body:
        return form.get("username", ""), form.get("password", "")
    scheme, _, encoded = headers[0].partition(" ")
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode() if scheme.lower() == "basic" else ""
    except (binascii.Error, UnicodeDecodeError):
        text = ""
    username, separator, password = text.partition(":")
    if not separator or "\x00" in text:
        raise OAuthError("invalid_request", "invalid_basic_auth_header: Authorization must be Basic")
    return username, password


def _check_policies(site: Site, org: Org, request: Request, asked: Asked, live_user: LiveUser) -> None:
    """A password alone is a session of the standard level, and nobody is there to prove more."""
    policies = asked.client.policies
    address = client_address(request, site.config)
    found = (
        admission.check_rules(org.app_rules, asked.client.settings, policies)
        or admission.check_user(policies, live_user.access)
        or admission.check_address(policies, org.trusted_ranges, address, level=STANDARD)
        or admission.check_level(policies, STANDARD)
    )
    if found:
        raise OAuthError("access_denied", f"{CODES.get(found.code, found.code)}: {found.why}")


async def _code(site: Site, asked: Asked, live_user: LiveUser) -> str:
    now, value = site.clock.now(), secrets.new_token()
    made = Connection(
        id=secrets.new_id(CONNECTION),
        org_id=asked.org.id,
        authorization_id=secrets.new_id(AUTHORIZATION),
        user_id=live_user.user.id,
        app_id=asked.client.app_id,
        client_id=asked.client.client_id,
        scopes=asked.scopes,
        resource=asked.resource,
        signed_in_at=now,
        level=STANDARD,
        methods=METHODS,
        dpop_jkt=asked.request.dpop_jkt,
    )
    code = codes.Code(
        digest=secrets.digest(value),
        connection=made,
        redirect_uri=asked.redirect_uri,
        code_challenge=asked.request.code_challenge,
        nonce=asked.request.nonce,
        expires_at=now + codes.LIFETIME,
    )
    await site.store.run(keep, code, now)
    return value


def keep(code: codes.Code, now: int) -> Operation[None]:
    """Who types a password into the app agrees to what it asks for."""
    agreed = yield from connections.agree(code.connection, now)
    yield from codes.issue(msgspec.structs.replace(code, connection=agreed), now)
