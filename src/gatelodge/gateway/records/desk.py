"""The desk of one database: its connections, its schema as it is now, and each call at it in a transaction of its own."""

import datetime as dt
import functools
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa
import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnection

from gatelodge.gateway.caller import Caller
from gatelodge.gateway.records import database, reflecting, sample
from gatelodge.gateway.records.errors import INVALID_ARGUMENT, QUERY_TIMEOUT, SERVER_UNAVAILABLE, RecordError
from gatelodge.gateway.records.mapping import Mapping
from gatelodge.gateway.records.reflecting import Schema
from gatelodge.gateway.records.schema import Catalogue
from gatelodge.gateway.records.soql.running import Plan, planned_text
from gatelodge.gateway.records.sources import NotReached, Source
from gatelodge.gateway.records.tool import Tool, Work

log = structlog.get_logger()

SCHEMA_SECONDS = 60.0
"""How old the known schema of PostgreSQL or MySQL may be; SQLite says when it has changed."""
ASKED_SECONDS = 5.0
"""The same for whoever asks for the schema itself."""
MOST_TRIES = 3
MOST_PLANS, LONGEST_KEPT = 256, 1000
"""Queries whose plan is kept ready, and the characters that one of them may have."""
MOST_USERS = 256
"""Of whom what they see is kept worked out."""
STARTS_AGAIN = {"40001", "40P01", 1213}
"""Codes of a transaction that lost to another and did nothing."""


class _Known(msgspec.Struct, frozen=True, kw_only=True):
    """A schema, when it was read, and what SQLite said of its version then."""

    schema: Schema
    at: float
    version: object


class Desk:
    """``seconds`` is how long one call may take. ``now`` is the node's time, for dates in queries and records."""

    def __init__(
        self, source: Source, mapping: Mapping, *, connections: int, seconds: float, allows_private: bool,
        now: Callable[[], float],
    ) -> None:  # fmt: skip
        self.source, self._mapping, self._seconds, self._now = source, mapping, seconds, now
        options: dict[str, Any] = {"seconds": max(seconds, 0.001), "allows_private": allows_private}
        # Writers of a SQLite file wait for each other here rather than at the file.
        writers = 1 if source.dialect == "sqlite" else connections
        self._reader = database.engine_of(source, connections=connections, is_writing=False, **options)
        self._writer = database.engine_of(source, connections=writers, is_writing=True, **options)
        self._known: _Known | None = None
        self._seen: dict[str, Catalogue] = {}
        self._kept = functools.lru_cache(MOST_PLANS)(planned_text)
        self._looking = threading.Lock()

    def close(self) -> None:
        """Close every connection that isn't in use."""
        self._reader.dispose()
        self._writer.dispose()

    def make_sample(self) -> None:
        """Make the sample database when it is missing."""
        path = Path(self.source.path)
        if self.source.makes_sample and not path.exists():
            with self._looking:
                if not path.exists():
                    sample.make_sample(path, self._today())

    def look(self, *, oldest: float = 0.0) -> Schema:
        """The schema, read again if what is known is older than so many seconds. Raises ``NotReached``."""
        with self._reader.connect() as connection:
            database.limit(connection, self._seconds)
            return self._schema(connection, oldest)

    def do(self, tool: Tool, arguments: dict[str, Any], caller: Caller) -> Any:
        """Run a tool. Raises ``RecordError``, and what nobody foresaw."""
        self.make_sample()
        for tried in range(1, MOST_TRIES + 1):
            try:
                return self._once(tool, arguments, caller)
            except DBAPIError as error:
                if tried < MOST_TRIES and self._is_worth_another(error):
                    continue
                if database.was_interrupted(error):
                    raise self._too_long() from None
                raise
            except (database.TimeIsUp, NoConnection):
                raise self._too_long() from None
            except NotReached as error:
                # Which host, which user and why is for administrators.
                log.warning("records.unreachable", database=self.source.shown, why=str(error))
                raise RecordError(
                    SERVER_UNAVAILABLE,
                    "the database of this server can't be reached. An administrator sees why on the server's"
                    " Database tab.",
                ) from None
            except OverflowError:
                raise RecordError(INVALID_ARGUMENT, "a number is larger than the database can compare.") from None
        raise AssertionError("the last try returns or raises")

    def _is_worth_another(self, error: DBAPIError) -> bool:
        if database.shows_a_change(error):
            self._known = None
            return True
        return database.code_of(error) in STARTS_AGAIN

    def _too_long(self) -> RecordError:
        return RecordError(QUERY_TIMEOUT, f"it took longer than {self._seconds:g} s; narrow it.")

    def _once(self, tool: Tool, arguments: dict[str, Any], caller: Caller) -> Any:
        engine = self._reader if tool.mark == "read" else self._writer
        with engine.begin() as connection:
            database.limit(connection, self._seconds)
            oldest = ASKED_SECONDS if tool.name == "getObjectSchema" else SCHEMA_SECONDS
            work = Work(
                connection=connection,
                catalogue=self._catalogue(self._schema(connection, oldest), caller),
                planned=self._planned,
                caller=caller,
                today=self._today(),
                now=dt.datetime.fromtimestamp(self._now(), dt.UTC).replace(tzinfo=None),
            )
            return tool.run(work, arguments)

    def _planned(self, catalogue: Catalogue, text: str, today: dt.date) -> Plan:
        make = self._kept if len(text) <= LONGEST_KEPT else planned_text
        return make(catalogue, text, today)

    def _catalogue(self, schema: Schema, caller: Caller) -> Catalogue:
        """What the caller sees: the same one for as long as the schema, their permissions and they are."""
        user = {
            "id": caller.user_id, "username": caller.username, "name": caller.user_label, "email": caller.email,
            "time_zone": caller.time_zone,
        }  # fmt: skip
        found = self._seen.get(caller.user_id)
        is_same = found is not None and found.objects is schema.objects and found.access is caller.access
        if found is None or not is_same or found.user != user:
            if len(self._seen) >= MOST_USERS:
                self._seen.clear()
            found = self._seen[caller.user_id] = Catalogue(schema.objects, caller.access, user)
        return found

    def _schema(self, connection: sa.Connection, oldest: float) -> Schema:
        if self.source.makes_sample:
            return SAMPLE
        version = _version(connection)
        known = self._known
        if known is None or known.version != version or (version is None and time.monotonic() - known.at > oldest):
            known = _Known(schema=reflecting.reflect(connection, self._mapping), at=time.monotonic(), version=version)
            self._known = known
        return known.schema

    def _today(self) -> dt.date:
        return dt.datetime.fromtimestamp(self._now(), dt.UTC).date()


SAMPLE = Schema(objects=sample.OBJECTS, problems=(), digest="sample")


def _version(connection: sa.Connection) -> object:
    """What SQLite counts up with each change of its schema, with the file that it is of; None elsewhere."""
    if connection.dialect.name != "sqlite":
        return None
    file = connection.info.get("file")
    return file, connection.exec_driver_sql("PRAGMA schema_version").scalar_one()
