"""From exec to the first 200 of the metadata, and the memory it takes, beside the floor of this machine.

    python bench/cold_start.py [--runs 9]

The floor is a server that can do nothing (starlette on uvicorn, one line of an answer), started by the same Python in
turns with ours: what remains above it is Gatelodge's own.
"""

import argparse
import asyncio
import base64
import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from measuring import cpu_seconds, free_port, median, resident_megabytes, started
from wire import Connection

NAMES = ("floor", "first", "second", "floor CPU", "first CPU", "second CPU", "floor MB", "MB", "MB after")
METADATA = "/.well-known/oauth-authorization-server"
FLOOR = """
import sys, uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
app = Starlette(routes=[Route(sys.argv[2], lambda request: PlainTextResponse("ok"))])
uvicorn.run(app, port=int(sys.argv[1]), log_level="error", loop="uvloop", http="httptools")
"""
VERIFIER = "a-verifier-that-nobody-has-to-keep-to-himself-for-long"
CALLBACK = "https://oauth.pstmn.io/v1/callback"
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
}


def command(data: Path, port: int) -> list[str]:
    """Development: also makes the keys, the org with its users, data and apps."""
    return [sys.executable, "-m", "gatelodge", "dev", "--json", "--port", str(port), "--data", str(data)]


async def first_call(told: dict[str, Any]) -> None:
    """Sign in, consent, redeem, call a tool: after this the MCP library and the sample database are there."""
    connection, user = await Connection.open(told["issuer"]), told["users"][0]
    client_id = next(app["consumer_key"] for app in told["apps"] if app["preset"] == "postman")
    challenge = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
    asked = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": CALLBACK,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    typed = {"username": user["username"], "password": user["password"], "answer": "allow"}
    location = await connection.walk(f"/services/oauth2/authorize?{urlencode(asked)}", CALLBACK, typed)
    redeemed = {
        "grant_type": "authorization_code",
        "client_id": client_id,
        "redirect_uri": CALLBACK,
        "code": parse_qs(urlsplit(location).query)["code"][0],
        "code_verifier": VERIFIER,
    }
    answer = await connection.post("/services/oauth2/token", redeemed)
    call = {"name": "soqlQuery", "arguments": {"q": "SELECT Id, Name FROM Account LIMIT 10"}, "_meta": META}
    answer = await connection.send(
        "POST",
        urlsplit(told["mcp_servers"][0]["url"]).path,
        json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}).encode(),
        content_type="application/json",
        accept="application/json, text/event-stream",
        authorization=f"Bearer {json.loads(answer.body)['access_token']}",
        mcp_protocol_version="2026-07-28",
        mcp_method="tools/call",
        mcp_name="soqlQuery",
    )
    if answer.status != 200 or b"totalSize" not in answer.body:
        raise AssertionError(f"{answer.status}: {answer.body[:500]!r}")
    connection.close()


def told_by(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    assert process.stdout is not None
    return json.loads(process.stdout.readline())


def measure(runs: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {name: [] for name in NAMES}
    for _ in range(runs):
        port = free_port()
        with started([sys.executable, "-c", FLOOR, str(port), METADATA], port, METADATA) as (process, seconds):
            found["floor"].append(seconds)
            found["floor CPU"].append(cpu_seconds(process.pid))
            found["floor MB"].append(resident_megabytes(process.pid))
        with tempfile.TemporaryDirectory() as folder:
            data, port = Path(folder) / "data", free_port()
            with started(command(data, port), port, METADATA) as (process, seconds):
                found["first"].append(seconds)
                found["first CPU"].append(cpu_seconds(process.pid))
                found["MB"].append(resident_megabytes(process.pid))
                asyncio.run(first_call(told_by(process)))
                found["MB after"].append(resident_megabytes(process.pid))
            with started(command(data, port), port, METADATA) as (process, seconds):
                found["second"].append(seconds)
                found["second CPU"].append(cpu_seconds(process.pid))
                told_by(process)
    return found


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--runs", type=int, default=9)
    found = measure(asked.parse_args().runs)
    floor = median(found["floor"])
    words = {
        "floor": "floor: an empty starlette on uvicorn",
        "first": "first start, on an empty folder",
        "second": "second start, on the same folder",
    }
    print(f"from exec to the first 200 of the metadata, median of {len(found['first'])} runs")
    for name, label in words.items():
        seconds = found[name]
        print(
            f"  {label:40}{median(seconds):7.3f} s  ({min(seconds):.3f} to {max(seconds):.3f})"
            f"   {median(seconds) / floor:4.1f} times the floor   CPU {median(found[f'{name} CPU']):.2f} s"
        )
    print("resident memory, median")
    print(f"  {'floor':40}{median(found['floor MB']):7.0f} MB")
    print(f"  {'at readiness':40}{median(found['MB']):7.0f} MB")
    print(f"  {'after the first MCP call':40}{median(found['MB after']):7.0f} MB")


if __name__ == "__main__":
    main()
