"""Running a verb: in the server that holds the data folder where one runs, else in a process of its own."""

import argparse
import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from gatelodge.app import build
from gatelodge.cli import connected_app_file
from gatelodge.cli.verb import WITHOUT_URL, NotFound
from gatelodge.cli.verbs import perform
from gatelodge.config import Config, ConfigRefused, load
from gatelodge.core.errors import Invalid, Refused, Unavailable
from gatelodge.store import StoreRefused, control
from gatelodge.store.control import ControlRefused, NotListening
from gatelodge.store.lock import Locked
from gatelodge.store.master_key import KeyRefused
from gatelodge.store.opening import is_postgres

OF_THE_COMMAND = (
    "command",
    "verb",
    "json",
    "data",
    "database",
    "master_key_file",
    "config",
    "password_stdin",
    "client_secret_stdin",
)
PATIENCE = 10.0
"""Seconds that a command waits for a server that starts, or for another command."""
NOT_FOUND, WRONG_USAGE = 3, 2
CODES = {"NotFound": NOT_FOUND, "ValidationError": WRONG_USAGE}
"""Exit codes by the kind of a running server's refusal; any other is 1."""


async def answer_to(arguments: argparse.Namespace) -> object:
    """The answer to the verb, from the server that holds the data folder or from here."""
    values = {name: value for name, value in vars(arguments).items() if name not in OF_THE_COMMAND}
    verb = f"{arguments.command} {arguments.verb}".strip()
    if verb == "user create":
        values["password"] = sys.stdin.readline().rstrip("\n") if arguments.password_stdin else None
    if verb in ("server set-secret", "server set-password"):
        values["secret"] = None if values.get("remove") else sys.stdin.readline().rstrip("\n")
    if verb == "app import-connected":
        values |= _connected_app(values.pop("file"), values)
    if verb == "identity-provider add":
        values["client_secret"] = sys.stdin.readline().rstrip("\n") if arguments.client_secret_stdin else None
    return await _answer(_configured(arguments), verb, values)


def run(
    arguments: argparse.Namespace,
    work: Callable[[argparse.Namespace], Awaitable[object]] = answer_to,
    failed: Callable[[Any], bool] = lambda _: False,
) -> int:
    """Perform the verb and print its answer, None for one that printed it itself. ``failed``: whether the answer is of
    something that failed.
    """
    try:
        answer = asyncio.run(_awaited(work(arguments)))
    except NotFound as error:
        return _failed(error, NOT_FOUND)
    except ControlRefused as error:
        return _failed(error, CODES.get(error.kind, 1))
    except msgspec.ValidationError as error:
        return _failed(error, WRONG_USAGE)
    except (Refused, Invalid, Unavailable, ConfigRefused, KeyRefused, StoreRefused, Locked) as error:
        return _failed(error, 1)
    if answer is not None:
        print(msgspec.json.encode(answer).decode() if arguments.json else _as_text(answer))
    return 1 if failed(answer) else 0


async def _awaited(work: Awaitable[object]) -> object:
    return await work


async def _answer(config: Config, verb: str, values: dict[str, Any]) -> object:
    if not is_postgres(config.database_name) and not Path(config.database_name).exists():
        raise NotFound(
            f"there is no deployment at {config.database_name}: start gatelodge dev or gatelodge serve once, or name"
            " its folder with --data"
        )
    until = asyncio.get_running_loop().time() + PATIENCE
    while True:
        try:
            return await _here(config, verb, values)
        except Locked as locked:
            try:
                return await control.ask(config.database_folder, verb, values)
            except NotListening:
                # Another command has the database for a moment, or a server that does not listen yet.
                if asyncio.get_running_loop().time() > until:
                    raise locked from None
                await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def asking(arguments: argparse.Namespace) -> AsyncIterator[Callable[[str, dict[str, Any]], Awaitable[object]]]:
    """A way to have many answers: a database that nobody else holds is opened once for all of them."""
    config = _configured(arguments)
    try:
        app = await build(config) if Path(config.database_name).exists() or is_postgres(config.database_name) else None
    except Locked:
        app = None
    if app is None:
        yield partial(_answer, config)
        return
    try:
        yield partial(perform, app.site)
    finally:
        await app.stop()


async def _here(config: Config, verb: str, values: dict[str, Any]) -> object:
    """The verb in this process. Raises ``Locked`` when another one has the database."""
    app = await build(config)
    try:
        return await perform(app.site, verb, values)
    finally:
        await app.stop()


def _connected_app(file: str, given: dict[str, Any]) -> dict[str, str]:
    """Name and consumer key: what was typed, and else what the file says. Raises ``Refused``."""
    found = connected_app_file.read(Path(file)) if file else {}
    whole = {name: given[name] or found.get(name, "") for name in ("name", "consumer_key")}
    for name, value in whole.items():
        if not value:
            flag = f"--{name.replace('_', '-')}"
            raise Refused(f"{f'{file} has no {name}: add' if file else 'name a file, or give'} {flag}", name)
    return whole


def _configured(arguments: argparse.Namespace) -> Config:
    flags = {name: getattr(arguments, name) for name in ("data", "database", "master_key_file")}
    config = load(flags, os.environ, Path(arguments.config) if arguments.config else None)
    return config if config.public_url else msgspec.structs.replace(config, public_url=WITHOUT_URL)


def _failed(error: Exception, code: int) -> int:
    print(f"gatelodge: {error}", file=sys.stderr)
    return code


def _as_text(answer: Any) -> str:
    if isinstance(answer, list):
        return "\n".join(_as_line(row) for row in answer) or "none"
    width = max(16, *(len(name) + 2 for name in answer))
    return "\n".join(_as_pair(name, value, width) for name, value in answer.items())


def _as_pair(name: str, value: Any, width: int) -> str:
    """A name with its value; one that has parts stands under a heading of its own."""
    if isinstance(value, dict):
        return f"\n{name}\n{_as_text(value)}" if value else f"{name:<{width}}none"
    if isinstance(value, list) and any(isinstance(each, dict) or " " in str(each) for each in value):
        parts = [_as_text(each) if isinstance(each, dict) else f"  {n}. {each}" for n, each in enumerate(value, 1)]
        return "\n".join(["", name, *parts])
    return f"{name:<{width}}{_as_word(value)}"


def _as_line(row: dict[str, Any]) -> str:
    first, *rest = [_as_word(value) for name, value in row.items() if name not in ("id", "revision")]
    return f"{first:<23} {'  '.join(rest)}"


def _as_word(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
