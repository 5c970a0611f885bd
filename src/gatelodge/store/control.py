"""The way into a running server for a command on the same machine: a socket in the data folder, for its owner only."""

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

LONGEST = 1 << 20
NAME = "control.sock"
SECONDS = 30

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


async def serve(data: Path, answer: Answer) -> asyncio.Server:
    """Listen for commands of the same user until the server is closed."""
    path = data / NAME
    with contextlib.suppress(FileNotFoundError):
        path.unlink()  # left behind by a process that was killed: the folder's lock is ours

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(SECONDS):
                told = await _answer_one(reader, writer, answer)
                writer.write(msgspec.json.encode(told) + b"\n")
                await writer.drain()
        except (OSError, TimeoutError, ValueError):
            pass  # the command went away; it sees so itself
        finally:
            writer.close()

    previous = os.umask(0o177)
    try:
        return await asyncio.start_unix_server(one, path, limit=LONGEST)
    finally:
        os.umask(previous)


async def _answer_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answer) -> Told:
    peer: socket.socket = writer.get_extra_info("socket")
    _, uid, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    if uid not in (os.getuid(), 0):
        return Told(error="only the user who started the server may command it", kind="Refused")
    try:
        asked = msgspec.json.decode(await reader.readuntil(b"\n"), type=Asked)
        return Told(result=await answer(asked.verb, asked.arguments))
    except Exception as error:  # noqa: BLE001 - told to the command, which shows it
        return Told(error=str(error) or type(error).__name__, kind=type(error).__name__)


async def ask(data: Path, verb: str, arguments: dict[str, Any]) -> Any:
    """The running server's answer. Raises ``ControlRefused``, or ``OSError`` when none listens."""
    reader, writer = await asyncio.open_unix_connection(data / NAME, limit=LONGEST)
    try:
        writer.write(msgspec.json.encode(Asked(verb, arguments)) + b"\n")
        await writer.drain()
        told = msgspec.json.decode(await reader.readuntil(b"\n"), type=Told)
    finally:
        writer.close()
    if told.kind:
        raise ControlRefused(told.error, told.kind)
    return told.result
