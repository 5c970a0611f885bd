"""Starting a node: ``gatelodge dev`` and ``gatelodge serve``, from the arguments to the last request."""

import argparse
import asyncio
import contextlib
import errno
import gc
import os
import resource
import signal
import socket
import sys
from pathlib import Path

from gatelodge.app import App, build
from gatelodge.cli import seeding, verbs
from gatelodge.config import Config, ConfigRefused, addresses, load
from gatelodge.core.errors import Refused, Unavailable
from gatelodge.store import StoreRefused, control
from gatelodge.store.lock import Locked
from gatelodge.store.master_key import KeyRefused
from gatelodge.store.opening import is_postgres
from gatelodge.web import logs, server

NOTICE = 3.0
"""Seconds from SIGTERM, when readiness goes, until nothing new is taken: a load balancer looks away meanwhile."""
MOST_FILES = 65_536
MMAP_THRESHOLD = -3
"""The name of the option for ``mallopt`` (malloc.h)."""
LARGE_BLOCK = 1024 * 1024
"""Bytes from which memory is the system's own again once it is free."""
COLLECT_AFTER = (20_000, 20, 50)
"""How many new objects the garbage collector waits for, and how seldom it looks at older ones."""
REFUSALS = (ConfigRefused, KeyRefused, StoreRefused, Locked, Refused, Unavailable)


def start(arguments: argparse.Namespace) -> int:
    """Run a node until it is told to stop."""
    import uvloop  # noqa: PLC0415 - only a node needs it

    try:
        config = configured(arguments)
        logs.configure(is_development=config.is_development)
        _raise_file_limit()
        give_back_large_blocks()
        return uvloop.run(_run(config, is_json=getattr(arguments, "json", False)))
    except REFUSALS as error:
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
    return load({**flags, "is_development": arguments.command == "dev"}, os.environ, file)


def _raise_file_limit() -> None:
    """A connection is an open file, and most systems allow 1024 of them until a program asks for more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def give_back_large_blocks() -> None:
    """Have the C library return large blocks as soon as they are free. Left alone, glibc takes the first such block, 19 MiB
    of a password's hash, for a sign to keep all that follow, in each thread that hashes (decision 0051).
    """
    with contextlib.suppress(OSError, AttributeError):  # another C library, which has no such habit
        import ctypes  # noqa: PLC0415 - only a node needs it

        _ = ctypes.CDLL(None).mallopt(MMAP_THRESHOLD, LARGE_BLOCK)


def leave_to_rest() -> None:
    """What a start has made stays until the end, and requests leave no cycles: the garbage collector need not look at
    it all again every few requests (decision 0016).
    """
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


def listen(config: Config) -> list[socket.socket]:
    """The node's sockets. Raises ``ConfigRefused`` for an address that can't be had."""
    sockets: list[socket.socket] = []
    for host, port in addresses(config):
        try:
            sockets += server.listen(((host, port),))
        except OSError as error:
            if host == "::1" and sockets and error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                continue  # a machine without IPv6
            for taken in sockets:
                taken.close()
            other = "--port" if config.is_development else "--bind"
            raise ConfigRefused(
                f"can't listen on {host} port {port}: {error.strerror}; stop what does, or choose another with {other}"
            ) from None
    return sockets


async def _run(config: Config, *, is_json: bool) -> int:
    app = await build(config)
    try:
        sockets = listen(config)
        told = await (seeding.development if config.is_development else seeding.production)(app.site)
        await app.start()
        leave_to_rest()
        http = server.make(app, trusted=config.trusted_proxy)
        _stop_on_signals(app, http, notice=0 if config.is_development else NOTICE)
        async with _commands(app):
            serving = asyncio.create_task(http.serve(sockets), name="http")
            listening = asyncio.create_task(http.listening.wait(), name="listening")
            await asyncio.wait({serving, listening}, return_when=asyncio.FIRST_COMPLETED)
            print(told.as_json() if is_json else told.as_text(), flush=True)
            await serving
    finally:
        await app.stop()
    return 0


@contextlib.asynccontextmanager
async def _commands(app: App):  # noqa: ANN202 - an async context manager of nothing
    """Listen for commands beside a SQLite file, which is this process's alone. PostgreSQL takes them itself."""
    config = app.site.config
    if is_postgres(config.database_name):
        yield
        return
    try:
        async with control.serve(config.database_folder, verbs.answering(app.site)):
            yield
    except OSError as error:
        raise ConfigRefused(f"can't listen for commands in {config.database_folder}: {error.strerror}") from None


def _stop_on_signals(app: App, http: server.Server, *, notice: float) -> None:
    """Readiness goes first, then nothing new is taken, and what is in flight is finished. Ctrl-C and a second signal
    skip the notice; one more signal waits for nobody.
    """
    loop = asyncio.get_running_loop()

    def take_nothing_new() -> None:
        http.should_exit = True

    def stop(notice: float) -> None:
        if http.should_exit:
            http.force_exit = True
        loop.call_later(0 if app.is_draining else notice, take_nothing_new)
        app.is_draining = True

    loop.add_signal_handler(signal.SIGINT, stop, 0)
    loop.add_signal_handler(signal.SIGTERM, stop, notice)
