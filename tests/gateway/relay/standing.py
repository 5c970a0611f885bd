"""A house at a real port with upstreams behind its gate, and a proxy that signs in for programs that can't."""

import asyncio
import contextlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp

from gatelodge.core import mcp_servers, secrets, server_items
from gatelodge.core.ids import MCP_SERVER
from gatelodge.core.mcp_servers import McpServer
from gatelodge.core.server_terms import Terms
from gatelodge.web import server as web_server
from tests.gateway.speaking import Client, token
from tests.house import House
from tests.running import eventually, free_port, status

ACTOR = "robin@acme.example"


class Gate:
    """A house that listens, and what stands behind it."""

    def __init__(self, house: House, port: int) -> None:
        self.house, self.port = house, port

    @property
    def url(self) -> str:
        return self.house.config.public_url

    def register(self, url: str, name: str = "upstream", kind: str = "upstream", **terms: Any) -> McpServer:
        """An upstream, active, of which nobody has read what it offers."""
        made = McpServer(
            id=secrets.new_id(MCP_SERVER), org_id=self.house.org.id, name=name, label="The org's words", kind=kind,
            source=url, is_active=False, terms=Terms(allows_private=True, **terms),
        )  # fmt: skip
        told = {"actor": ACTOR, "now_ms": self.house.site.clock.now_ms()}
        self.house.write(mcp_servers.register, made, **told)
        self.house.write(mcp_servers.set_active, made.org_id, name, is_active=True, **told)
        self.house.catch_up()
        return made

    def read_in(self, server: McpServer) -> server_items.Catalogue:
        """Read what it offers, as registering does."""
        relaying = self.house.app._gateway.relaying
        relay = self.house.run(relaying._loaded())
        upstream = relaying._upstream(server)
        found = self.house.run(relay.catalogue(upstream, {}))
        self.offer(server, found)
        return found

    def offer(self, server: McpServer, found: server_items.Catalogue, *, off: tuple[str, ...] = ()) -> None:
        """An administrator turns all of it on, but for what is named."""
        told = {"actor": ACTOR, "now_ms": self.house.site.clock.now_ms()}
        known = self.house.read(mcp_servers.find, server.org_id, server.name)
        self.house.write(server_items.read_in, known, found, **told)
        for item in self.house.read(server_items.of_server, known).all:
            if item.name not in off:
                self.house.write(server_items.switch, item, known, is_on=True, **told)
        self.house.catch_up()

    def upstream(self, url: str, name: str = "upstream", **terms: Any) -> McpServer:
        """An upstream whose every item is on."""
        made = self.register(url, name, **terms)
        self.read_in(made)
        return made

    def token(self, server: str = "upstream", n: int = 0, **changes: Any) -> str:
        return token(self.house, n, aud=f"{self.house.org.issuer}/mcp/{server}", **changes)

    def client(self, server: str = "upstream", n: int = 0, **changes: Any) -> Client:
        """A client in this process, with a token for this server."""
        return Client(self.house, self.token(server, n, **changes), server)


@contextlib.contextmanager
def listening(house: House, app: Any, port: int, limits: web_server.Limits | None = None) -> Iterator[None]:
    """An ASGI application at a port, on the house's loop."""
    made = web_server.make(app, limits)
    made.config.timeout_graceful_shutdown = 1
    sockets = web_server.listen((("127.0.0.1", port),))
    serving = asyncio.run_coroutine_threadsafe(made.serve(sockets), house._loop)
    try:
        house.run(asyncio.wait_for(_set(made), 10))
        yield
    finally:
        made.should_exit = True
        serving.result(20)


async def _set(made: Any) -> None:
    await made.listening.wait()


@contextlib.contextmanager
def standing(furnished: Path, data: Path, *, limits: web_server.Limits | None = None, **options: Any) -> Iterator[Gate]:
    """A copy of a house that was started before, at a port of its own."""
    port = free_port()
    shutil.copytree(furnished, data)
    made = House(data, public_url=f"http://localhost:{port}", **options)
    made.moved_from = furnished
    with made as house, listening(house, house.app, port, limits):
        yield Gate(house, port)


@contextlib.contextmanager
def everything(era: str) -> Iterator[str]:
    """The upstream that the conformance suite asks for, as a process; its URL."""
    port = free_port()
    command = [sys.executable, "-W", "ignore", "-m", "tests.gateway.relay.everything", str(port), era]
    process = subprocess.Popen(command, cwd=Path(__file__).parent.parent.parent.parent)
    url = f"http://127.0.0.1:{port}/mcp"
    try:
        assert eventually(lambda: status(url) != 0, 20)
        yield url
    finally:
        process.terminate()
        process.wait(20)


class Signing:
    """A proxy on this machine that adds a token to whatever it passes on, for programs that have no way to be given one."""

    def __init__(self, gate: Gate, server: str, port: int) -> None:
        self._gate, self._own = gate, f"localhost:{port}"
        self._target = f"http://127.0.0.1:{gate.port}/mcp/{server}"
        self._token = gate.token(server)
        self._http: aiohttp.ClientSession | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self._http is None:
            self._http = aiohttp.ClientSession(auto_decompress=False, timeout=aiohttp.ClientTimeout(total=60))
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = [
            (name.decode(), value.decode("latin-1")) for name, value in scope["headers"] if name != b"connection"
        ]
        host = f"localhost:{self._gate.port}"
        sent = [
            (name, host if name == "host" and value == self._own else value.replace(self._own, host))
            for name, value in headers
        ]
        sent.append(("Authorization", f"Bearer {self._token}"))
        passing = asyncio.ensure_future(self._pass(scope["method"], sent, body, send))
        leaving = asyncio.ensure_future(receive())
        await asyncio.wait({passing, leaving}, return_when=asyncio.FIRST_COMPLETED)
        for task in (passing, leaving):
            task.cancel()
        await asyncio.wait({passing, leaving})

    async def _pass(self, method: str, sent: list[tuple[str, str]], body: bytes, send: Any) -> None:
        assert self._http is not None
        answer = await self._http.request(method, self._target, headers=sent, data=body or None)
        try:
            kept = [(name.lower(), value) for name, value in answer.raw_headers]
            kept = [each for each in kept if each[0] not in (b"transfer-encoding", b"connection")]
            await send({"type": "http.response.start", "status": answer.status, "headers": kept})
            async for chunk in answer.content.iter_any():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            answer.close()

    async def close(self) -> None:
        if self._http is not None:
            await self._http.close()


@contextlib.contextmanager
def signing(gate: Gate, server: str = "upstream") -> Iterator[str]:
    """That proxy; its URL."""
    port = free_port()
    made = Signing(gate, server, port)
    try:
        with listening(gate.house, made, port):
            yield f"http://localhost:{port}/mcp"
    finally:
        gate.house.run(made.close())
