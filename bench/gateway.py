"""tools/call through the gate, everything on, beside the upstream itself and other gateways; memory of open streams; and
the time from a revocation to the end of a stream.
"""

import argparse
import asyncio
import contextlib
import json
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvloop
from measuring import cpu_seconds, free_port, resident_megabytes

HERE = Path(__file__).parent
META = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}
CALL = json.dumps({
    "jsonrpc": "2.0", "id": 1, "method": "tools/call",
    "params": {"_meta": META, "name": "echo", "arguments": {"text": "hello"}},
})  # fmt: skip
LISTEN = json.dumps({
    "jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": {"_meta": META, "notifications": {}},
})  # fmt: skip
WARM_UP = 300
FASTMCP = """
import sys
from fastmcp.server import create_proxy
create_proxy(sys.argv[2]).run(transport="http", host="127.0.0.1", port=int(sys.argv[1]), path="/mcp", stateless_http=True, json_response=True, log_level="ERROR", show_banner=False)
"""
NGINX = """
master_process off; daemon off; pid {folder}/pid; error_log stderr error;
events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 10000000; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
upstream up {{ server 127.0.0.1:{upstream}; keepalive 128; keepalive_requests 10000000; }}
server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ""; }} }} }}
"""


def request(url: str, body: str, method: str, token: str = "") -> bytes:
    host, _, path = url.removeprefix("http://").partition("/")
    name = "Mcp-Name: echo\r\n" if method == "tools/call" else ""
    signed = f"Authorization: Bearer {token}\r\n" if token else ""
    return (
        f"POST /{path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n{signed}"
        f"Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2026-07-28\r\nMcp-Method: {method}\r\n"
        f"{name}Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


async def connected(url: str, n: int = 0) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """The n-th connection to there. A node takes 512 from one address."""
    port = int(url.removeprefix("http://").partition("/")[0].rpartition(":")[2])
    return await asyncio.open_connection("127.0.0.1", port, local_addr=(f"127.0.0.{1 + n // 400}", 0))


async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, raw: bytes) -> None:
    writer.write(raw)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if not head.startswith(b"http/1.1 200"):
        raise AssertionError(head + await reader.read(400))
    _, _, rest = head.partition(b"content-length:")
    if rest:
        body = await reader.readexactly(int(rest.partition(b"\r\n")[0]))
    else:
        body = await reader.readuntil(b"0\r\n\r\n")
    if b'"echo"' not in body:
        raise AssertionError(body)


async def measured(url: str, pid: int, tokens: list[str], connections: int, total: int) -> dict[str, float]:
    times: list[float] = []
    left = [total]

    async def loop(n: int, count: list[int], *, keeps: bool) -> None:
        reader, writer = await connected(url)
        raw = request(url, CALL, "tools/call", tokens[n % len(tokens)] if tokens else "")
        while count[0] > 0:
            count[0] -= 1
            began = time.perf_counter()
            await one(reader, writer, raw)
            if keeps:
                times.append(time.perf_counter() - began)
        writer.close()

    warm = [min(WARM_UP, total)]
    await asyncio.gather(*(loop(n, warm, keeps=False) for n in range(connections)))
    before, began = cpu_seconds(pid), time.perf_counter()
    await asyncio.gather(*(loop(n, left, keeps=True) for n in range(connections)))
    cpu, wall = cpu_seconds(pid) - before, time.perf_counter() - began
    cuts = statistics.quantiles(times, n=100)
    return {"cpu": cpu / len(times) * 1000, "p50": cuts[49] * 1000, "p99": cuts[98] * 1000, "rate": len(times) / wall}


async def streams(node: dict[str, Any], process: subprocess.Popen[str], count: int) -> dict[str, float]:
    before = resident_megabytes(node["pid"])
    tokens, held = node["tokens"], []
    for n in range(count):
        reader, writer = await connected(node["url"], n)
        writer.write(request(node["url"], LISTEN, "subscriptions/listen", tokens[n % len(tokens)]))
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise AssertionError(head + await reader.read(400))
        await reader.readuntil(b"acknowledged")
        held.append((n % len(tokens), reader, writer))
    grown = resident_megabytes(node["pid"]) - before
    ended: list[float] = []
    for which in range(min(5, len(tokens))):
        mine = [reader for n, reader, _ in held if n == which]
        process.stdin.write(f"0uA{which:015d}\n")
        process.stdin.flush()
        said = float(await asyncio.to_thread(process.stdout.readline))
        await asyncio.gather(*(reader.readuntil(b"0\r\n\r\n") for reader in mine))
        ended.append((time.monotonic() - said) * 1000)
    for _, _, writer in held:
        writer.close()
    return {"megabytes": grown * 1000 / count, "ended_ms": statistics.median(ended), "ended_worst_ms": max(ended)}


@contextlib.contextmanager
def running(command: list[str], **more: Any) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(command, text=True, cwd=HERE, **more)
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


def wait_for(port: int) -> None:
    for _ in range(600):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise AssertionError(f"nobody listens at {port}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=6000)
    parser.add_argument("--connections", default="1,16,64")
    parser.add_argument("--rounds", type=int, default=3, help="Targets take turns; each figure is the median of these.")
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--fastmcp", default="", help="A Python that has fastmcp 4.1, to measure its proxy beside.")
    options = parser.parse_args()
    with contextlib.ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory()))
        port, gate = free_port(), free_port()
        echo = held.enter_context(running([sys.executable, "echo.py", str(port)]))
        wait_for(port)
        upstream = f"http://127.0.0.1:{port}/mcp"
        command = [sys.executable, "gateway_node.py", str(gate), str(folder / "data"), upstream]
        process = held.enter_context(running(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        node = json.loads(process.stdout.readline())
        wait_for(gate)
        targets = {"upstream": (upstream, echo.pid, [], 1), "gatelodge": (node["url"], node["pid"], node["tokens"], 1)}
        if nginx := shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin"):
            at = free_port()
            (folder / "nginx.conf").write_text(NGINX.format(folder=folder, upstream=port, port=at))
            passing = held.enter_context(running([nginx, "-c", str(folder / "nginx.conf"), "-p", str(folder)]))
            wait_for(at)
            targets["nginx"] = (f"http://127.0.0.1:{at}/mcp", passing.pid, [], 1)
        else:
            print("without nginx, which isn't installed: apt-get install nginx-light", file=sys.stderr)
        if options.fastmcp:
            at = free_port()
            proxy = held.enter_context(running([options.fastmcp, "-c", FASTMCP, str(at), upstream]))
            wait_for(at)
            targets["fastmcp"] = (f"http://127.0.0.1:{at}/mcp", proxy.pid, [], 60)
        else:
            print("without FastMCP's proxy: --fastmcp takes a Python that has fastmcp 4.1", file=sys.stderr)
        print(f"{'target':10} {'conns':>5} {'CPU-s/1000':>10} {'p50 ms':>8} {'p99 ms':>8} {'calls/s':>8} {'MB':>6}")
        for connections in map(int, options.connections.split(",")):
            rounds: dict[str, list[dict[str, float]]] = {name: [] for name in targets}
            for _ in range(options.rounds):
                for name, (url, pid, tokens, fewer) in targets.items():
                    calls = max(options.calls // fewer, 100)
                    rounds[name].append(uvloop.run(measured(url, pid, tokens, connections, calls)))
            for name, (_, pid, *_) in targets.items():
                got = {key: statistics.median(each[key] for each in rounds[name]) for key in rounds[name][0]}
                print(
                    f"{name:10} {connections:5} {got['cpu']:10.3f} {got['p50']:8.2f} {got['p99']:8.2f} {got['rate']:8.0f}"
                    f" {resident_megabytes(pid):6.0f}"
                )
        got = uvloop.run(streams(node, process, options.streams))
        print(f"open streams: {got['megabytes']:.0f} MB for each 1000")
        print(
            f"from a revocation to the end of its streams: {got['ended_ms']:.0f} ms, worst {got['ended_worst_ms']:.0f} ms"
        )


if __name__ == "__main__":
    main()
