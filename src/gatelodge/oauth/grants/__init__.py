"""The grants: one module each, one row in ``GRANTS``. What every grant shares happens in ``oauth.token``."""

from gatelodge.oauth.grants import authorization_code, refresh_token
from gatelodge.oauth.grants.granted import Grant

GRANTS: dict[str, Grant] = {
    "authorization_code": Grant(
        exchange=authorization_code.exchange,
        needs_proof=lambda client: client.settings.require_secret_for_web_server_flow,
    ),
    "refresh_token": Grant(
        exchange=refresh_token.exchange,
        needs_proof=lambda client: client.settings.require_secret_for_refresh_token_flow,
    ),
}
