"""The HTTP server: uvicorn, with the limits that it lacks. A client that is slow or large costs nobody else anything."""

import asyncio
import contextlib
import functools
import socket
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gatelodge.web.addresses import is_within, network_of

PIECE = 4096
"""Bytes that the parser is fed at once while it reads a head, so that a header without an end is noticed early."""
FRAMING = 16
"""How many bytes of chunk sizes and extensions one byte of a body may bring with it."""
MOST_PIPELINED = 16
MOST_IDLE = 1024 * 1024
"""Bytes that are read of a body whose request was answered before it was whole."""
MOST_JOINED = 64 * 1024
"""Bytes of an answer that are held until the end of the loop's turn."""
VERSIONS = ("1.0", "1.1")
NEVER = float("inf")


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes in bytes, times in seconds."""

    header_bytes: int = 32 * 1024
    headers: int = 100
    header_seconds: float = 10.0
    body_seconds: float = 30.0
    connections_per_address: int = 512
    connections: int = 10_000


class Refusal(Exception):
    """A request that goes no further: the status and its reason phrase."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


BAD = Refusal(400, "Bad Request")
TOO_SLOW = Refusal(408, "Request Timeout")
TOO_LARGE = Refusal(431, "Request Header Fields Too Large")


class Visitors:
    """Who is connected. An IPv6 network of 64 bits counts as one address, a trusted proxy as none."""

    def __init__(self, limits: Limits, trusted: tuple[str, ...]) -> None:
        self._limits, self._trusted = limits, trusted
        self._open: Counter[str] = Counter()
        self._total = 0

    def admit(self, address: str) -> bool:
        """Whether one more connection from here is taken; it then counts until it leaves."""
        group = network_of(address)
        is_crowded = self._open[group] >= self._limits.connections_per_address
        if self._total >= self._limits.connections or (is_crowded and not is_within(address, self._trusted)):
            return False
        self._open[group] += 1
        self._total += 1
        return True

    def leave(self, address: str) -> None:
        """One connection from here is over."""
        group = network_of(address)
        self._total -= 1
        self._open[group] -= 1
        if not self._open[group]:
            del self._open[group]


class Joined:
    """A transport that sends in one piece what is written in one turn of the loop: uvicorn writes an answer's head and
    its body apart, which would be two system calls and two packets.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self.is_closing = transport.is_closing
        self._pieces: list[bytes] = []
        self._size = 0

    def __getattr__(self, name: str) -> Any:
        """Everything else is the transport's own."""
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send this with what else is written now; at once where it is much already, so that nothing piles up here."""
        if not self._pieces:
            self._loop.call_soon(self.flush)
        self._pieces.append(data)
        self._size += len(data)
        if self._size >= MOST_JOINED:
            self.flush()

    def flush(self) -> None:
        """Send what was written."""
        pieces, self._pieces, self._size = self._pieces, [], 0
        if pieces and not self._transport.is_closing():
            self._transport.write(b"".join(pieces))

    def close(self) -> None:
        """Send what was written, and close."""
        self.flush()
        self._transport.close()


class LimitedProtocol(HttpToolsProtocol):
    """One connection: counts what it sends before a request exists, how long that takes, and who it is.

    ``_is_head``: a request's head is being read, or none has begun. ``_head`` are the bytes of it that the parser has
    understood, ``_unread`` those since; ``_framing`` are bytes of the body's message that are not the body, ``_idle``
    those of a body whose request was answered already.
    """

    def __init__(self, limits: Limits, visitors: Visitors, **uvicorns: Any) -> None:
        super().__init__(**uvicorns)
        self._limits, self._visitors = limits, visitors
        self._address = ""
        self._is_admitted = False
        self._is_head = True
        self._head = self._unread = self._framing = self._fields = self._idle = 0
        self._refusal = BAD
        self._until, self._wakes_at = NEVER, NEVER
        self._alarm: asyncio.TimerHandle | None = None

    # --- the connection ---------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take it, or close it when its address has too many."""
        peer = transport.get_extra_info("peername")
        self._address = str(peer[0]) if peer else ""
        self._is_admitted = self._visitors.admit(self._address)
        super().connection_made(Joined(transport, self.loop))  # type: ignore[arg-type] - it is one in all that counts
        if self._is_admitted:
            self._expect(self._limits.header_seconds)
        else:
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Count it no more."""
        self._forget_deadline()
        if self._alarm is not None:
            self._alarm.cancel()
        if self._is_admitted:
            self._visitors.leave(self._address)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser, in pieces while it reads a head."""
        if self._until == NEVER:
            self._expect(self._limits.header_seconds)
        while data and not self.transport.is_closing():
            size = PIECE if self._is_head else len(data)
            piece, data = data[:size], data[size:]
            if self._is_head:
                self._unread += len(piece)
            else:
                self._framing += len(piece)
            super().data_received(piece)
            most = self._limits.header_bytes
            if self._head + self._unread > most or self._framing > most:
                self._refuse(TOO_LARGE)

    # --- what the parser found: what is raised here reaches ``send_400_response`` -----------------------------------

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._head = self._unread = self._fields = self._idle = 0
        self._expect(self._limits.header_seconds)

    def on_url(self, url: bytes) -> None:
        """A part of the request's target."""
        super().on_url(url)
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer, which nobody here may set anything with (RFC 9110 §6.5.1). What uvicorn does with it is
        done here, for this runs once for each header.
        """
        self._fields += 1
        self._unread = 0
        self._head += len(name) + len(value) + 4
        if self._fields > self._limits.headers or self._head > self._limits.header_bytes:
            self._give_up(TOO_LARGE)
        if self._is_head:
            name = name.lower()
            if name == b"expect" and value.lower() == b"100-continue":
                self.expect_100_continue = True
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The head is whole: a request exists."""
        assert self.parser is not None  # it goes with the connection
        hosts = [name for name, _ in self.headers].count(b"host")
        version = self.parser.get_http_version()
        # RFC 9112 §3.2: exactly one Host. With two, a proxy and we could read different ones.
        if version not in VERSIONS or hosts > 1 or (not hosts and version != "1.0"):
            self._give_up(BAD)
        if len(self.pipeline) >= MOST_PIPELINED:
            self._give_up(BAD)
        self._is_head = False
        self._head = self._unread = self._framing = 0
        self._expect(self._limits.body_seconds)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self._framing -= (1 + FRAMING) * len(body)
        super().on_body(body)
        if self.cycle is not None and self.cycle.response_complete:
            # RFC 9112 §9.6: closed at once, the client might lose the answer.
            self._idle += len(body)
            if self._idle > MOST_IDLE:
                self.transport.close()

    def on_message_complete(self) -> None:
        """The request is whole; the next one may begin."""
        self._is_head = True
        self._head = self._unread = self._framing = 0
        self._forget_deadline()
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """What the parser refuses, and what we raised in it."""
        self._refuse(self._refusal)

    # --- refusing ---------------------------------------------------------------------------------------------------

    def _count(self, size: int) -> None:
        self._unread = 0
        self._head += size
        if self._head > self._limits.header_bytes:
            self._give_up(TOO_LARGE)

    def _give_up(self, refusal: Refusal) -> None:
        self._refusal = refusal
        raise refusal

    def _refuse(self, refusal: Refusal) -> None:
        """Tell it, unless it would be read as the answer to an earlier request; and close."""
        self._forget_deadline()
        if self.transport.is_closing():
            return
        is_answering = self.cycle is not None and not self.cycle.response_complete
        if not is_answering or not (self._is_head or self.cycle.response_started):
            head = f"HTTP/1.1 {refusal.status} {refusal.reason}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
            self.transport.write(head.encode())
        self.transport.close()

    def _expect(self, seconds: float) -> None:
        """What is awaited comes within so many seconds. The alarm is left where it is, unless it would ring too late:
        one for each request would cost more than one that looks again.
        """
        self._until = self.loop.time() + seconds
        if self._until < self._wakes_at:
            self._wake_at(self._until)

    def _wake_at(self, at: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._wakes_at, self._alarm = at, self.loop.call_at(at, self._look)

    def _look(self) -> None:
        self._wakes_at, self._alarm = NEVER, None
        if self._until <= self.loop.time():
            self._refuse(TOO_SLOW)
        elif self._until != NEVER:
            self._wake_at(self._until)

    def _forget_deadline(self) -> None:
        self._until = NEVER

    def _unsupported_upgrade_warning(self) -> None:
        """No warning: a client that offers an upgrade is answered in HTTP/1.1."""


def listen(addresses: tuple[tuple[str, int], ...]) -> list[socket.socket]:
    """Sockets bound to exactly these addresses. Raises ``OSError``."""
    sockets = []
    for host, port in addresses:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        bound = socket.socket(family, socket.SOCK_STREAM)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            bound.bind((host, port))
        except OSError:
            bound.close()
            raise
        bound.listen(2048)
        bound.setblocking(False)
        sockets.append(bound)
    return sockets


class Server(uvicorn.Server):
    """Uvicorn's server; ``listening`` is set when it takes connections. Signals are the command line's business."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say so."""
        await super().startup(sockets)
        self.listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """None: readiness goes first, then the server (``cli.starting``)."""
        yield


def make(app: Any, limits: Limits | None = None, trusted: tuple[str, ...] = ()) -> Server:
    """A server for this application, behind these trusted proxies. At the end, requests in flight get 30 seconds."""
    limits = limits or Limits()
    protocol = functools.partial(LimitedProtocol, limits, Visitors(limits, trusted))
    config = uvicorn.Config(
        app,
        http=protocol,  # type: ignore[arg-type] - uvicorn only calls it
        loop="uvloop",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=65,
        timeout_graceful_shutdown=30,
        backlog=2048,
    )
    return Server(config)
