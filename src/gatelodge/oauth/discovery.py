"""Discovery: authorization server metadata (RFC 8414, and the same as OpenID Connect Discovery) and the JWK Set.

The documents are made from the org's issuer alone, so they are the same under any header.
"""

from functools import lru_cache
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from gatelodge.core.apps.policies import LEVELS
from gatelodge.core.keys import ALGORITHMS, CACHED_FOR
from gatelodge.core.orgs import Org
from gatelodge.core.scopes import OFFLINE_ACCESS, SCOPES, Custom
from gatelodge.oauth import logout
from gatelodge.oauth.client_auth import METHODS, Method
from gatelodge.oauth.grants import GRANTS
from gatelodge.web import dpop
from gatelodge.web.site import Site

CACHED = {"Cache-Control": f"public, max-age={CACHED_FOR}"}
CLAIMS = (
    "iss", "sub", "aud", "iat", "exp", "auth_time", "nonce", "at_hash", "sid", "acr", "amr",
    "user_id", "organization_id", "name", "preferred_username", "profile", "zoneinfo", "active", "email",
    "custom_attributes",
)  # fmt: skip
"""What ID tokens and userinfo may say."""


@lru_cache(maxsize=1024)
def document(issuer: str, algorithms: tuple[str, ...], custom: Custom = ()) -> bytes:
    """The metadata of an issuer (RFC 8414 §2) whose keys are for these algorithms.

    ``offline_access`` is listed here and in no challenge (MCP: Refresh Tokens).
    """
    return msgspec.json.encode(
        {
            "issuer": issuer,
            "authorization_endpoint": f"{issuer}/services/oauth2/authorize",
            "token_endpoint": f"{issuer}/services/oauth2/token",
            "pushed_authorization_request_endpoint": f"{issuer}/services/oauth2/par",
            "device_authorization_endpoint": f"{issuer}/services/oauth2/device",
            "revocation_endpoint": f"{issuer}/services/oauth2/revoke",
            "introspection_endpoint": f"{issuer}/services/oauth2/introspect",
            "userinfo_endpoint": f"{issuer}/services/oauth2/userinfo",
            "end_session_endpoint": f"{issuer}{logout.PATH}",
            "jwks_uri": f"{issuer}/id/keys",
            "scopes_supported": [*(scope.name for scope in (*SCOPES, *custom)), OFFLINE_ACCESS],
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": list(GRANTS),
            "dpop_signing_alg_values_supported": list(dpop.ALGORITHMS),
            **client_authentication("token", METHODS),
            **client_authentication("revocation", METHODS),
            # Nobody asks what a token means without proof of who they are (RFC 7662 §2.1).
            **client_authentication("introspection", tuple(method for method in METHODS if method != "none")),
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
            "request_parameter_supported": False,
            "request_uri_parameter_supported": False,
            "subject_types_supported": ["public"],  # required by OpenID Connect Discovery §3, with the next
            "id_token_signing_alg_values_supported": list(algorithms),
            "claims_supported": list(CLAIMS),
            "claims_parameter_supported": False,
            "acr_values_supported": list(LEVELS),
        }
    )


def client_authentication(endpoint: str, methods: tuple[Method, ...]) -> dict[str, Any]:
    """How clients prove who they are at this endpoint (RFC 8414 §2: private_key_jwt needs its algorithms listed)."""
    return {
        f"{endpoint}_endpoint_auth_methods_supported": list(methods),
        f"{endpoint}_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
    }


async def metadata(site: Site, org: Org, request: Request) -> Response:
    """Both well-known forms answer with the same document."""
    algorithms = (await site.live.keys(org.id)).algorithms
    return Response(document(org.issuer, algorithms, org.custom_scopes), headers=CACHED, media_type="application/json")


async def jwks(site: Site, org: Org, request: Request) -> Response:
    """The public keys of the org."""
    return Response((await site.live.keys(org.id)).published, headers=CACHED, media_type="application/json")
