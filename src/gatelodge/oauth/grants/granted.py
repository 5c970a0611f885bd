"""What a grant that was accepted gives."""

import msgspec

from gatelodge.core.connections import Connection
from gatelodge.core.refresh import Family


class Granted(msgspec.Struct, frozen=True, kw_only=True):
    """A connection, the scopes of this one access token, and the refresh family whose newest token is told."""

    connection: Connection
    scopes: tuple[str, ...]
    family: Family | None
