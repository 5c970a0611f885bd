"""The servers that are measured, each a context that yields what the load generator must know of it."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from measuring import free_port, started

HERE = Path(__file__).parent
ROOT = HERE.parent
NODE = ROOT / ".tools/node/bin/node"

sys.path.insert(0, str(ROOT))
from tests.postgres import Cluster, running  # noqa: E402 - the tests' own PostgreSQL

METADATA = "/.well-known/oauth-authorization-server"
CALLBACK = "https://oauth.pstmn.io/v1/callback"
HIGH = "1000000000"
"""A limit that nobody reaches: the peer has none, and what counting costs belongs to the figure."""


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """A PostgreSQL that keeps what it says it has kept. Its tables grow from nothing to thousands of rows within seconds,
    which it has to notice as soon, or it goes on with the plans of empty tables.
    """
    with running(folder, "fsync=on", "synchronous_commit=on", "autovacuum_naptime=1") as made:
        yield made


def postmaster(made: Cluster) -> int:
    """The process above all processes of a cluster."""
    return int((made.folder / "data/postmaster.pid").read_text().split()[0])


def environment(data: Path, database: str) -> dict[str, str]:
    """Ours without any option of the program but the database and, for PostgreSQL, the key file."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GATELODGE_")}
    if database:
        kept |= {"GATELODGE_DATABASE": database, "GATELODGE_MASTER_KEY_FILE": str(data / "master.key")}
    return kept


def furnished(data: Path, port: int, database: str) -> dict[str, Any]:
    """A development org with a confidential app, made before its server starts."""
    data.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, str(HERE / "furnish.py"), "--port", str(port), "--data", str(data)]
    return json.loads(subprocess.check_output(command, env=environment(data, database)))


def target(told: dict[str, Any], name: str, pid: int) -> dict[str, Any]:
    """Its Postman app has an https callback, so a consented user owes no page."""
    user = told["users"][0]
    return {
        "name": name,
        "pid": pid,
        "url": told["issuer"],
        "authorize": "/services/oauth2/authorize",
        "token": "/services/oauth2/token",
        "introspect": "/services/oauth2/introspect",
        "client_id": next(app["consumer_key"] for app in told["apps"] if app["preset"] == "postman"),
        "confidential": told["confidential"],
        "redirect_uri": CALLBACK,
        "scope": "mcp_api refresh_token",
        "own_scope": "mcp_api",
        "resource": told["mcp_servers"][0]["url"],
        "typed": {"username": user["username"], "password": user["password"], "answer": "allow"},
    }


@contextlib.contextmanager
def gatelodge(data: Path, name: str, database: str = "") -> Iterator[dict[str, Any]]:
    """A development org on a SQLite file of its own, or on this PostgreSQL."""
    port = free_port()
    told = furnished(data, port, database)
    command = [sys.executable, "-m", "gatelodge", "dev", "--json", "--port", str(port), "--data", str(data)]
    command += ["--rate-limit", HIGH]
    with started(command, port, METADATA, environment(data, database)) as (process, _):
        yield target(told, name, process.pid)


@contextlib.contextmanager
def gatelodge_on_sqlite(folder: Path) -> Iterator[dict[str, Any]]:
    """One process and one file."""
    with gatelodge(folder / "sqlite", "SQLite") as made:
        yield made


@contextlib.contextmanager
def gatelodge_on_postgres(folder: Path) -> Iterator[dict[str, Any]]:
    """One process and a cluster, whose CPU is counted apart."""
    with (
        cluster(folder / "cluster") as served,
        gatelodge(folder / "postgres", "PostgreSQL", served.fresh_database()) as made,
    ):
        yield {**made, "database_pid": postmaster(served)}


@contextlib.contextmanager
def oidc_provider(folder: Path) -> Iterator[dict[str, Any]]:
    """node oidc-provider with an adapter for Node's own SQLite (bench/peer)."""
    port = free_port()
    command = [str(NODE), "--no-warnings", str(HERE / "peer/server.mjs"), str(port), str(folder / "peer.db")]
    with started(command, port, "/.well-known/openid-configuration") as (process, _):
        url = f"http://localhost:{port}"
        yield {
            "name": "oidc-provider",
            "pid": process.pid,
            "url": url,
            "authorize": "/auth",
            "token": "/token",
            "introspect": "/token/introspection",
            "client_id": "bench",
            "confidential": {"client_id": "confidential", "client_secret": "a secret for a benchmark on loopback"},
            "redirect_uri": "https://client.example/callback",
            "scope": "api",
            "own_scope": "api",
            "resource": f"{url}/api",
            "introspected_resource": f"{url}/opaque",  # it refuses to be asked about a JWT
            "typed": {},
        }


SERVERS = {"sqlite": gatelodge_on_sqlite, "postgres": gatelodge_on_postgres, "peer": oidc_provider}
