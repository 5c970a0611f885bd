"""A development org in the test's own process: the whole application, a clock to set, and people and clients in it."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import httpx2

from gatelodge.app import App, build
from gatelodge.cli import seeding
from gatelodge.config import Config
from gatelodge.core.operation import Operation, execute
from gatelodge.core.orgs import Org
from gatelodge.store.opening import is_postgres

PUBLIC_URL = "http://localhost:8765"
START = 1_790_000_000.0


class House:
    """Started on a loop of its own in a thread, entered through ASGI as a client would through HTTP."""

    def __init__(self, data: Path, *, database: str = "", public_url: str = PUBLIC_URL, **options: Any) -> None:
        data.mkdir(parents=True, exist_ok=True)
        key_file = str(data / "master.key") if is_postgres(database) else ""
        self.config = Config(
            public_url=public_url,
            data=str(data),
            database=database,
            master_key_file=key_file,
            is_development=True,
            **options,
        )
        self.time = START
        self.moved_from: Path | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> "House":
        self._thread.start()
        self.app: App = self.run(build(self.config, read_clock=lambda: self.time))
        self.site = self.app.site
        # The clock is the test's. PostgreSQL's, which each heartbeat follows, knows nothing of it.
        self.site.clock.correct = lambda database_time: None  # type: ignore[method-assign]
        if self.moved_from is not None:
            self.write(_move_records, str(self.moved_from.resolve()), str(Path(self.config.data).resolve()))
        self.told = self.run(seeding.development(self.site))
        self.run(self.app.start())
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self.app.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, work: Any) -> Any:
        """A coroutine's answer, from the house's own loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    @property
    def org(self) -> Org:
        """The first org."""
        found = self.site.live.org_at("")
        assert found is not None
        return found

    @property
    def issuer(self) -> str:
        return self.config.public_url

    def later(self, seconds: float) -> None:
        """Let time go by."""
        self.time += seconds

    def read(self, operation: Any, *args: Any, **kwargs: Any) -> Any:
        return self.run(self.site.store.read(operation, *args, **kwargs))

    def write(self, operation: Any, *args: Any, **kwargs: Any) -> Any:
        return self.run(self.site.store.run(operation, *args, **kwargs))

    def catch_up(self) -> None:
        """Have the node read the feed now, as its own task does within a second."""
        self.run(self.site.live._catch_up())
        self.run(self.site.live._acknowledge())

    def client(self, address: str = "203.0.113.7") -> "Front":
        """A fresh browser or client at the front door."""
        return Front(self, address)


def _move_records(before: str, after: str) -> Operation[None]:
    yield from execute("UPDATE mcp_servers SET source = REPLACE(source, :before, :after)", before=before, after=after)


class Front:
    """HTTP to the house, with cookies."""

    def __init__(self, house: House, address: str) -> None:
        self._house = house
        self._transport = httpx2.ASGITransport(app=house.app, client=(address, 5000))
        self._http = httpx2.AsyncClient(transport=self._transport, base_url=house.issuer, follow_redirects=False)

    def come_from(self, address: str) -> None:
        """The same browser at another address."""
        self._transport.client = (address, 5000)

    @property
    def cookies(self) -> Any:
        return self._http.cookies

    def get(self, url: str, **options: Any) -> httpx2.Response:
        return self._house.run(self._http.get(url, **options))

    def post(self, url: str, **options: Any) -> httpx2.Response:
        return self._house.run(self._http.post(url, **options))

    def request(self, method: str, url: str, **options: Any) -> httpx2.Response:
        return self._house.run(self._http.request(method, url, **options))
