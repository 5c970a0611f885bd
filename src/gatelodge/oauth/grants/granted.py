"""What a grant is handed, and what it gives when it is accepted."""

from collections.abc import Awaitable, Callable

import msgspec

from gatelodge.core.connections import Connection
from gatelodge.core.errors import Denied
from gatelodge.core.orgs import Org
from gatelodge.core.propagation import LiveClient
from gatelodge.core.refresh import Family
from gatelodge.web.site import Site


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """One request at the token endpoint whose client is known. ``is_proven``: the client showed a secret or signed an
    assertion; ``dpop_jkt`` is the thumbprint of the key that a DPoP proof was made with ("" without one).
    """

    client: LiveClient
    is_proven: bool
    form: dict[str, str]
    address: str
    dpop_jkt: str = ""


class Granted(msgspec.Struct, frozen=True, kw_only=True):
    """A connection, the scopes and the audience of this one access token, and the refresh family whose newest token is
    told (None: no refresh token). ``nonce`` goes into the ID token.
    """

    connection: Connection
    scopes: tuple[str, ...]
    audience: str
    family: Family | None = None
    nonce: str = ""


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """One row of ``GRANTS``.

    ``is_enabled``: whether this app may use it, and ``switches`` where that is decided; ``needs_proof``: whether this
    app must prove who it is.
    """

    exchange: Callable[[Site, Org, Exchange], Awaitable[Granted | Denied]]
    is_enabled: Callable[[LiveClient], bool] = lambda client: True  # noqa: ARG005 - open to every app
    needs_proof: Callable[[LiveClient], bool] = lambda client: False  # noqa: ARG005 - as the RFC has it
    switches: str = ""
