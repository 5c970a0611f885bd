"""One upstream as the relay knows it: where it is, its connections, and what stops a bad one from hurting others.

A line is made once for each upstream and lives on: no client, no TLS context and no session is made inside a call.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import aiohttp
import msgspec
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from gatelodge.core.server_terms import USER_BOUND, Terms
from gatelodge.gateway.caller import Caller
from gatelodge.gateway.relay.breaker import Breaker
from gatelodge.web.outbound import NotFetched, Outbound
from gatelodge.words import Because, Reason, mark, reason

MOST_STREAMS = 2000
"""Streams that are open for listening, for each upstream and node. They take nothing from the connections of calls."""
QUEUE = 4
"""How many calls may wait for each connection before the next is turned away."""
KEPT_SECONDS = 4.0
"""How long an unused connection is kept: uvicorn and Node close theirs after 5 seconds, and a call that meets the closing
is answered with 502, since it can't be sent again.
"""
BUFFER = 64 * 1024
LONGEST_LINE = 8190
MOST_HEADERS = 100
ADDRESS_SECONDS = 30
DOWN = (502, 503, 504)

Given = dict[str, str]
Credential = Callable[[Caller, Given | None], Awaitable[Given]]
"""The headers that an upstream gets from us for one caller; asked again with those that it answered with 401."""


class Upstream(msgspec.Struct, frozen=True, kw_only=True):
    """An MCP server of somebody's. ``instructions`` are the org's own words about it; what it says itself isn't told.
    ``command`` are the words of a local command, which has no URL.
    """

    url: str
    terms: Terms
    name: str
    org_id: str
    server_id: str
    instructions: str = ""
    command: tuple[str, ...] = ()

    @property
    def knows_callers(self) -> bool:
        """Whether it can tell one user from another: by a child, a credential or a header of their own."""
        return bool(self.command) or self.terms.sends_identity or self.terms.credential in USER_BOUND


class Failed(Because):
    """The upstream gave no answer that can be passed on: what a record says, the HTTP status for the client, and why.

    ``retry_after`` is in seconds, 0 when nobody knows. ``may_send_again``: the connection was dead before it was used.
    """

    def __init__(
        self, outcome: str, status: int, why: Reason, *, retry_after: int = 0, may_send_again: bool = False,
        data: dict[str, str] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(why)
        self.outcome, self.status, self.why, self.retry_after = outcome, status, str(why), retry_after
        self.may_send_again, self.data = may_send_again, data or {}


class Unauthorized(Failed):
    """The upstream is there and wants a credential, or another one (HTTP 401)."""


class Eras(msgspec.Struct):
    """Which eras an upstream speaks; None: nobody has asked yet."""

    modern: bool | None = None
    legacy: bool | None = None


class Line:
    """The way to one upstream, whatever it is reached by. ``eras`` is what was learned about it."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.eras = Eras(*{"auto": (None, None), "modern": (True, False), "legacy": (False, True)}[upstream.terms.era])
        self.asking = asyncio.Lock()

    async def close(self) -> None:
        """End every connection."""
        raise NotImplementedError

    async def send(
        self,
        method: str,
        headers: dict[str, str],
        body: bytes | None = None,
        *,
        is_stream: bool = False,
        waits: bool = False,
    ) -> aiohttp.ClientResponse:
        """Send one request, once. The head of the answer has come; its body is the caller's to read, and to release.
        ``is_stream``: it takes none of the connections of calls; with it, or if it ``waits``, silence is no failure.

        Raises ``Failed``.
        """
        raise NotImplementedError


class HttpLine(Line):
    """The connections to one upstream."""

    def __init__(self, upstream: Upstream, outbound: Outbound) -> None:
        super().__init__(upstream)
        terms = upstream.terms
        self._url = URL(upstream.url)
        self._outbound = outbound
        self._breaker = Breaker()
        self._under_way = 0
        self._is_checked = False
        self._calls = self._session(terms.most_connections)
        self._streams = self._session(MOST_STREAMS)
        self._call_times = aiohttp.ClientTimeout(
            total=terms.call_seconds,
            connect=terms.connect_seconds * 2,  # with the time in the queue for a connection
            sock_connect=terms.connect_seconds,
            sock_read=terms.idle_seconds,
        )
        self._stream_times = aiohttp.ClientTimeout(
            total=None, connect=terms.connect_seconds * 2, sock_connect=terms.connect_seconds
        )  # fmt: skip

    def _session(self, limit: int) -> aiohttp.ClientSession:
        is_tls = urlsplit(self.upstream.url).scheme == "https"
        connector = aiohttp.TCPConnector(
            limit=limit,
            ssl=self._outbound.tls if is_tls else False,
            resolver=_Checked(self._outbound, self.upstream),
            ttl_dns_cache=ADDRESS_SECONDS,
            keepalive_timeout=KEPT_SECONDS,
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            read_bufsize=BUFFER,
            max_line_size=LONGEST_LINE,
            max_field_size=LONGEST_LINE,
            max_headers=MOST_HEADERS,
            skip_auto_headers=("Content-Type", "User-Agent", "Accept"),
        )

    async def close(self) -> None:
        """End every connection."""
        await self._calls.close()
        await self._streams.close()

    async def send(
        self,
        method: str,
        headers: dict[str, str],
        body: bytes | None = None,
        *,
        is_stream: bool = False,
        waits: bool = False,
        url: URL | None = None,
    ) -> aiohttp.ClientResponse:
        """Send one request over HTTP; ``url``: another one at the same host, as it is written. Raises ``Failed``."""
        terms, clock = self.upstream.terms, asyncio.get_running_loop().time
        self._check_room(clock(), is_stream=is_stream)
        self._under_way += 1
        try:
            await self._check_address()
            session = self._streams if is_stream else self._calls
            times = self._stream_times if is_stream or waits else self._call_times
            async with asyncio.timeout(terms.connect_seconds * 2 + terms.first_byte_seconds):
                answer = await session.request(
                    method, url or self._url, headers=headers, data=body, allow_redirects=False, timeout=times
                )
        except (TimeoutError, aiohttp.ClientError, NotFetched, OSError, ValueError) as error:
            self._breaker.failed(clock())
            raise self._why(error) from None
        except BaseException:
            self._breaker.gave_up()
            raise
        finally:
            self._under_way -= 1
        if answer.status in DOWN:
            self._breaker.failed(clock())
        else:
            self._breaker.succeeded()
        return answer

    def _check_room(self, now: float, *, is_stream: bool) -> None:
        """Raises ``Failed`` when nothing more may be sent there now."""
        if not is_stream and self._under_way >= self.upstream.terms.most_connections * (1 + QUEUE):
            raise self._failed(
                "upstream_error",
                503,
                mark("the upstream of {name} has as many calls under way as it may have"),
                retry_after=1,
            )
        if wait := self._breaker.wait(now):
            raise self._failed(
                "upstream_error", 503, mark("the upstream of {name} has failed several times in a row and is left alone for now"),
                retry_after=int(wait) + 1,
            )  # fmt: skip

    async def _check_address(self) -> None:
        """A URL with an address in it is never resolved, so that it is checked here, once."""
        if not self._is_checked:
            _ = await self._outbound.addresses(
                self.upstream.url, allows_private=self.upstream.terms.allows_private
            )  # fmt: skip
            self._is_checked = True

    def _why(self, error: Exception) -> Failed:
        match error:
            case aiohttp.ConnectionTimeoutError():
                return self._failed("timeout", 504, mark("the upstream of {name} could not be connected to in time"))
            case TimeoutError():
                return self._failed("timeout", 504, mark("the upstream of {name} did not begin to answer in time"))
            case NotFetched():
                return self._failed(
                    "upstream_error", 502, mark("the upstream of {name} may not be asked: {error}"), error=error.reason
                )
            case aiohttp.ClientConnectorError() | aiohttp.ClientConnectorDNSError():
                return self._failed("upstream_error", 502, mark("the upstream of {name} can't be connected to"))
            case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError():
                failed = self._failed(
                    "upstream_error", 502, mark("the upstream of {name} closed the connection before it answered")
                )
                failed.may_send_again = True
                return failed
            case _:
                return self._failed(
                    "upstream_error",
                    502,
                    mark("the upstream of {name} answered with what is no HTTP ({error})"),
                    error=type(error).__name__,
                )

    def _failed(
        self, outcome: str, status: int, text: str, *, retry_after: int = 0, error: Reason | str = ""
    ) -> Failed:
        why = reason(text, name=self.upstream.name, error=error)
        return Failed(outcome, status, why, retry_after=retry_after)


class _Checked(AbstractResolver):
    """Resolves through the guard: what it lets through is what is connected to."""

    def __init__(self, outbound: Outbound, upstream: Upstream) -> None:
        self._outbound, self._upstream = outbound, upstream

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._outbound.addresses(
            self._upstream.url, allows_private=self._upstream.terms.allows_private
        )  # fmt: skip
        return [
            ResolveResult(
                hostname=host,
                host=str(each),
                port=port,
                family=socket.AF_INET6 if each.version == 6 else socket.AF_INET,  # noqa: PLR2004 - IPv6
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for each in found
        ]

    async def close(self) -> None:
        """Nothing is held."""
