"""Server CPU-seconds per 1000 flows: authorization code with PKCE, and refresh with rotation, beside the best peer.

    python bench/flows.py [--rounds 3] [--connections 16] [--data DIR]

Both servers run at once, on SQLite with synchronous=FULL on the same disk, and are measured in turns by the same load
generator (bench/load.py, a process of its own), so that a busy machine is as busy for one as for the other.
"""

import argparse
import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from measuring import free_port, median, started

HERE = Path(__file__).parent
NODE = HERE.parent / ".tools/node/bin/node"
OPERATIONS = {"code": 4000, "refresh": 8000}
WORDS = {"code": "authorization code + PKCE (two requests)", "refresh": "refresh with rotation"}


@contextlib.contextmanager
def gatelodge(data: Path) -> Iterator[dict[str, Any]]:
    """A development org: its Postman app has an https callback, so a consented user owes no page."""
    port = free_port()
    command = [sys.executable, "-m", "gatelodge", "dev", "--json", "--port", str(port), "--data", str(data)]
    command += ["--rate-limit", "0"]  # the peer has none
    with started(command, port, "/.well-known/oauth-authorization-server") as (process, _):
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        user = told["users"][0]
        yield {
            "name": "Gatelodge",
            "pid": process.pid,
            "url": told["issuer"],
            "authorize": "/services/oauth2/authorize",
            "token": "/services/oauth2/token",
            "client_id": next(app["consumer_key"] for app in told["apps"] if app["preset"] == "postman"),
            "redirect_uri": "https://oauth.pstmn.io/v1/callback",
            "scope": "mcp_api refresh_token",
            "resource": told["mcp_servers"][0]["url"],
            "typed": {"username": user["username"], "password": user["password"], "answer": "allow"},
        }


@contextlib.contextmanager
def oidc_provider(data: Path) -> Iterator[dict[str, Any]]:
    """node oidc-provider with an adapter for Node's own SQLite (bench/peer)."""
    port = free_port()
    command = [str(NODE), "--no-warnings", str(HERE / "peer/server.mjs"), str(port), str(data / "peer.db")]
    with started(command, port, "/.well-known/openid-configuration") as (process, _):
        yield {
            "name": "oidc-provider",
            "pid": process.pid,
            "url": f"http://localhost:{port}",
            "authorize": "/auth",
            "token": "/token",
            "client_id": "bench",
            "redirect_uri": "https://client.example/callback",
            "scope": "api",
            "resource": f"http://localhost:{port}/api",
            "typed": {},
        }


async def measure(target: dict[str, Any], operation: str, connections: int) -> dict[str, float]:
    """One run of the load generator."""
    asked = {"target": target, "operation": operation, "operations": OPERATIONS[operation], "connections": connections}
    made = await asyncio.create_subprocess_exec(
        sys.executable, str(HERE / "load.py"), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    out, _ = await made.communicate(json.dumps(asked).encode())
    if made.returncode:
        raise RuntimeError(f"the load generator failed against {target['name']}")
    return json.loads(out)


async def compare(targets: list[dict[str, Any]], rounds: int, connections: int) -> None:
    found: dict[tuple[str, str], list[dict[str, float]]] = {}
    for operation in OPERATIONS:
        for _ in range(rounds):
            for target in targets:
                found.setdefault((operation, target["name"]), []).append(await measure(target, operation, connections))
    for operation, words in WORDS.items():
        print(f"\n{words}, {connections} connections, median of {rounds} rounds")
        print(f"  {'':14}{'CPU-s per 1000':>16}{'(each round)':>22}{'per second':>12}{'p50 ms':>9}{'p99 ms':>9}")
        for target in targets:
            runs = found[operation, target["name"]]
            cpu, rate, p50, p99 = (median([run[key] for run in runs]) for key in ("cpu", "rate", "p50", "p99"))
            each = " ".join(f"{run['cpu']:.2f}" for run in runs)
            print(f"  {target['name']:14}{cpu:16.3f}{each:>22}{rate:12.0f}{p50:9.1f}{p99:9.1f}")
        if len(targets) > 1:
            ours, theirs = (median([run["cpu"] for run in found[operation, each["name"]]]) for each in targets)
            print(f"  ratio of CPU: {ours / theirs:.2f}")


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--rounds", type=int, default=3)
    asked.add_argument("--connections", type=int, default=16)
    asked.add_argument("--data", help="Where the databases are made. Default: the system's folder for temporary files.")
    asked.add_argument("--alone", action="store_true", help="Leave the peer out.")
    given = asked.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=given.data)))
        targets = [stack.enter_context(gatelodge(folder / "gatelodge"))]
        if not given.alone:
            targets.append(stack.enter_context(oidc_provider(folder)))
        asyncio.run(compare(targets, given.rounds, given.connections))


if __name__ == "__main__":
    main()
