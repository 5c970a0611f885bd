"""A PostgreSQL cluster for the tests: Debian's binaries, under an unprivileged user, gone afterwards."""

import contextlib
import itertools
import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec

NAMES = itertools.count(1)


class Cluster(msgspec.Struct, frozen=True):
    """A running server on loopback."""

    binaries: Path
    port: int
    prefix: tuple[str, ...]

    def fresh_database(self) -> str:
        """The URL of an empty database of its own."""
        name = f"gatelodge_{next(NAMES)}"
        command = [self.binaries / "createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "gatelodge", name]
        subprocess.run([*self.prefix, *map(str, command)], check=True, capture_output=True, cwd="/")
        return f"postgresql://gatelodge@127.0.0.1:{self.port}/{name}"


def binaries() -> Path:
    """Where initdb is. Says what is missing when there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    assert on_path, "the tests need PostgreSQL: on Debian, apt-get install postgresql"
    return Path(on_path).parent


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Cluster]:
    """Start a cluster in this folder and stop it at the end."""
    prefix: tuple[str, ...] = ()
    if os.getuid() == 0:  # PostgreSQL refuses to run as root
        user = next(name for name in ("postgres", "nobody") if _has_user(name))
        prefix = ("setpriv", f"--reuid={user}", f"--regid={pwd.getpwnam(user).pw_gid}", "--clear-groups")
        folder = Path("/tmp") / f"gatelodge-postgres-{os.getpid()}"
        folder.mkdir()
        shutil.chown(folder, user)
    data, found, port = folder / "data", binaries(), _free_port()
    quiet = {"check": True, "capture_output": True, "cwd": "/"}
    subprocess.run([*prefix, found / "initdb", "-D", data, "-U", "gatelodge", "-A", "trust", "-N"], **quiet)
    options = f"-h 127.0.0.1 -p {port} -k {folder} -c fsync=off -c max_connections=200"
    subprocess.run([*prefix, found / "pg_ctl", "-D", data, "-o", options, "-l", folder / "log", "-w", "start"], **quiet)
    try:
        yield Cluster(found, port, prefix)
    finally:
        subprocess.run([*prefix, found / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop"], **quiet)
        shutil.rmtree(folder, ignore_errors=True)


def _has_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
