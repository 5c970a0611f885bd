"""Discovery: authorization server metadata (RFC 8414, and the same as OpenID Connect Discovery) and the JWK Set.

The documents are made from the org's issuer alone, so they are the same under any header.
"""

from functools import lru_cache

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from gatelodge.core.orgs import Org
from gatelodge.core.scopes import OFFLINE_ACCESS, SCOPES
from gatelodge.oauth.client_auth import METHODS
from gatelodge.oauth.grants import GRANTS
from gatelodge.web import dpop
from gatelodge.web.site import Site

CACHED = {"Cache-Control": "public, max-age=300"}


@lru_cache(maxsize=1024)
def document(issuer: str) -> bytes:
    """The metadata of an issuer (RFC 8414 §2). ``offline_access`` is listed here and in no challenge (MCP)."""
    return msgspec.json.encode(
        {
            "issuer": issuer,
            "authorization_endpoint": f"{issuer}/services/oauth2/authorize",
            "token_endpoint": f"{issuer}/services/oauth2/token",
            "pushed_authorization_request_endpoint": f"{issuer}/services/oauth2/par",
            "device_authorization_endpoint": f"{issuer}/services/oauth2/device",
            "jwks_uri": f"{issuer}/id/keys",
            "scopes_supported": [*(scope.name for scope in SCOPES), OFFLINE_ACCESS],
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": list(GRANTS),
            "token_endpoint_auth_methods_supported": list(METHODS),
            "token_endpoint_auth_signing_alg_values_supported": ["ES256", "RS256"],
            "dpop_signing_alg_values_supported": list(dpop.ALGORITHMS),
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
            "request_parameter_supported": False,
            "request_uri_parameter_supported": False,
            "subject_types_supported": ["public"],  # required by OpenID Connect Discovery §3, with the next
            "id_token_signing_alg_values_supported": ["ES256"],
        }
    )


async def metadata(site: Site, org: Org, request: Request) -> Response:
    """Both well-known forms answer with the same document."""
    return Response(document(org.issuer), headers=CACHED, media_type="application/json")


async def jwks(site: Site, org: Org, request: Request) -> Response:
    """The public keys of the org."""
    return Response((await site.live.keys(org.id)).published, headers=CACHED, media_type="application/json")
