"""The grants: one module each, one row in ``GRANTS``. What every grant shares happens in ``oauth.token``."""

from gatelodge.core.apps import policies, settings
from gatelodge.core.propagation import LiveClient
from gatelodge.oauth.grants import (
    authorization_code,
    client_credentials,
    device_code,
    jwt_bearer,
    refresh_token,
    token_exchange,
)
from gatelodge.oauth.grants.granted import Grant


def _lacks_setting(client: LiveClient, name: str) -> str:
    return "" if getattr(client.settings, name) else f"{settings.LABELS[name]} (Settings)"


def _lacks_policy(client: LiveClient, name: str) -> str:
    return "" if getattr(client.policies, name) else f"{policies.LABELS[name]} (Policies)"


GRANTS: dict[str, Grant] = {
    "authorization_code": Grant(
        exchange=authorization_code.exchange,
        needs_proof=lambda client: client.settings.require_secret_for_web_server_flow,
    ),
    "refresh_token": Grant(
        exchange=refresh_token.exchange,
        needs_proof=lambda client: client.settings.require_secret_for_refresh_token_flow,
    ),
    client_credentials.GRANT_TYPE: Grant(
        exchange=client_credentials.exchange,
        lacks=lambda client: (
            _lacks_setting(client, "client_credentials_flow") or _lacks_policy(client, "client_credentials")
        ),
        needs_proof=lambda client: True,  # noqa: ARG005 - RFC 6749 §4.4: confidential clients alone
    ),
    device_code.GRANT_TYPE: Grant(
        exchange=device_code.exchange,
        lacks=lambda client: _lacks_setting(client, "device_flow"),
        needs_proof=lambda client: client.settings.require_secret_for_web_server_flow,
    ),
    jwt_bearer.GRANT_TYPE: Grant(  # the assertion is its own proof (RFC 7523 §2.1)
        exchange=jwt_bearer.exchange,
        lacks=lambda client: _lacks_setting(client, "jwt_bearer_flow"),
    ),
    token_exchange.GRANT_TYPE: Grant(
        exchange=token_exchange.exchange,
        lacks=lambda client: _lacks_setting(client, "token_exchange_flow") or _lacks_policy(client, "token_exchange"),
        needs_proof=lambda client: True,  # noqa: ARG005 - a stolen access token must not be worth more (RFC 8693 §5)
    ),
}
ALIASES = {"device": device_code.GRANT_TYPE}
"""What the original's clients send; not in the metadata."""
