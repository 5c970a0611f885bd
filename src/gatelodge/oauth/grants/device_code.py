"""The device grant (RFC 8628 §3.4): a device polls until its user has answered on another one."""

import msgspec
from starlette.responses import Response

from gatelodge.core import device_codes, refresh, secrets
from gatelodge.core.apps.settings import LABELS
from gatelodge.core.device_codes import DeviceCode
from gatelodge.core.errors import Denied, Refused
from gatelodge.core.operation import Operation
from gatelodge.core.orgs import Org
from gatelodge.core.propagation import LiveClient
from gatelodge.core.refresh import Family
from gatelodge.oauth import audience, requests
from gatelodge.oauth.client_auth import Authenticated, needs_more
from gatelodge.oauth.errors import NO_STORE, OAuthError
from gatelodge.oauth.grants import admitting
from gatelodge.oauth.grants.granted import Exchange, Granted
from gatelodge.oauth.requests import AuthorizeRequest
from gatelodge.web.site import Site

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:device_code"
RESPONSE_TYPE = "device_code"
"""What the original's clients send to the token endpoint to begin."""
PAGE = "/setup/connect"
"""Where the user enters the code, as at the original."""
TRIES = 5


class DeviceAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """RFC 8628 §3.2. Times are in seconds."""

    device_code: str
    user_code: str
    verification_uri: str
    verification_uri_complete: str
    expires_in: int
    interval: int


async def begin(site: Site, org: Org, authenticated: Authenticated, form: dict[str, str], *, address: str) -> Response:
    """Answer a device that wants its user to be asked (RFC 8628 §3.1). Raises ``OAuthError``."""
    client = authenticated.client
    if not client.settings.device_flow:
        raise OAuthError(
            "unauthorized_client",
            f"oauth_flow_disabled: {client.api_name} lacks {LABELS['device_flow']} (Settings)",
        )
    if client.settings.require_secret_for_web_server_flow and not authenticated.is_proven:
        raise needs_more(authenticated)
    scopes, _ = requests.granted_scopes(AuthorizeRequest(scope=form.get("scope")), client)
    if not scopes:
        raise OAuthError("invalid_scope", f"the app has none of the scopes asked for: {form.get('scope', ''):.200}")
    resource = audience.decide(
        form.get("resource"), org=org, client=client, scopes=scopes, active=await site.live.servers(org.id)
    )
    code, user_code = await _kept(site, org, client, scopes, resource, address)
    answer = DeviceAnswer(
        device_code=code,
        user_code=user_code,
        verification_uri=f"{org.issuer}{PAGE}",
        verification_uri_complete=f"{org.issuer}{PAGE}?user_code={user_code}",
        expires_in=device_codes.LIFETIME,
        interval=device_codes.INTERVAL,
    )
    return Response(msgspec.json.encode(answer), headers=NO_STORE, media_type="application/json")


async def _kept(
    site: Site, org: Org, client: LiveClient, scopes: tuple[str, ...], resource: str, address: str
) -> tuple[str, str]:
    """A fresh pair of codes. Raises ``OAuthError``."""
    now, code = site.clock.now(), secrets.new_token()
    for _ in range(TRIES):
        user_code = device_codes.user_code(secrets.random_bytes(16))
        made = DeviceCode(
            digest=secrets.digest(code),
            org_id=org.id,
            user_code=mac(site, org, user_code),
            client_id=client.client_id,
            scopes=scopes,
            resource=resource,
            address=address,
            created_at=now,
            expires_at=now + device_codes.LIFETIME,
        )
        try:
            if await site.store.run(device_codes.keep, made, now):
                return code, user_code
        except Refused as refused:
            raise OAuthError("temporarily_unavailable", refused.message, 429) from None
    raise OAuthError("temporarily_unavailable", "every code that was tried is taken: try again")


def mac(site: Site, org: Org, user_code: str) -> str:
    """How a user code is stored."""
    made = site.ring.mac(device_codes.PURPOSE, org.id, user_code)
    assert made is not None  # the current key is on the ring
    return made


async def exchange(site: Site, org: Org, asked: Exchange) -> Granted | Denied:
    """What the user answered; before that ``authorization_pending`` or ``slow_down``."""
    # The original's clients call it code.
    code = asked.form.get("device_code") or asked.form.get("code", "")
    if not code:
        raise OAuthError("invalid_request", "device_code is missing")
    found = await site.store.read(device_codes.find, org.id, secrets.digest(code))
    if found is None:
        return Denied("invalid_grant", "the device code is unknown or expired")
    allowed = device_codes.allowed(found)
    if allowed is not None and (refusal := await admitting.refusal(site, org, asked, allowed)):
        return refusal
    fresh = admitting.fresh_family(asked.client, org, site.clock.now())
    return await site.store.run(_poll, found, asked, fresh, site.clock.now_ms())


def _poll(found: DeviceCode, asked: Exchange, fresh: Family | None, now_ms: int) -> Operation[Granted | Denied]:
    begun = yield from device_codes.poll(found, asked.client.client_id, asked.dpop_jkt, now_ms)
    if isinstance(begun, Denied):
        return begun
    family = yield from refresh.begin_for(begun, fresh)
    return Granted(connection=begun, scopes=begun.scopes, audience=begun.resource, family=family, has_id_token=True)
