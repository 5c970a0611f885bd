"""Real servers as processes, for tests that need the front door itself."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

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

    def tell(self, *command: str, stdin: str = "") -> Any:
        """What a command says about this org while it runs."""
        words = [sys.executable, "-m", "gatelodge", *command[:2], "--json", "--data", str(self.data), *command[2:]]
        done = subprocess.run(
            words, input=stdin, capture_output=True, text=True, timeout=30, check=False, env=environment()
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def new_app(self, name: str, *flags: str) -> str:
        """The consumer key of an app that is made from the command line; its API Name is ``name`` with underscores."""
        named = ["--name", name, "--api-name", name.replace(" ", "_"), "--email", "it@acme.example"]
        return str(self.tell("app", "create", *named, *flags)["consumer_key"])

    def key(self, preset: str) -> str:
        return next(app["consumer_key"] for app in self.told["apps"] if app["preset"] == preset)


def environment() -> dict[str, str]:
    """Ours without any option of the program, so that a test says all that its process is told."""
    return {name: value for name, value in os.environ.items() if not name.startswith("GATELODGE_")}


@contextlib.contextmanager
def running(command: list[str], ready: str, log: Path | None = None) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process of ours that is ready when this URL answers, and its first line. Its stderr, which goes into ``log`` where
    one is named, is shown when it never does.
    """
    with log.open("w+") if log else tempfile.TemporaryFile("w+") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "gatelodge", *command],
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env=environment(),
        )
        try:
            assert process.stdout is not None
            readable, _, _ = select.select([process.stdout], [], [], READY_SECONDS)
            line = process.stdout.readline() if readable else ""
            if not line.strip() and not eventually(lambda: status(ready) == 200, READY_SECONDS):
                stderr.seek(0)
                raise AssertionError(f"gatelodge {' '.join(command)} did not start:\n{stderr.read()}")
            yield process, line
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)  # without the notice that SIGTERM gives to load balancers
            process.wait(timeout=40)
            if process.stdout is not None:
                process.stdout.close()


@contextlib.contextmanager
def running_dev(data: Path, *flags: str, path: str = "", log: Path | None = None) -> Iterator[Dev]:
    """``gatelodge dev`` on a free port; ``path`` is put behind its public URL, ``log`` is what it writes for people."""
    port = free_port()
    url = f"http://localhost:{port}{path}"
    with running(
        ["dev", "--json", "--port", str(port), "--data", str(data), "--public-url", url, *flags], f"{url}/readyz", log
    ) as (
        process,
        line,
    ):
        yield Dev(process, json.loads(line), data)


class Node(msgspec.Struct):
    """One node of ``gatelodge serve``: where it listens, and all that it printed at its start."""

    process: subprocess.Popen[str]
    port: int
    public_url: str
    said: str

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextlib.contextmanager
def running_node(database: str, key_file: Path, public_url: str, port: int, *flags: str) -> Iterator[Node]:
    """One node of ``gatelodge serve``, listening on a port of its own behind the public URL."""
    given = ["--database", database, "--master-key-file", str(key_file), "--public-url", public_url]
    listens = ["--bind", f"127.0.0.1:{port}", "--data", str(key_file.parent)]
    with running(["serve", *given, *listens, *flags], f"http://127.0.0.1:{port}/readyz") as (process, first):
        said = first
        while process.stdout is not None and (line := process.stdout.readline()).strip():
            said += line
        yield Node(process, port, public_url, said)


def status(url: str, **headers: str) -> int:
    """The status of a plain GET; 0 when nobody listens."""
    try:
        with urlopen(Request(url, headers=headers), timeout=10) as answer:
            return int(answer.status)
    except HTTPError as error:
        return error.code
    except OSError:
        return 0


def eventually(holds: Any, seconds: float = 5.0) -> Any:
    """The first true answer; asked again until the deadline."""
    until = time.monotonic() + seconds
    while not (answer := holds()) and time.monotonic() < until:
        time.sleep(0.02)
    return answer
