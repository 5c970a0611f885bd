"""The site: what every face is handed. Made once, by ``app.build``."""

from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec
from starlette.requests import Request
from starlette.types import ASGIApp

from gatelodge.config import Config
from gatelodge.core.clock import Clock
from gatelodge.core.mcp_servers import McpServer
from gatelodge.core.orgs import Org
from gatelodge.core.record_databases import Found
from gatelodge.core.secrets import KeyRing
from gatelodge.core.server_items import Catalogue
from gatelodge.core.users import User
from gatelodge.live import LiveNode
from gatelodge.store import Store
from gatelodge.web.access_tokens import AccessTokens
from gatelodge.web.limits import RateLimits
from gatelodge.web.noted import Noted
from gatelodge.web.outbound import Outbound
from gatelodge.web.passwords import Passwords
from gatelodge.web.recording import Calls
from gatelodge.web.token_cache import TokenCache


class ReadCatalogue(Protocol):
    """Reads what a server offers now."""

    async def __call__(self, org: Org, server: McpServer, reader: User | None, document: str = "") -> Catalogue:
        """All of it, to this user where each has a credential of their own. ``document`` is a REST API's own, where it
        isn't to be fetched. Raises ``NotRead``.
        """
        ...


class CheckDatabase(Protocol):
    """Looks at a database before it is kept."""

    async def __call__(
        self, site: "Site", url: str, *, password: str = "", mapping: str = "", allows_private: bool = False
    ) -> Found:
        """What is in it; ``password`` is for a URL without one. Raises ``Refused`` ("source" or "mapping")."""
        ...


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """One running node: its configuration, its database, its keys, its time, and what is live on it.

    ``rows_problem`` says what is wrong with a row filter ("" for nothing): the gateway reads it, and Setup asks before it
    keeps one (decision 0046). So it does with a database that a records server shall read: ``check_database``.
    """

    config: Config
    store: Store
    clock: Clock
    ring: KeyRing
    live: LiveNode
    passwords: Passwords
    access: AccessTokens
    limits: RateLimits
    read_catalogue: ReadCatalogue
    check_database: CheckDatabase
    calls: Calls
    noted: Noted = msgspec.field(default_factory=Noted)
    outbound: Outbound = msgspec.field(default_factory=Outbound)
    rows_problem: Callable[[str], str]
    upstream_tokens: TokenCache = msgspec.field(default_factory=TokenCache)


Endpoint = Callable[[Site, Org, Request], Awaitable[ASGIApp]]
"""What a row of ENDPOINTS or PAGES names: it answers one request to one org
(a Response is an ASGIApp; a streaming MCP server is one too)."""
