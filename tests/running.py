"""Real servers as processes, for tests that need the front door itself."""

import contextlib
import json
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import msgspec

from tests.postgres import _free_port as free_port

READY_SECONDS = 20


class Dev(msgspec.Struct):
    """A running ``gatelodge dev`` and what it printed."""

    process: subprocess.Popen[str]
    told: dict[str, Any]
    data: Path

    @property
    def issuer(self) -> str:
        return str(self.told["issuer"])

    @property
    def mcp_url(self) -> str:
        return str(self.told["mcp_servers"][0]["url"])

    def user(self, n: int) -> dict[str, str]:
        return self.told["users"][n]

    def key(self, preset: str) -> str:
        return next(app["consumer_key"] for app in self.told["apps"] if app["preset"] == preset)


@contextlib.contextmanager
def running(command: list[str], url: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process of ours that answers at this URL, and its first line. Its stderr is shown when it never does."""
    with tempfile.TemporaryFile("w+") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "gatelodge", *command], stdout=subprocess.PIPE, stderr=stderr, text=True
        )
        try:
            assert process.stdout is not None
            readable, _, _ = select.select([process.stdout], [], [], READY_SECONDS)
            line = process.stdout.readline() if readable else ""
            if not line.strip() and not _answers(url):
                stderr.seek(0)
                raise AssertionError(f"gatelodge {' '.join(command)} did not start:\n{stderr.read()}")
            yield process, line
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.wait(timeout=40)
            if process.stdout is not None:
                process.stdout.close()


def _answers(url: str) -> bool:
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until:
        with (
            contextlib.suppress(OSError),
            urlopen(f"{url}/.well-known/oauth-authorization-server", timeout=1) as answer,
        ):
            return answer.status == 200
    return False


@contextlib.contextmanager
def running_dev(data: Path, *flags: str, path: str = "") -> Iterator[Dev]:
    """``gatelodge dev`` on a free port; ``path`` is put behind its public URL."""
    port = free_port()
    url = f"http://localhost:{port}{path}"
    with running(["dev", "--json", "--port", str(port), "--data", str(data), "--public-url", url, *flags], url) as (
        process,
        line,
    ):
        yield Dev(process, json.loads(line), data)


@contextlib.contextmanager
def running_node(database: str, key_file: Path, public_url: str, port: int) -> Iterator[subprocess.Popen[str]]:
    """One node of ``gatelodge serve``, listening on a port of its own behind the public URL."""
    flags = ["--database", database, "--master-key-file", str(key_file), "--public-url", public_url]
    with running(["serve", *flags, "--bind", f"127.0.0.1:{port}", "--data", str(key_file.parent)], public_url) as made:
        yield made[0]
