"""Starting a node: ``gatelodge dev`` and ``gatelodge serve``, from the arguments to the last request."""

import argparse
import asyncio
import errno
import os
import signal
import socket
import sys
from pathlib import Path

from gatelodge.app import App, build
from gatelodge.cli import seeding, verbs
from gatelodge.config import Config, ConfigRefused, load
from gatelodge.store import StoreRefused, control
from gatelodge.store.lock import Locked
from gatelodge.store.master_key import KeyRefused
from gatelodge.store.opening import is_postgres
from gatelodge.web import logs, server


def start(arguments: argparse.Namespace) -> int:
    """Run a node until it is told to stop."""
    import uvloop  # noqa: PLC0415 - only a node needs it

    try:
        config = configured(arguments)
        logs.configure(is_development=config.is_development)
        return uvloop.run(_run(config, is_json=getattr(arguments, "json", False)))
    except (ConfigRefused, KeyRefused, StoreRefused, Locked) as error:
        print(f"gatelodge: {error}", file=sys.stderr)
        return 1


def configured(arguments: argparse.Namespace) -> Config:
    """The configuration of this start. Raises ``ConfigRefused``."""
    flags = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in vars(arguments).items()
        if name in Config.__struct_fields__ and value is not None
    }
    file = Path(arguments.config) if arguments.config else None
    config = load({**flags, "is_development": arguments.command == "dev"}, os.environ, file)
    if config.is_development and not config.public_url:
        config = load(
            {**flags, "is_development": True, "public_url": f"http://localhost:{config.port}"}, os.environ, file
        )
    return config


def addresses(config: Config) -> tuple[tuple[str, int], ...]:
    """Where to listen. A development org: 127.0.0.1 and [::1], and nowhere else."""
    if config.is_development:
        return (("127.0.0.1", config.port), ("::1", config.port))
    found = []
    for text in config.bind or ("127.0.0.1:8765",):
        host, separator, port = text.rpartition(":")
        if not separator or not port.isdigit():
            raise ConfigRefused(f"--bind {text!r} must be HOST:PORT, for example 0.0.0.0:8765 or [::]:8765")
        found.append((host.strip("[]"), int(port)))
    return tuple(found)


def listen(config: Config) -> list[socket.socket]:
    """The node's sockets. Raises ``ConfigRefused`` for an address that can't be had."""
    sockets: list[socket.socket] = []
    for host, port in addresses(config):
        try:
            sockets += server.listen(((host, port),))
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL and host == "::1" and sockets:
                continue  # a machine without IPv6
            raise ConfigRefused(f"can't listen on {host} port {port}: {error.strerror}; choose another") from None
    return sockets


async def _run(config: Config, *, is_json: bool) -> int:
    app = await build(config)
    try:
        sockets = listen(config)
        told = await (seeding.development if config.is_development else seeding.production)(app.site)
        await app.start()
        http = server.make(app)
        answering = (
            None
            if is_postgres(config.database_name)
            else await control.serve(Path(config.data), verbs.answering(app.site))
        )
        serving = asyncio.create_task(http.serve(sockets))
        _stop_on_signals(app, http)
        listening = asyncio.create_task(http.listening.wait())
        await asyncio.wait({serving, listening}, return_when=asyncio.FIRST_COMPLETED)
        print(told.as_json() if is_json else told.as_text(), flush=True)
        await serving
        if answering is not None:
            answering.close()
    finally:
        await app.stop()
    return 0


def _stop_on_signals(app: App, http: server.Server) -> None:
    """Readiness goes first, then nothing new is taken, and what is in flight is finished."""

    def stop() -> None:
        app.is_draining = True
        http.should_exit = True

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop)
