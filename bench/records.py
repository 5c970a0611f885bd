"""soqlQuery of 20 rows through the gate, everything on, beside the same rows read by SQLAlchemy alone and dumped as JSON."""

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import uvloop
from measuring import cpu_seconds, free_port, resident_megabytes

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from gatelodge.app import build  # noqa: E402
from gatelodge.cli import seeding, starting  # noqa: E402
from gatelodge.config import Config  # noqa: E402
from gatelodge.core import secrets, tokens, users  # noqa: E402
from gatelodge.core.permissions import USE_MCP_SERVERS  # noqa: E402
from gatelodge.core.tokens import Claims  # noqa: E402
from gatelodge.web import server as web_server  # noqa: E402

MODERN, LEGACY = "2026-07-28", "2025-11-25"
META = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}
SAME = "SELECT Id, Name, Industry, AnnualRevenue, Owner.Name FROM Account WHERE Industry != null ORDER BY Name LIMIT 20"
OTHER = (
    "SELECT Id, Name, Industry, AnnualRevenue, Owner.Name FROM Account WHERE Industry != null AND AnnualRevenue > {n}"
    " ORDER BY Name LIMIT 20"
)
BARE = (
    "SELECT a.Id, a.Name, a.Industry, a.AnnualRevenue, u.Name AS OwnerName FROM Account a LEFT JOIN User u ON a.OwnerId = u.Id"
    " WHERE a.Industry IS NOT NULL ORDER BY lower(a.Name) LIMIT 20"
)
ROWS, WARM_UP = 20, 300


async def serve(port: int, data: str) -> None:
    """A development org with its sample; says on its first line where it is and what opens it."""
    app = await build(Config(public_url=f"http://localhost:{port}", data=data, is_development=True))
    site = app.site
    told = await seeding.development(site)
    await app.start()
    org, opening = site.live.orgs()[0], []
    url, keys = f"{org.issuer}/mcp/sobject-reads", (await site.live.keys(org.id)).signer
    for user in await site.store.read(users.in_order, org.id):
        if not (await site.live.user(org.id, user.id)).access.may(USE_MCP_SERVERS):
            continue
        for each in told.apps:
            now, n = site.clock.now(), len(opening)
            claims = Claims(
                iss=org.issuer, sub=user.id, aud=url, client_id=each["consumer_key"], scope="mcp_api", iat=now,
                exp=now + 600, jti=secrets.new_token(), auth_time=now, authorization_id=f"0uA{n:015d}",
                connection_id=f"0uC{n:015d}",
            )  # fmt: skip
            opening.append(tokens.sign(keys.key, keys.algorithm, keys.kid, claims))
    print(json.dumps({"url": url, "pid": os.getpid(), "tokens": opening}), flush=True)
    starting.leave_to_rest()
    await web_server.make(app).serve(web_server.listen((("127.0.0.1", port),)))


def request(url: str, query: str, version: str, token: str) -> bytes:
    params = {"name": "soqlQuery", "arguments": {"q": query}}
    named = ""
    if version == MODERN:
        params, named = {"_meta": META, **params}, "Mcp-Method: tools/call\r\nMcp-Name: soqlQuery\r\n"
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
    host, _, path = url.removeprefix("http://").partition("/")
    return (
        f"POST /{path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nAuthorization: Bearer {token}\r\n"
        f"Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: {version}\r\n"
        f"{named}Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, raw: bytes) -> None:
    writer.write(raw)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    body = await reader.readexactly(int(head.partition(b"content-length:")[2].partition(b"\r\n")[0]))
    if not head.startswith(b"http/1.1 200") or body.count(b"attributes") < ROWS:
        raise AssertionError(head + body)


async def called(node: dict[str, Any], query: str, version: str, connections: int, total: int) -> dict[str, float]:
    port, times, asked = int(node["url"].split(":")[2].partition("/")[0]), list[float](), [0]

    async def loop(n: int, until: int, *, keeps: bool) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
        while asked[0] < until:
            asked[0] += 1
            raw = request(node["url"], query.format(n=asked[0]), version, node["tokens"][n % len(node["tokens"])])
            began = time.perf_counter()
            await one(reader, writer, raw)
            if keeps:
                times.append(time.perf_counter() - began)
        writer.close()

    await asyncio.gather(*(loop(n, WARM_UP, keeps=False) for n in range(connections)))
    before, began = cpu_seconds(node["pid"]), time.perf_counter()
    await asyncio.gather(*(loop(n, WARM_UP + total, keeps=True) for n in range(connections)))
    cpu, wall = cpu_seconds(node["pid"]) - before, time.perf_counter() - began
    cuts = statistics.quantiles(times, n=100)
    return {"cpu": cpu / len(times) * 1000, "p50": cuts[49] * 1000, "p99": cuts[98] * 1000, "rate": len(times) / wall}


def bare(database: Path, total: int) -> dict[str, float]:
    """CPU-seconds for each 1000 of the same rows, without a gate: one connection, one thread, one statement each."""
    engine = sa.create_engine(f"sqlite:///{database}")
    statement, times = sa.text(BARE), list[float]()
    with engine.connect() as connection:
        for n in range(WARM_UP + total):
            if n == WARM_UP:
                before = time.process_time()
            began = time.perf_counter()
            rows = [dict(row) for row in connection.execute(statement).mappings()]
            said = json.dumps({"totalSize": len(rows), "done": True, "records": rows})
            if len(rows) != ROWS or not said:
                raise AssertionError(rows)
            times.append(time.perf_counter() - began)
    cuts = statistics.quantiles(times[WARM_UP:], n=100)
    cpu = time.process_time() - before
    return {
        "cpu": cpu / total * 1000,
        "p50": cuts[49] * 1000,
        "p99": cuts[98] * 1000,
        "rate": total / sum(times[WARM_UP:]),
    }


@contextlib.contextmanager
def running(folder: Path) -> Iterator[dict[str, Any]]:
    port = free_port()
    command = [sys.executable, __file__, "--serve", str(port), str(folder / "data")]
    process = subprocess.Popen(command, text=True, stdout=subprocess.PIPE)
    try:
        yield json.loads(process.stdout.readline())
    finally:
        process.terminate()
        process.wait(20)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--connections", default="1,16")
    parser.add_argument("--rounds", type=int, default=3, help="Targets take turns; each figure is the median of these.")
    parser.add_argument("--serve", nargs=2, metavar=("PORT", "DATA"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        uvloop.run(serve(int(options.serve[0]), options.serve[1]))
        return
    queries: dict[str, tuple[str, str]] = {
        "the same query": (SAME, MODERN),
        "another query each": (OTHER, MODERN),
        "older era, the same": (SAME, LEGACY),
    }
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as node:
        time.sleep(0.5)
        uvloop.run(called(node, *queries["the same query"], 1, 10))  # makes the sample
        print(f"{'target':20} {'conns':>5} {'CPU-s/1000':>10} {'p50 ms':>8} {'p99 ms':>8} {'calls/s':>8}")
        found: dict[tuple[str, int], list[dict[str, float]]] = {}
        for _ in range(options.rounds):
            found.setdefault(("SQLAlchemy alone", 1), []).append(bare(Path(folder) / "data/sample.db", options.calls))
            for connections in map(int, options.connections.split(",")):
                for name, (query, version) in queries.items():
                    got = uvloop.run(called(node, query, version, connections, options.calls))
                    found.setdefault((name, connections), []).append(got)
        for (name, connections), rounds in found.items():
            got = {key: statistics.median(each[key] for each in rounds) for key in rounds[0]}
            print(
                f"{name:20} {connections:5} {got['cpu']:10.3f} {got['p50']:8.2f} {got['p99']:8.2f} {got['rate']:8.0f}"
            )
        print(f"resident memory: {resident_megabytes(node['pid']):.0f} MB")


if __name__ == "__main__":
    main()
