"""The grants: one module each, one row in ``GRANTS``. What every grant shares happens in ``oauth.token``."""

from collections.abc import Awaitable, Callable

from gatelodge.core.errors import Denied
from gatelodge.core.orgs import Org
from gatelodge.core.propagation import LiveClient
from gatelodge.oauth.grants import authorization_code, refresh_token
from gatelodge.oauth.grants.granted import Granted
from gatelodge.web.site import Site

Grant = Callable[[Site, Org, LiveClient, dict[str, str]], Awaitable[Granted | Denied]]

GRANTS: dict[str, Grant] = {
    "authorization_code": authorization_code.exchange,
    "refresh_token": refresh_token.exchange,
}
