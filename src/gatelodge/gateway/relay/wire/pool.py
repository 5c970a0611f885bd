"""The connections to one upstream: so many and no more, kept for a few seconds, and a queue of those who wait for one."""

import asyncio
import ipaddress
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Mapping

from gatelodge.gateway.relay.wire.answer import Answer, Times
from gatelodge.gateway.relay.wire.connection import Connection
from gatelodge.gateway.relay.wire.writing import Place, written

KEPT_SECONDS = 4.0
"""How long an unused connection is kept: uvicorn and Node close theirs after 5 seconds, and a call that meets the closing
is answered with 502, since it can't be sent again.
"""
ADDRESS_SECONDS = 30.0
"""How long what a name leads to is believed."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Addresses = Callable[[], Awaitable[tuple[Address, ...]]]
"""Where the upstream may be asked: each of these was checked. Raises what the caller of ``Pool.ask`` is to be told."""


class NotConnected(OSError):
    """No address of the upstream takes a connection."""


class NotConnectedInTime(TimeoutError):
    """No connection could be had in time, a new one or another's."""


class Pool:
    """Made once for an upstream. ``seconds`` is what connecting may take, twice that with the time in the queue. ``tls`` is
    what certificates are checked by, for the host's name whatever address it is at.
    """

    def __init__(
        self, place: Place, addresses: Addresses, *, most: int, seconds: float, tls: ssl.SSLContext | None
    ) -> None:
        self._place, self._addresses, self._most, self._seconds, self._tls = place, addresses, most, seconds, tls
        self._open: set[Connection] = set()
        self._idle: list[Connection] = []
        self._waiting: deque[asyncio.Future[Connection | None]] = deque()
        self._connecting = 0
        self._known: tuple[Address, ...] = ()
        self._known_until = float("-inf")
        self._sweeping: asyncio.TimerHandle | None = None
        self._is_closed = False

    async def ask(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes | None, times: Times
    ) -> Answer:  # fmt: skip
        """Send one request, once. The head of the answer has come; its body is the caller's to read and to close.

        Raises ``NotWritten``, ``NotConnected``, ``NotConnectedInTime``, ``TimeoutError``, ``Broken`` and ``NoHttp``, and
        what ``addresses`` raises. Whoever stops waiting ends the connection.
        """
        request = written(method, target or self._place.target, self._place.authority, headers, body)
        connection = self._kept() or await self._made()
        answer = connection.ask(request, times, is_bodiless=method == "HEAD")
        try:
            await answer.begun
        except BaseException:
            answer.close()
            raise
        return answer

    def close(self) -> None:
        """End every connection, and have nobody wait."""
        self._is_closed = True
        if self._sweeping is not None:
            self._sweeping.cancel()
        for connection in list(self._open):
            connection.close()
        while self._waiting:
            self._pass_on(None)

    # --- having one -------------------------------------------------------------------------------------------------

    def _kept(self) -> Connection | None:
        """A connection that was used before and is still good: nothing is sent on one that the upstream has closed."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_fit():
                return connection
            connection.close()
        return None

    async def _made(self) -> Connection:
        """A new one, or another's when its answer is over."""
        try:
            async with asyncio.timeout(self._seconds * 2):
                while not self._is_closed:
                    if len(self._open) + self._connecting < self._most:
                        return await self._connected()
                    connection = await self._turn()
                    if connection is not None:
                        if connection.is_fit():
                            return connection
                        connection.close()
        except TimeoutError:
            raise NotConnectedInTime("no connection could be had in time") from None
        raise NotConnected("the upstream is no longer called")

    async def _turn(self) -> Connection | None:
        """Wait for one of the others to be free, or to end (None)."""
        turn: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it was given one all the same
                given = turn.result()
                self._free(given) if given is not None else self._pass_on(None)
            raise

    def _pass_on(self, connection: Connection | None) -> bool:
        """Give this to the one who has waited longest: a connection, or room for one."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(connection)
                return True
        return False

    async def _connected(self) -> Connection:
        self._connecting += 1
        made = None
        try:
            made = await self._to_one_of(await self._where())
            if made.is_lost:
                raise NotConnected("the upstream closed the connection at once")
            self._open.add(made)
            return made
        finally:
            self._connecting -= 1
            if made is None or made.is_lost:
                _ = self._pass_on(None)

    async def _where(self) -> tuple[Address, ...]:
        """The addresses of the upstream, each of them checked; looked up anew every now and then."""
        clock = asyncio.get_running_loop().time
        if clock() >= self._known_until:
            self._known = await self._addresses()
            self._known_until = clock() + ADDRESS_SECONDS
        return self._known

    async def _to_one_of(self, addresses: tuple[Address, ...]) -> Connection:
        """The first address that takes a connection; each gets its part of the time, so that one that says nothing takes
        it from no other.
        """
        place, loop = self._place, asyncio.get_running_loop()
        until = loop.time() + self._seconds
        for n, address in enumerate(addresses):
            try:
                async with asyncio.timeout((until - loop.time()) / (len(addresses) - n)):
                    _, connection = await loop.create_connection(
                        lambda: Connection(is_tls=place.is_tls, free=self._free, gone=self._lost),
                        str(address),
                        place.port,
                        ssl=self._tls,
                        server_hostname=place.host if self._tls is not None else None,
                    )
                    return connection
            except TimeoutError:
                if n == len(addresses) - 1:
                    raise
            except OSError as error:
                if n == len(addresses) - 1:
                    raise NotConnected(str(error)) from None
        raise NotConnected("the upstream has no address")

    # --- letting it go ----------------------------------------------------------------------------------------------

    def _free(self, connection: Connection) -> None:
        """Its answer is over: the next who waits has it, or it is kept for a while."""
        if self._is_closed:
            connection.close()
            return
        if self._waiting and self._pass_on(connection):
            return
        loop = asyncio.get_running_loop()
        connection.kept_at = loop.time()
        self._idle.append(connection)
        if self._sweeping is None:
            self._sweeping = loop.call_later(KEPT_SECONDS, self._sweep)

    def _sweep(self) -> None:
        """Close what nobody has used for a while; what was used last stands last."""
        loop = asyncio.get_running_loop()
        then = loop.time() - KEPT_SECONDS
        old = [each for each in self._idle if each.kept_at <= then]
        self._idle = self._idle[len(old) :]
        for connection in old:
            connection.close()
        self._sweeping = loop.call_later(KEPT_SECONDS / 4, self._sweep) if self._idle else None

    def _lost(self, connection: Connection) -> None:
        """It has ended: there is room for another one."""
        if connection in self._idle:
            self._idle.remove(connection)
        if connection in self._open:
            self._open.discard(connection)
            _ = self._pass_on(None)
