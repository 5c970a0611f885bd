"""Server CPU-seconds per 1000 operations of the authorization server, on SQLite and PostgreSQL, beside the best peer.

    python bench/flows.py [--rounds 3] [--connections 16] [--operations code,refresh] [--servers sqlite,peer] [--data DIR]

All servers run at once, on the same disk, each change kept before it is answered, and are measured in turns by the same
load generator (bench/load.py, a process of its own), so that a busy machine is as busy for one as for the other.
"""

import argparse
import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from measuring import median
from servers import HERE, SERVERS

OPERATIONS = {
    "code": 4000,
    "refresh": 8000,
    "client_credentials": 8000,
    "introspect": 4000,
    "introspect_again": 8000,
}
WORDS = {
    "code": "authorization code + PKCE (two requests)",
    "refresh": "refresh with rotation",
    "client_credentials": "client credentials",
    "introspect": "introspection of a token not seen before",
    "introspect_again": "introspection of the same token again",
}
PEER = "oidc-provider"
Found = dict[tuple[str, str], list[dict[str, float]]]
"""What each round measured, by operation and server."""


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


async def compare(targets: list[dict[str, Any]], operations: list[str], rounds: int, connections: int) -> None:
    print(
        f"load average {os.getloadavg()[0]:.1f} at the beginning, {connections} connections, {rounds} rounds",
        flush=True,
    )
    for operation in operations:
        found: Found = {}
        for _ in range(rounds):
            for target in targets:
                found.setdefault((operation, target["name"]), []).append(await measure(target, operation, connections))
        show(operation, found, [target["name"] for target in targets])
    print(f"\nload average {os.getloadavg()[0]:.1f} at the end")


def show(operation: str, found: Found, names: list[str]) -> None:
    """One table: medians, each round, and the ratio to the peer."""
    print(f"\n{WORDS[operation]}")
    print(
        f"  {'':14}{'CPU-s/1000':>11}{'(each round)':>22}{'ratio':>7}{'database':>10}"
        f"{'per second':>12}{'p50 ms':>9}{'p99 ms':>9}"
    )
    medians = {
        name: {key: median([run[key] for run in found[operation, name]]) for key in found[operation, name][0]}
        for name in names
    }
    for name in names:
        cpu, database, rate, p50, p99 = (medians[name][key] for key in ("cpu", "database", "rate", "p50", "p99"))
        each = " ".join(f"{run['cpu']:.2f}" for run in found[operation, name])
        ratio = f"{cpu / medians[PEER]['cpu']:.2f}" if PEER in names and name != PEER else ""
        beside = f"{database:.3f}" if database else ""
        print(f"  {name:14}{cpu:11.3f}{each:>22}{ratio:>7}{beside:>10}{rate:12.0f}{p50:9.1f}{p99:9.1f}", flush=True)


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--rounds", type=int, default=3)
    asked.add_argument("--connections", type=int, default=16)
    asked.add_argument("--operations", default=",".join(OPERATIONS), help=f"Default: {','.join(OPERATIONS)}")
    asked.add_argument("--servers", default=",".join(SERVERS), help=f"Default: {','.join(SERVERS)}")
    asked.add_argument("--data", help="Where the databases are made. Default: the system's folder for temporary files.")
    given = asked.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=given.data)))
        targets = [stack.enter_context(SERVERS[name](folder)) for name in given.servers.split(",")]
        asyncio.run(compare(targets, given.operations.split(","), given.rounds, given.connections))


if __name__ == "__main__":
    main()
