"""Checking arguments and answers against a schema: in bounded time, and with sentences that say what to do.

Regular expressions of a document are not run: one that takes forever is easily written. The API checks its own.
"""

from collections.abc import Callable, Iterator
from contextvars import ContextVar
from itertools import islice
from typing import Any, cast

import msgspec
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend

from gatelodge.gateway.openapi.document import Object

MOST_REFERENCES = 50_000
"""References that are followed in one check."""
MOST_TOLD = 5
SHOWN = 80


class _Check(msgspec.Struct):
    """One check under way: what references lead to, and how many may still be followed."""

    defs: Object
    left: int = MOST_REFERENCES


class _TooMuch(Exception):
    """The check would take too long."""


UNDER_WAY: ContextVar[_Check] = ContextVar("check")


def _unchecked(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    return iter(())


def _reference(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    """All definitions stand beside the schema: nothing else is ever looked up."""
    check = UNDER_WAY.get()
    check.left -= 1
    if check.left < 0:
        raise _TooMuch
    yield from validator.descend(instance, check.defs[value.rpartition("/")[2]])


def _all_differ(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if value and isinstance(instance, list):
        listed = cast("list[Any]", instance)
        if len({msgspec.json.encode(each, order="sorted") for each in listed}) != len(listed):
            yield ValidationError("holds the same value twice")


Validator: Any = extend(
    Draft202012Validator,
    {
        "$ref": _reference,
        "uniqueItems": _all_differ,
        "pattern": _unchecked,
        "patternProperties": _unchecked,
        "unevaluatedProperties": _unchecked,
        "unevaluatedItems": _unchecked,
    },
)


def problems(schema: Object, value: Any, what: str) -> list[str]:
    """What is wrong with a value, as sentences; ``what`` is what a member of it is called."""
    token = UNDER_WAY.set(_Check(schema.get("$defs", {})))
    try:
        found = list(islice(Validator(schema).iter_errors(value), MOST_TOLD))
    except (_TooMuch, RecursionError, OverflowError):
        return [f"the {what}s can't be checked: they are nested too deep or too large for their schema. Send less"]
    finally:
        UNDER_WAY.reset(token)
    return [_sentence(error, schema, what) for error in found]


def _sentence(error: ValidationError, schema: Object, what: str) -> str:
    expected = EXPECTED.get(str(error.validator), _any_rule)
    where = _where(error, what)
    match error.validator:
        case "required":
            missing = next(
                name for name in cast("list[str]", error.validator_value) if name not in cast("Object", error.instance)
            )
            inside = f" in {where}" if error.absolute_path else ""
            return f"{what} {missing!r}{inside} is missing, and required. Add it"
        case "additionalProperties" if error.validator_value is False:
            known = list(cast("Object", error.schema).get("properties", {}))
            unknown = next(name for name in cast("Object", error.instance) if name not in known)
            inside = f" in {where}" if error.absolute_path else ""
            told = ", ".join(known[:30]) or "none"
            return f"{what} {unknown!r:.80}{inside} is not known; known are: {told}. Leave it out, or correct its name"
        case _:
            optional = len(error.absolute_path) == 1 and error.absolute_path[0] not in schema.get("required", ())
            fix = "Change it, or leave it out" if optional else "Change it"
            return f"{where} is {_shown(error.instance)}, and must be {expected(error.validator_value)}. {fix}"


def _where(error: ValidationError, what: str) -> str:
    first, *more = [*error.absolute_path] or [""]
    path = str(first) + "".join(f"[{each}]" if isinstance(each, int) else f".{each}" for each in more)
    return f"{what} {path!r:.200}"


def _shown(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}… ({len(text)} characters)"


def _list(value: Any) -> str:
    return ", ".join(_shown(each) for each in cast("list[Any]", value)[:20])


def _types(value: Any) -> str:
    listed = cast("list[str]", value if isinstance(value, list) else [value])
    return " or ".join(
        f"an {each}" if each[0] in "aeiou" else f"a {each}" if each != "null" else each for each in listed
    )


def _all_different(value: Any) -> str:
    return "a list without the same value twice"


def _any_rule(value: Any) -> str:
    return f"as the tool's schema says: {_shown(value)}"


EXPECTED: dict[str, Callable[[Any], str]] = {
    "type": _types,
    "enum": lambda value: f"one of {_list(value)}",
    "const": _shown,
    "minimum": lambda value: f"at least {value}",
    "maximum": lambda value: f"at most {value}",
    "exclusiveMinimum": lambda value: f"more than {value}",
    "exclusiveMaximum": lambda value: f"less than {value}",
    "multipleOf": lambda value: f"a multiple of {value}",
    "minLength": lambda value: f"at least {value} characters long",
    "maxLength": lambda value: f"at most {value} characters long",
    "minItems": lambda value: f"a list of at least {value}",
    "maxItems": lambda value: f"a list of at most {value}",
    "uniqueItems": _all_different,
    "anyOf": lambda value: f"one of {len(value)} forms that the schema has, and is none",
    "oneOf": lambda value: f"exactly one of {len(value)} forms that the schema has",
}
"""What each keyword wants, in words."""
