"""A server in this process with limits of the test's own, and the raw bytes that a client sends it."""

import asyncio
import socket
import threading
from typing import Any

import msgspec

from gatelodge.web import server
from gatelodge.web.server import Limits


class Served:
    """An ASGI application on a free port of 127.0.0.1, on a loop in a thread."""

    def __init__(self, app: Any, limits: Limits | None = None, trusted: tuple[str, ...] = ()) -> None:
        self._http = server.make(app, limits, trusted)
        self._sockets = server.listen((("127.0.0.1", 0),))
        self.port = int(self._sockets[0].getsockname()[1])
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self) -> None:
        asyncio.run(self._http.serve(self._sockets))

    def __enter__(self) -> "Served":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.should_exit = self._http.force_exit = True
        self._thread.join(20)
        assert not self._thread.is_alive()

    def connect(self) -> "Wire":
        return Wire(self.port)


class Wire:
    """One TCP connection, byte for byte."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, raw: bytes) -> "Wire":
        self.socket.sendall(raw)
        return self

    def rest(self) -> bytes:
        """Everything until the server closes; a reset after its last byte is a close too."""
        read = b""
        try:
            while piece := self.socket.recv(65536):
                read += piece
        except ConnectionError:
            pass
        return read

    def until(self, end: bytes) -> bytes:
        read = b""
        while end not in read:
            piece = self.socket.recv(65536)
            assert piece, f"closed after {read!r}"
            read += piece
        return read


def statuses(raw: bytes) -> list[int]:
    """The status of each answer in these bytes."""
    return [int(part[:3]) for part in raw.split(b"HTTP/1.1 ")[1:]]


async def mirror(scope: Any, receive: Any, send: Any) -> None:
    """Answers what it read: the path, the headers' names, the size of the body."""
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size += len(message["body"])
        more = message["more_body"]
    names = [name.decode() for name, _ in scope["headers"]]
    body = msgspec.json.encode({"method": scope["method"], "path": scope["path"], "names": names, "size": size})
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
