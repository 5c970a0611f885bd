"""Who is calling an MCP server, after every check has passed. Servers get this and never the token."""

import msgspec

from gatelodge.core.permissions import Access
from gatelodge.core.permitting import Permitted


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """A named user, through a named app, at one MCP server of one org. ``permitted`` says what they may list and call
    there: every server asks it, hosted or relayed. ``grant`` is the kind of grant where no person signed in.
    """

    org_id: str
    user_id: str
    username: str
    user_label: str
    email: str
    time_zone: str
    client_id: str
    app_id: str
    authorization_id: str
    connection_id: str
    scopes: tuple[str, ...]
    server: str
    access: Access
    permitted: Permitted
    grant: str = ""
