"""Running servers under many callers: one process on SQLite, or two nodes on one PostgreSQL behind one public URL."""

import asyncio
import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2
import msgspec

from gatelodge.core.secrets import base64url
from tests.house import House
from tests.people import OAuthClient, Person, tools_list
from tests.postgres import Cluster
from tests.running import free_port, running_dev, running_node

CALLBACK = "https://oauth.pstmn.io/v1/callback"
VERIFIER = "a-verifier-of-43-characters-and-a-few-more--"
CHALLENGE = base64url(hashlib.sha256(VERIFIER.encode()).digest())


class ToNode(httpx2.HTTPTransport):
    """Leads the public URL's requests to one node, as a load balancer would; the Host header stays."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self._port = port

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        url = request.url.copy_with(host="127.0.0.1", port=self._port)
        sent = httpx2.Request(
            request.method, url, headers=request.headers, stream=request.stream, extensions=request.extensions
        )
        return super().handle_request(sent)


class Deployment(msgspec.Struct, kw_only=True):
    """Its nodes by port, and a person who has signed in and consented to an app with an https callback."""

    issuer: str
    ports: tuple[int, ...]
    client_id: str
    database: str
    person: dict[str, str]
    cookies: str = ""

    def front(self, node: int = 0) -> httpx2.Client:
        # A busy machine may take long over the first call of a node; how long is no promise of these tests.
        return httpx2.Client(transport=ToNode(self.ports[node % len(self.ports)]), base_url=self.issuer, timeout=60)

    @contextlib.contextmanager
    def client(self, node: int = 0) -> Iterator[OAuthClient]:
        """An OAuth client in the signed-in person's browser."""
        with self.front(node) as front:
            front.headers["Cookie"] = self.cookies
            yield OAuthClient(
                front=front, issuer=self.issuer, client_id=self.client_id, redirect_uri=CALLBACK, verifier=VERIFIER
            )  # fmt: skip

    def sign_in(self) -> None:
        with self.client() as client:
            del client.front.headers["Cookie"]
            came_back = Person(client.front, self.person["username"], self.person["password"]).allow(
                client.authorize_url()
            )
            assert "code" in came_back, came_back
            self.cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in client.front.cookies.jar)

    def mcp(self, token: str, node: int) -> int:
        with self.front(node) as front:
            return tools_list(front, f"{self.issuer}/mcp/sobject-reads", token).status_code


@contextlib.contextmanager
def on_sqlite(data: Path, *flags: str) -> Iterator[Deployment]:
    with running_dev(data, *flags) as dev:
        port = int(dev.issuer.rpartition(":")[2])
        made = Deployment(
            issuer=dev.issuer, ports=(port,), client_id=dev.key("postman"), database="", person=dev.user(0)
        )  # fmt: skip
        made.sign_in()
        yield made


@contextlib.contextmanager
def on_postgres(data: Path, cluster: Cluster, *flags: str, nodes: int = 2) -> Iterator[Deployment]:
    """The org is made by a development house that then gives its database to the nodes."""
    database, public_url = cluster.fresh_database(), f"http://localhost:{free_port()}"
    with House(data, database=database, public_url=public_url) as house:
        told = house.told
    with contextlib.ExitStack() as running:
        ports = tuple(free_port() for _ in range(nodes))
        for port in ports:
            running.enter_context(running_node(database, data / "master.key", public_url, port, *flags))
        key = next(app["consumer_key"] for app in told.apps if app["preset"] == "postman")
        made = Deployment(
            issuer=public_url, ports=ports, client_id=key, database=database, person=told.users[0]
        )  # fmt: skip
        made.sign_in()
        yield made


class Caller:
    """One connection that is kept: requests go out as bytes, so that 16 callers are at once and cost little."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, deployment: Deployment) -> None:
        self._reader, self._writer, self._deployment = reader, writer, deployment
        self._host = urlsplit(deployment.issuer).netloc

    @classmethod
    async def at(cls, deployment: Deployment, node: int) -> "Caller":
        port = deployment.ports[node % len(deployment.ports)]
        return cls(*await asyncio.open_connection("127.0.0.1", port), deployment)

    async def code(self) -> str:
        """A fresh code for the signed-in person, who owes no answer."""
        asked = {
            "response_type": "code", "client_id": self._deployment.client_id, "redirect_uri": CALLBACK,
            "scope": "mcp_api refresh_token", "code_challenge": CHALLENGE, "code_challenge_method": "S256",
        }  # fmt: skip
        head = f"GET /services/oauth2/authorize?{urlencode(asked)} HTTP/1.1\r\nCookie: {self._deployment.cookies}"
        status, headers, body = await self._exchange(head, b"")
        assert status == 303, body
        return parse_qs(urlsplit(headers["location"]).query)["code"][0]

    async def redeem(self, code: str) -> tuple[int, dict[str, Any]]:
        grant = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK, "code_verifier": VERIFIER}
        return await self._token(grant)

    async def refresh(self, token: str) -> tuple[int, dict[str, Any]]:
        return await self._token({"grant_type": "refresh_token", "refresh_token": token})

    async def _token(self, grant: dict[str, str]) -> tuple[int, dict[str, Any]]:
        body = urlencode(grant | {"client_id": self._deployment.client_id}).encode()
        head = (
            "POST /services/oauth2/token HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\n"
            f"Content-Length: {len(body)}"
        )
        status, _, answer = await self._exchange(head, body)
        return status, msgspec.json.decode(answer)

    async def _exchange(self, head: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        self._writer.write(f"{head}\r\nHost: {self._host}\r\n\r\n".encode() + body)
        first, *lines = (await self._reader.readuntil(b"\r\n\r\n")).decode().splitlines()
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
        answer = await self._reader.readexactly(int(headers.get("content-length", "0")))
        return int(first.split()[1]), headers, answer

    def close(self) -> None:
        self._writer.close()


@contextlib.asynccontextmanager
async def callers(deployment: Deployment, count: int):
    """So many connections, spread over the nodes."""
    made = [await Caller.at(deployment, n) for n in range(count)]
    try:
        yield made
    finally:
        for each in made:
            each.close()
