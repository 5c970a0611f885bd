"""One running command: its process, its lines, and what it says on the side."""

import asyncio
import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import structlog

log = structlog.get_logger()

SUPERVISOR = Path(__file__).parent / "supervisor.py"
GRACE = 5
"""Seconds from SIGTERM to SIGKILL."""
MEMORY = 1024**3
CPU_SECONDS = 900
FILES = 256
PROCESSES = 256
GIVEN = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ")
"""All that a command gets of this server's own environment. HOME and TMPDIR are its own folders."""
PIECE = 64 * 1024
MOST_LOGGED = 50
"""Lines of one child's standard error, and of its output that are no messages, that are written to the log."""
LONGEST_LOGGED = 300
MOST_UNSENT = 8 * 1024 * 1024
"""Bytes that may wait for a child that reads nothing."""


class TooLong(Exception):
    """A line has more bytes than a message of this server may have."""


class Child:
    """Made by ``started``. ``name`` is the server's, for the log."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, folder: Path) -> None:
        self._name, self._process, self._folder = name, process, folder
        self._logged = self._unlogged = 0
        self._ending: asyncio.Task[None] | None = None
        self._aside = asyncio.create_task(self._listen_aside())

    @classmethod
    async def started(cls, name: str, command: tuple[str, ...], home: Path) -> "Child":
        """The command, running in a folder of its own below ``home``, which is the server's. Raises ``OSError``."""
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder = Path(tempfile.mkdtemp(prefix="run-", dir=home))
        limits = (os.getpid(), GRACE, MEMORY, CPU_SECONDS, FILES, PROCESSES)
        given = {key: os.environ[key] for key in GIVEN if key in os.environ}
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-I", "-S", str(SUPERVISOR), *(str(each) for each in limits), *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env={**given, "HOME": str(home), "TMPDIR": str(folder)},
                cwd=folder,
                start_new_session=True,
                limit=PIECE,
            )  # fmt: skip
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return cls(name, process, folder)

    async def listen(self, heard: Callable[[bytes], None], longest: int) -> None:
        """Hand over each line until there are no more. Raises ``TooLong``."""
        assert self._process.stdout is not None
        held = bytearray()
        while piece := await self._process.stdout.read(PIECE):
            searched = len(held)
            held += piece
            while (end := held.find(b"\n", searched)) >= 0:
                line = bytes(held[:end]).strip()
                del held[: end + 1]
                searched = 0
                if len(line) > longest:
                    raise TooLong
                if line:
                    heard(line)
            if len(held) > longest:
                raise TooLong

    async def read_out(self) -> None:
        """Read what nobody wants to know, so that its pipe is closed when it ends."""
        assert self._process.stdout is not None
        while await self._process.stdout.read(PIECE):
            pass

    async def tell(self, message: bytes) -> None:
        """Write one line. Raises ``ConnectionError`` when the command has ended, or reads nothing."""
        stream = self._process.stdin
        assert stream is not None
        if stream.is_closing() or stream.transport.get_write_buffer_size() > MOST_UNSENT:
            raise BrokenPipeError
        stream.write(message.replace(b"\n", b" ") + b"\n")
        await stream.drain()

    def note(self, stream: str, line: bytes) -> None:
        """Write a line of the command's to the log: so many, so long, and without characters that steer a terminal."""
        if self._logged >= MOST_LOGGED:
            self._unlogged += 1
            return
        self._logged += 1
        said = line[:LONGEST_LOGGED].decode("utf-8", "replace")
        text = "".join(each if each.isprintable() else " " for each in said).strip()
        log.info("command.said", server=self._name, stream=stream, text=text)

    async def _listen_aside(self) -> None:
        assert self._process.stderr is not None
        while piece := await self._process.stderr.read(PIECE):
            for line in piece.splitlines():
                if line.strip():
                    self.note("stderr", line)

    def end(self) -> asyncio.Task[None]:
        """End it, whatever it does about that; done once nothing of it is left."""
        if self._ending is None:
            self._ending = asyncio.create_task(self._end(), name=f"ending-{self._name}")
        return self._ending

    async def _end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()  # the supervisor does the rest, and outlives what it supervises
        assert self._process.stdin is not None
        self._process.stdin.close()
        status = await self._process.wait()
        with contextlib.suppress(asyncio.CancelledError):
            await self._aside
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)
        log.info("command.ended", server=self._name, status=status, unlogged=self._unlogged)
