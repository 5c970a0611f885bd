"""An MCP client of either era at the gate, with a token of the org's own making: what a stranger would send, to the byte."""

import json
from typing import Any

import httpx2
import msgspec

from gatelodge.core import tokens, users
from gatelodge.core.apps.policies import Policies
from gatelodge.core.tokens import Claims
from tests.house import House

MODERN = "2026-07-28"
LEGACY = ("2025-06-18", "2025-11-25")
ACCEPT = "application/json, text/event-stream"
META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
}
SERVER = "sobject-reads"
LIFETIME = Policies().access_token_minutes * 60
"""Seconds that an app's access tokens live when its policies say nothing else."""


def claims(house: House, n: int = 0, *, preset: str = "claude-code", **changes: Any) -> Claims:
    """What a fresh access token of the org's n-th person says: an administrator, a standard user, one without MCP."""
    username = house.told.users[n]["username"]
    found = house.read(users.in_order, house.org.id)
    now = house.site.clock.now()  # on PostgreSQL, the database's time
    made = Claims(
        iss=house.org.issuer,
        sub=next(user.id for user in found if user.username == username),
        aud=f"{house.org.issuer}/mcp/{SERVER}",
        client_id=next(app["consumer_key"] for app in house.told.apps if app["preset"] == preset),
        scope="mcp_api refresh_token",
        iat=now,
        exp=now + LIFETIME,
        jti=f"jti-{n}",
        auth_time=now,
        authorization_id="0uA000000000001AAA",
        connection_id="0uC000000000001AAA",
    )
    return msgspec.structs.replace(made, **changes)


def token(house: House, n: int = 0, **changes: Any) -> str:
    """That token, signed with the org's key."""
    key = house.run(house.site.live.keys(house.org.id))
    return tokens.sign(key.signer.key, key.signer.algorithm, key.signer.kid, claims(house, n, **changes))


class Client:
    """One client with one token. A token of None sends no Authorization header."""

    def __init__(self, house: House, token: str | None, server: str = SERVER, issuer: str = "") -> None:
        self.front = house.client()
        self.url = f"{issuer or house.org.issuer}/mcp/{server}"
        self.headers = {"Authorization": f"Bearer {token}"} if token is not None else {}

    def send(self, body: Any, headers: dict[str, str] | None = None, *, method: str = "POST") -> httpx2.Response:
        """A request with exactly this body (bytes, or anything that is JSON) and these headers beside the token."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Accept": ACCEPT, "Content-Type": "application/json"} | self.headers | (headers or {})
        return self.front.request(method, self.url, content=content, headers=sent)

    def modern(
        self, method: str, params: dict[str, Any] | None = None, headers: dict[str, str] | None = None
    ) -> httpx2.Response:
        """A request of 2026-07-28, which needs nothing before it."""
        params = {"_meta": META} | (params or {})
        sent = {"MCP-Protocol-Version": MODERN, "Mcp-Method": method}
        sent |= {"Mcp-Name": str(params["name"])} if "name" in params else {}
        return self.send({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}, sent | (headers or {}))

    def legacy(
        self, method: str, params: dict[str, Any] | None = None, version: str | None = LEGACY[-1]
    ) -> httpx2.Response:
        """A request of the ``initialize`` era."""
        sent = {"MCP-Protocol-Version": version} if version else {}
        return self.send({"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}}, sent)

    def call(self, tool: str, **arguments: Any) -> tuple[Any, bool]:
        """A tool's answer, and whether it is an error."""
        return self.call_with(tool, arguments)

    def call_with(self, tool: str, arguments: dict[str, Any]) -> tuple[Any, bool]:
        """The same, for arguments whose names are no Python names."""
        answer = self.modern("tools/call", {"name": tool, "arguments": arguments})
        assert answer.status_code == 200, (answer.status_code, answer.text)
        result = answer.json()["result"]
        return json.loads(result["content"][0]["text"]), result["isError"]

    def query(self, soql: str) -> dict[str, Any]:
        """A query's answer. Fails the test when it is refused."""
        found, is_error = self.call("soqlQuery", q=soql)
        assert not is_error, (soql, found)
        return found

    def refusal(self, soql: str, tool: str = "soqlQuery") -> dict[str, str]:
        """The error of a query that is refused: its errorCode and message."""
        found, is_error = self.call(tool, q=soql)
        assert is_error, (soql, found)
        return found[0]
