"""``gatelodge audit``: beside a running server, or with the database to itself."""

import argparse
import sys
from pathlib import Path
from typing import Any

import msgspec

from gatelodge.cli import commands
from gatelodge.core.errors import Refused


def run(arguments: argparse.Namespace) -> int:
    """Perform the verb. A broken chain is told on stderr too, and makes the exit code 1."""
    if arguments.verb == "head":
        arguments.json = True  # a file to keep: there is no other form of it
    if arguments.verb != "verify":
        return commands.run(arguments, _export if arguments.verb == "export" else commands.answer_to)
    return commands.run(arguments, _verify, failed=_is_broken)


async def _verify(arguments: argparse.Namespace) -> object:
    if arguments.head:
        try:
            arguments.head = Path(arguments.head).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise Refused(f"--head {arguments.head} can't be read: {error}", "head") from None
    return await commands.answer_to(arguments)


def _is_broken(answer: Any) -> bool:
    for chain in answer:
        for problem in chain["problems"]:
            print(f"gatelodge: {problem}", file=sys.stderr)
    return any(chain["problems"] for chain in answer)


async def _export(arguments: argparse.Namespace) -> object:
    """Print line by line, batch by batch; nothing is left to be printed."""
    asked = {name: getattr(arguments, name) for name in ("org", "calls", "after")}
    async with commands.asking(arguments) as ask:
        while rows := await ask("audit export", dict(asked)):
            assert isinstance(rows, list)
            for row in rows:
                print(msgspec.json.encode(row).decode())
            asked["after"] = rows[-1]["seq"]
    return None
