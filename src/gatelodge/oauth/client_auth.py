"""Which client is at the token endpoint. Apps here are public clients: they say who they are and prove it by PKCE or
by the refresh token itself (RFC 6749 §2.3).
"""

import base64
import binascii
from urllib.parse import unquote_plus

from starlette.requests import Request

from gatelodge.core.orgs import Org
from gatelodge.core.propagation import LiveClient
from gatelodge.oauth.errors import OAuthError
from gatelodge.web.site import Site

METHODS = ("none",)


async def authenticate(site: Site, org: Org, request: Request, form: dict[str, str]) -> LiveClient:
    """The live, enabled client of this request. Raises ``OAuthError`` (invalid_client, RFC 6749 §5.2)."""
    # 401 and its challenge answer the Authorization header alone (RFC 6749 §5.2, RFC 9110 §15.5.2): many clients read no
    # body behind a challenge, and so would not see why.
    challenge = f'Basic realm="{org.issuer}"' if "authorization" in request.headers else ""
    client_id, secret = _claimed(request, form, challenge)
    if not client_id:
        raise _invalid("client_id is missing: send the app's consumer key", challenge)
    client = await site.live.client(org.id, client_id)
    if client is None:
        raise _invalid("client identifier invalid: no app of this org has it", challenge)
    if secret:  # a secret that is sent is checked even where none is needed, and these apps have none
        raise _invalid("invalid client credentials: this app has no secret; send none", challenge)
    if not client.is_enabled:
        raise _invalid("app_blocked: an administrator has disabled this app", challenge)
    return client


def _invalid(description: str, challenge: str) -> OAuthError:
    return OAuthError("invalid_client", description, 401 if challenge else 400, challenge)


def _claimed(request: Request, form: dict[str, str], challenge: str) -> tuple[str, str]:
    headers = request.headers.getlist("authorization")
    if not headers:
        return form.get("client_id", ""), form.get("client_secret", "")
    if "client_secret" in form or len(headers) > 1:
        raise OAuthError("invalid_request", "use one way of client authentication, not two (RFC 6749 2.3)")
    client_id, secret = _basic(headers[0], challenge)
    if form.get("client_id", client_id) != client_id:
        raise OAuthError("invalid_request", "client_id in the body differs from the one in the Authorization header")
    return client_id, secret


def _basic(header: str, challenge: str) -> tuple[str, str]:
    """The two parts of HTTP Basic, each form-urlencoded (RFC 6749 §2.3.1)."""
    scheme, _, encoded = header.partition(" ")
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode() if scheme.lower() == "basic" else ""
    except (binascii.Error, UnicodeDecodeError):
        text = ""
    client_id, separator, secret = text.partition(":")
    if not separator:
        raise _invalid("invalid_basic_auth_header: Authorization must be Basic", challenge)
    return unquote_plus(client_id), unquote_plus(secret)
