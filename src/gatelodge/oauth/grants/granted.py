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
    assertion; ``dpop_jkt`` is the thumbprint of the key that a DPoP proof was made with ("" without one), to which the
    access token is bound.
    """

    client: LiveClient
    is_proven: bool
    form: dict[str, str]
    address: str
    dpop_jkt: str = ""


class Granted(msgspec.Struct, frozen=True, kw_only=True):
    """A connection, the scopes and the audience of this one access token, and the refresh family whose newest token is
    told (None: no refresh token).

    ``has_id_token``: the user signed in for it, so that ``openid`` brings an ID token, with this ``nonce``. ``ends_at``
    (epoch seconds, 0 for the app's policy alone) is when the access token ends at the latest. ``issued_token_type``
    stands in the answer to a token exchange (RFC 8693 §2.2.1).
    """

    connection: Connection
    scopes: tuple[str, ...]
    audience: str
    family: Family | None = None
    has_id_token: bool = False
    nonce: str = ""
    ends_at: int = 0
    issued_token_type: str = ""


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """One row of ``GRANTS``.

    ``lacks`` names the option that this app would need and has not ("" when it may use the grant); ``needs_proof``:
    whether this app must prove who it is.
    """

    exchange: Callable[[Site, Org, Exchange], Awaitable[Granted | Denied]]
    lacks: Callable[[LiveClient], str] = lambda client: ""  # noqa: ARG005 - open to every app
    needs_proof: Callable[[LiveClient], bool] = lambda client: False  # noqa: ARG005 - as the RFC has it
