"""A MariaDB for the tests: Debian's binaries under an unprivileged user, in a folder of its own, gone afterwards."""

import contextlib
import itertools
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pymysql
import pymysql.constants.CLIENT

NAMES = itertools.count(1)
USER, PASSWORD = "gatelodge", "s3cret/pass:word@1"
START_SECONDS = 60


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """A server on loopback. Its databases are made by one user with a password that a URL must escape."""

    port: int

    def fresh_database(self) -> str:
        """The name of an empty database of its own."""
        name = f"gatelodge_{next(NAMES)}"
        self.sql(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        return name

    def url(self, database: str) -> str:
        """Its URL, as an administrator would write it."""
        return f"mysql://{USER}:s3cret%2Fpass%3Aword%401@127.0.0.1:{self.port}/{database}"

    def sql(self, text: str, database: str = "") -> list[tuple]:
        """Statements without us, by the driver alone."""
        with pymysql.connect(
            host="127.0.0.1", port=self.port, user=USER, password=PASSWORD, database=database or None, autocommit=True,
            client_flag=pymysql.constants.CLIENT.MULTI_STATEMENTS,
        ) as connection, connection.cursor() as cursor:  # fmt: skip
            cursor.execute(text)
            rows = list(cursor.fetchall())
            while cursor.nextset():
                pass
            return rows


@contextlib.contextmanager
def running(*options: str) -> Iterator[Server]:
    """Start a server, with these options besides, and stop it at the end."""
    program = shutil.which("mariadbd") or "/usr/sbin/mariadbd"
    assert Path(program).exists(), "the tests need MariaDB: on Debian, apt-get install mariadb-server"
    folder = Path(tempfile.mkdtemp(prefix="gatelodge-mariadb-"))
    user = pwd.getpwuid(os.getuid()).pw_name
    if os.getuid() == 0:  # a server that anybody can reach isn't run as root
        user = next(name for name in ("mysql", "nobody") if _has_user(name))
        shutil.chown(folder, user)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    data = folder / "data"
    _install(folder, data, user)
    command = [
        program, "--no-defaults", f"--datadir={data}", f"--socket={folder / 'socket'}", f"--pid-file={folder / 'pid'}",
        f"--port={port}", "--bind-address=127.0.0.1", f"--user={user}", "--skip-log-bin", "--skip-name-resolve",
        "--innodb-buffer-pool-size=32M", "--innodb-log-file-size=16M", "--innodb-flush-log-at-trx-commit=0",
        "--innodb-doublewrite=0", "--performance-schema=OFF", "--character-set-server=utf8mb4", "--max-connections=200",
        f"--init-file={folder / 'init.sql'}", *options,
    ]  # fmt: skip
    (folder / "init.sql").write_text(
        f"CREATE USER '{USER}'@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';\nGRANT ALL ON *.* TO '{USER}'@'127.0.0.1';\n"
    )
    (folder / "init.sql").chmod(0o644)
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd="/")
    try:
        server = Server(port=port)
        _wait(server, process, folder / "log")
        yield server
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _install(folder: Path, data: Path, user: str) -> None:
    program = shutil.which("mariadb-install-db") or "/usr/bin/mariadb-install-db"
    done = subprocess.run(
        [program, "--no-defaults", f"--datadir={data}", f"--user={user}", "--skip-test-db", "--auth-root-authentication-method=normal"],
        capture_output=True, text=True, stdin=subprocess.DEVNULL, cwd="/",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def _wait(server: Server, process: subprocess.Popen, log: Path) -> None:
    """Until it answers; it says nothing that could be waited for."""
    until = time.monotonic() + START_SECONDS
    while True:
        with contextlib.suppress(OSError, pymysql.err.OperationalError):
            server.sql("SELECT 1")
            return
        assert process.poll() is None and time.monotonic() < until, log.read_text()
        time.sleep(0.1)


def _has_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True
