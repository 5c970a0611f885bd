"""The HTTP server: uvicorn, with the limits that it lacks. A client that is slow or large costs nobody else anything."""

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes in bytes, times in seconds."""

    header_bytes: int = 32 * 1024
    headers: int = 100
    header_seconds: float = 10.0
    body_seconds: float = 30.0
    connections_per_address: int = 512
    connections: int = 10_000


def protocol(limits: Limits) -> type[HttpToolsProtocol]:
    """Uvicorn's protocol, held to these limits."""
    open_by_address: Counter[str] = Counter()

    class LimitedProtocol(HttpToolsProtocol):
        """Counts what a connection sends before a request exists, and how long it takes."""

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            peer = transport.get_extra_info("peername")
            self._address = str(peer[0]) if peer else ""
            self._head_bytes = 0
            self._deadline: asyncio.TimerHandle | None = None
            self._is_counted = False
            self._count = 0
            if (
                open_by_address[self._address] >= limits.connections_per_address
                or open_by_address.total() >= limits.connections
            ):
                transport.close()
                super().connection_made(transport)
                return
            open_by_address[self._address] += 1
            self._is_counted = True
            super().connection_made(transport)
            self._expect(limits.header_seconds)

        def connection_lost(self, exc: Exception | None) -> None:
            self._forget_deadline()
            if self._is_counted:
                open_by_address[self._address] -= 1
                if open_by_address[self._address] <= 0:
                    del open_by_address[self._address]
            super().connection_lost(exc)

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self._count = 0
            self._expect(limits.header_seconds)

        def on_header(self, name: bytes, value: bytes) -> None:
            self._count += 1
            if self._count > limits.headers:
                raise TooLarge
            super().on_header(name, value)

        def on_headers_complete(self) -> None:
            self._head_bytes = 0
            self._expect(limits.body_seconds)
            super().on_headers_complete()

        def on_message_complete(self) -> None:
            self._forget_deadline()
            super().on_message_complete()

        def data_received(self, data: bytes) -> None:
            if self.cycle is None or self.cycle.response_complete:
                self._head_bytes += len(data)
                head = data.partition(b"\r\n\r\n")[0]
                if self._head_bytes - len(data) + len(head) > limits.header_bytes:
                    self._say(431, "Request Header Fields Too Large")
                    return
                if self._deadline is None:
                    self._expect(limits.header_seconds)
            try:
                super().data_received(data)
            except TooLarge:
                self._say(431, "Request Header Fields Too Large")

        def send_400_response(self, msg: str) -> None:
            if self._count > limits.headers:  # the parser tells a callback's exception as a bad request
                self._say(431, "Request Header Fields Too Large")
            else:
                super().send_400_response(msg)

        def _expect(self, seconds: float) -> None:
            self._forget_deadline()
            self._deadline = self.loop.call_later(seconds, self._too_slow)

        def _forget_deadline(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

        def _too_slow(self) -> None:
            self._deadline = None
            is_answering = self.cycle is not None and self.cycle.response_started
            if is_answering:
                self.transport.close()
            else:
                self._say(408, "Request Timeout")

        def _say(self, status: int, reason: str) -> None:
            if not self.transport.is_closing():
                self.transport.write(
                    f"HTTP/1.1 {status} {reason}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n".encode()
                )
                self.transport.close()

    return LimitedProtocol


class TooLarge(Exception):
    """More headers than any client needs."""


def listen(addresses: tuple[tuple[str, int], ...]) -> list[socket.socket]:
    """Sockets bound to exactly these addresses. Raises ``OSError``."""
    sockets = []
    for host, port in addresses:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        bound = socket.socket(family, socket.SOCK_STREAM)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind((host, port))
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


def make(app: Any, limits: Limits | None = None) -> Server:
    """A server for this application: in flight requests get 30 seconds to finish at the end."""
    config = uvicorn.Config(
        app,
        http=protocol(limits or Limits()),
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
