"""What a tool of a records server is: its name, what it says of itself, how its arguments are read, what it runs."""

import datetime as dt
import re
from collections.abc import Callable
from typing import Any, Literal

import msgspec
import sqlalchemy as sa

from gatelodge.gateway.caller import Caller
from gatelodge.gateway.records.errors import INVALID_ARGUMENT, RecordError
from gatelodge.gateway.records.schema import Catalogue
from gatelodge.gateway.records.soql.running import Plan

NO_TEXT = re.compile(r"[\0\ud800-\udfff]")
"""Characters that no text holds: PostgreSQL refuses NUL, and half a surrogate pair is no UTF-8."""


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """What a tool works with: one connection, what its caller may see, who that is, and ``planned``, which is
    ``running.planned_text`` and remembers what it made.
    """

    connection: sa.Connection
    catalogue: Catalogue
    planned: Callable[[Catalogue, str, dt.date], Plan]
    caller: Caller
    today: dt.date
    now: dt.datetime


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """One tool. ``arguments`` are its properties by name (JSON Schema), ``aliases`` other names that clients use."""

    name: str
    title: str
    description: str
    arguments: dict[str, dict[str, Any]]
    required: tuple[str, ...] = ()
    mark: Literal["read", "write", "destructive"] = "read"
    aliases: dict[str, str] = {}
    run: Callable[[Work, dict[str, Any]], Any]

    def schema(self) -> dict[str, Any]:
        """Its input schema. Aliases are accepted and not shown."""
        return {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": self.arguments,
            "required": list(self.required),
        }

    def read(self, given: dict[str, Any]) -> dict[str, Any]:
        """The arguments under their own names. Raises ``RecordError`` (INVALID_ARGUMENT)."""
        named: dict[str, Any] = {}
        for name, value in given.items():
            own = self.aliases.get(name, name)
            if own not in self.arguments:
                known = ", ".join(self.arguments) or "none"
                raise RecordError(INVALID_ARGUMENT, f"{self.name} has no argument {name!r:.60}; it takes: {known}.")
            if value is None:  # what some clients send for an argument that is left out
                continue
            if own in named:
                raise RecordError(INVALID_ARGUMENT, f"{self.name} was given the argument {own} twice.")
            _check(own, value, self.arguments[own])
            named[own] = value
        for name in self.required:
            if not named.get(name):
                raise RecordError(INVALID_ARGUMENT, f"{self.name} needs the argument {name}.")
        return named


def _check(name: str, value: Any, schema: dict[str, Any]) -> None:
    """Whether a value is what its argument takes. Raises ``RecordError`` (INVALID_ARGUMENT)."""
    if schema.get("type") == "integer":
        low, high = schema["minimum"], schema["maximum"]
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise RecordError(INVALID_ARGUMENT, f"the argument {name} must be a number from {low} to {high}.")
        return
    if schema.get("type") == "object":
        if not isinstance(value, dict) or not value:
            raise RecordError(INVALID_ARGUMENT, f"the argument {name} must be an object of fields and their values.")
        if any(NO_TEXT.search(key) for key in value):
            raise RecordError(INVALID_ARGUMENT, f"a field's name in {name} holds NUL or half a surrogate pair.")
        return
    takes_list = "anyOf" in schema
    texts: list[Any] = value if takes_list and isinstance(value, list) else [value]
    if not all(isinstance(each, str) for each in texts):
        raise RecordError(
            INVALID_ARGUMENT, f"the argument {name} must be a string{' or a list of strings' if takes_list else ''}."
        )
    if any(NO_TEXT.search(each) for each in texts):
        raise RecordError(INVALID_ARGUMENT, f"the argument {name} holds NUL or half a surrogate pair.")
