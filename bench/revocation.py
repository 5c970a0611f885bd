"""From the answer of a revocation (RFC 7009) to the first refusal at the MCP server: on the same node, and on another.

    python bench/revocation.py [--times 50]

Two nodes on one PostgreSQL, and one on SQLite. A token is used on both nodes, revoked through the first, and from the
moment the answer is there one of the nodes is called with it again and again. The least that can be measured is one
call; how many were still answered is counted too.
"""

import argparse
import asyncio
import base64
import contextlib
import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from measuring import free_port, median, started
from servers import CALLBACK, HIGH, cluster, environment, furnished, gatelodge_on_sqlite, target
from wire import Answer, Connection

VERIFIER = "a-verifier-that-nobody-has-to-keep-to-himself-for-long"
REVOKE = "/services/oauth2/revoke"
LIST = json.dumps(
    {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/list",
        "params": {
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": {},
                "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
            }
        },
    }
).encode()


class User:
    """Who signs in, calls and revokes."""

    def __init__(self, browser: Connection, of: dict[str, Any]) -> None:
        self._browser, self._of = browser, of
        challenge = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
        asked = {
            "response_type": "code",
            "client_id": of["client_id"],
            "redirect_uri": CALLBACK,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        self._authorize = f"{of['authorize']}?{urlencode(asked)}"

    async def token(self) -> str:
        """A fresh connection's access token."""
        location = await self._browser.walk(self._authorize, CALLBACK, self._of["typed"])
        fields = {
            "grant_type": "authorization_code",
            "client_id": self._of["client_id"],
            "redirect_uri": CALLBACK,
            "code": parse_qs(urlsplit(location).query)["code"][0],
            "code_verifier": VERIFIER,
        }
        return json.loads((await self._browser.post(self._of["token"], fields)).body)["access_token"]

    async def call(self, node: Connection, token: str) -> Answer:
        """List the tools of the MCP server at this node."""
        return await node.send(
            "POST",
            urlsplit(self._of["resource"]).path,
            LIST,
            content_type="application/json",
            accept="application/json, text/event-stream",
            authorization=f"Bearer {token}",
            mcp_protocol_version="2026-07-28",
            mcp_method="tools/list",
        )

    async def milliseconds(self, nodes: list[Connection], watched: Connection) -> tuple[float, int]:
        """From the answer of the revocation to the refusal, and how many calls were answered between."""
        token, answered = await self.token(), 0
        for node in nodes:
            answer = await self.call(node, token)
            if answer.status != 200:
                raise AssertionError(f"{answer.status}: {answer.body[:500]!r}")
        revoked = await nodes[0].post(REVOKE, {"client_id": self._of["client_id"], "token": token})
        if revoked.status != 200:
            raise AssertionError(f"{revoked.status}: {revoked.body[:500]!r}")
        begun = time.perf_counter()
        while (answer := await self.call(watched, token)).status == 200:
            answered += 1
        if answer.status != 401:
            raise AssertionError(f"{answer.status}: {answer.body[:500]!r}")
        return (time.perf_counter() - begun) * 1000, answered


async def measure(of: dict[str, Any], ports: list[int], times: int, where: dict[str, int]) -> None:
    nodes = [await Connection.open(of["url"], port) for port in ports]
    user = User(nodes[0], of)
    for words, watched in where.items():
        _ = await user.milliseconds(nodes, nodes[watched])  # unmeasured: the first call loads the MCP library
        found = [await user.milliseconds(nodes, nodes[watched]) for _ in range(times)]
        took = [each for each, _ in found]
        answered = max(each for _, each in found)
        print(f"  {words:32}{median(took):8.1f} ms{max(took):10.1f} ms{answered:10}", flush=True)


@contextlib.contextmanager
def two_nodes(folder: Path) -> Iterator[tuple[dict[str, Any], list[int]]]:
    """Two nodes of ``gatelodge serve`` behind one public URL, on one PostgreSQL."""
    with cluster(folder / "cluster") as served, contextlib.ExitStack() as stack:
        ports, database, data = [free_port(), free_port()], served.fresh_database(), folder / "nodes"
        told = furnished(data, ports[0], database)
        for port in ports:
            command = [sys.executable, "-m", "gatelodge", "serve", "--public-url", told["issuer"], "--data", str(data)]
            command += ["--bind", f"127.0.0.1:{port}", "--rate-limit", HIGH]
            process, _ = stack.enter_context(started(command, port, "/readyz", environment(data, database)))
        yield target(told, "two nodes", process.pid), ports


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--times", type=int, default=50)
    times = asked.parse_args().times
    print(f"from a revocation's answer to the first refusal, {times} times")
    print(f"  {'':32}{'median':>11}{'worst':>13}{'answered':>10}")
    with tempfile.TemporaryDirectory() as folder:
        with gatelodge_on_sqlite(Path(folder)) as of:
            port = urlsplit(of["url"]).port
            asyncio.run(measure(of, [port], times, {"the same node, SQLite": 0}))
        with two_nodes(Path(folder)) as (of, ports):
            asyncio.run(measure(of, ports, times, {"the same node, PostgreSQL": 0, "another node, PostgreSQL": 1}))


if __name__ == "__main__":
    main()
