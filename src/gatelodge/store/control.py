"""The way into a running server for a command on the same machine: a socket beside the database, for its owner only."""

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import structlog

from gatelodge.core.errors import Invalid, Refused, Unavailable

log = structlog.get_logger()

LONGEST = 1 << 20
NAME = "control.sock"
SECONDS = 600
"""How long one command may take: a chain of millions of rows is checked in one."""
LONGEST_ADDRESS = 100
"""Bytes of a path that the kernel takes for a socket (107 on Linux, 103 elsewhere)."""

Answer = Callable[[str, dict[str, Any]], Awaitable[object]]


class Asked(msgspec.Struct, frozen=True):
    """A verb and its arguments: one line of JSON. Nothing else is ever read from the socket."""

    verb: str
    arguments: dict[str, Any]


class Told(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer, or the refusal with the kind of its error."""

    result: Any = None
    error: str = ""
    kind: str = ""


class ControlRefused(Exception):
    """The running server refused a verb; ``kind`` is the name of the error's class there."""

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


class NotListening(Exception):
    """No server listens beside this database: it is starting, it has stopped, or none was there."""


@contextlib.asynccontextmanager
async def serve(folder: Path, answer: Answer):  # noqa: ANN201 - an async context manager of nothing
    """Listen for commands of the same user until the block is left. Raises ``OSError``."""

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(SECONDS):
                told = await _answer_one(reader, writer, answer)
                writer.write(msgspec.json.encode(told) + b"\n")
                await writer.drain()
        except (OSError, TimeoutError):
            pass  # the command went away; it sees so itself
        finally:
            writer.close()

    async with await asyncio.start_unix_server(one, sock=_bind(folder), limit=LONGEST):
        try:
            yield
        finally:
            (folder / NAME).unlink(missing_ok=True)


def _bind(folder: Path) -> socket.socket:
    (folder / NAME).unlink(missing_ok=True)  # left behind by a process that was killed: the folder's lock is ours
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    previous = os.umask(0o177)
    try:
        with _address(folder) as address:
            bound.bind(address)
    finally:
        os.umask(previous)
    bound.setblocking(False)
    return bound


@contextlib.contextmanager
def _address(folder: Path) -> Iterator[str]:
    """The socket's path; in a folder too deep for the kernel, a short one through a handle on the folder."""
    path = str(folder / NAME)
    if len(os.fsencode(path)) <= LONGEST_ADDRESS:
        yield path
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{handle}/{NAME}"
    finally:
        os.close(handle)


async def _answer_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answer) -> Told:
    if _uid_of(writer) not in (os.getuid(), 0):
        return Told(error="only the user who started the server may command it", kind="Refused")
    try:
        asked = msgspec.json.decode(await reader.readuntil(b"\n"), type=Asked)
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, msgspec.MsgspecError) as error:
        return Told(error=f"a command is one line of JSON: {error}", kind="ValidationError")
    try:
        return Told(result=await answer(asked.verb, asked.arguments))
    except Exception as error:
        if not isinstance(error, Refused | Invalid | Unavailable | msgspec.ValidationError):
            log.exception("command.failed", verb=asked.verb)
        return Told(error=str(error) or type(error).__name__, kind=type(error).__name__)


def _uid_of(writer: asyncio.StreamWriter) -> int:
    """Who is at the other end, as the kernel says."""
    peer: socket.socket = writer.get_extra_info("socket")
    _, uid, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return int(uid)


async def ask(folder: Path, verb: str, arguments: dict[str, Any]) -> Any:
    """The running server's answer. Raises ``ControlRefused``, ``NotListening``, or ``Unavailable`` when it stopped."""
    try:
        with _address(folder) as address:
            reader, writer = await asyncio.open_unix_connection(address, limit=LONGEST)
    except OSError as error:
        raise NotListening(f"no server listens at {folder / NAME}: {error.strerror}") from None
    try:
        writer.write(msgspec.json.encode(Asked(verb, arguments)) + b"\n")
        await writer.drain()
        told = msgspec.json.decode(await reader.readuntil(b"\n"), type=Told)
    except (OSError, EOFError) as error:
        raise Unavailable("the running server stopped before it answered; run the command again") from error
    finally:
        writer.close()
    if told.kind:
        raise ControlRefused(told.error, told.kind)
    return told.result
