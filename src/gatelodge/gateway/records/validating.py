"""What a caller wants written, field by field: of the right type, short enough, one of the values that the field takes."""

import base64
import binascii
import datetime as dt
import math
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from gatelodge.gateway.records.errors import (
    DUPLICATE_VALUE,
    FIELD_INTEGRITY_EXCEPTION,
    INVALID_CROSS_REFERENCE_KEY,
    INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST,
    INVALID_TYPE_ON_FIELD_IN_RECORD,
    NUMBER_OUTSIDE_VALID_RANGE,
    REQUIRED_FIELD_MISSING,
    STRING_TOO_LONG,
    NotWritten,
    Problem,
)
from gatelodge.gateway.records.schema import Field
from gatelodge.gateway.records.soql.compiling import LARGEST, exact, stored_id
from gatelodge.gateway.records.tool import NO_TEXT

MOST_LISTED = 20
LONGEST_SHOWN = 200


def value_for(field: Field, value: Any, dialect: str) -> Any:
    """A value of JSON as the column takes it. Raises ``NotWritten``."""
    if value is None:
        if not field.is_nullable:
            raise refused(field, value, REQUIRED_FIELD_MISSING, "a value", "This field can't be empty: send a value.")
        return sa.null() if field.is_cast else None  # a JSON column would take None for JSON's own null
    match field.type:
        case "id" | "reference":
            return _id(field, value)
        case "int" | "double" | "currency":
            return _number(field, value)
        case "boolean":
            if not isinstance(value, bool):
                raise _of_type(field, value, "true or false", "Send it without quotes.")
            return value
        case "date" | "datetime":
            return _date(field, value)
        case "base64":
            return _bytes(field, value)
    text = _text(field, value)
    if not field.is_cast:
        return text
    if dialect != "postgresql":  # which alone is strict about the types that go as text
        return sa.literal(text, sa.String())
    if isinstance(field.stored, sa.types.NullType):  # one that SQLAlchemy doesn't know: PostgreSQL does
        return sa.literal(text, field.stored)
    return sa.cast(sa.literal(text, sa.String()), field.stored)


def _id(field: Field, value: Any) -> Any:
    own = stored_id(field, str(value)) if isinstance(value, str | int) and not isinstance(value, bool) else None
    if own is None or (isinstance(own, str) and NO_TEXT.search(own)):
        whose = f"of {field.parent}" if field.parent else "of the record"
        raise refused(field, value, INVALID_CROSS_REFERENCE_KEY, f"an id {whose}", "Send an id as a query answers it.")
    return own


def _number(field: Field, value: Any) -> int | float | Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _of_type(field, value, "a number", "Send it without quotes.")
    if field.type == "int" and isinstance(value, float):
        if not value.is_integer():
            raise _of_type(field, value, "a whole number", "Round it.")
        value = int(value)
    if not math.isfinite(value) or (isinstance(value, int) and abs(value) > LARGEST):
        raise refused(field, value, NUMBER_OUTSIDE_VALID_RANGE, f"at most {LARGEST}", "Send a smaller number.")
    own = exact(field, value)
    least, most = field.least, field.most
    if (least is not None and own < least) or (most is not None and own > most):
        between = f"a number from {least} to {most}" if most is not None else f"at least {least}"
        raise refused(field, value, NUMBER_OUTSIDE_VALID_RANGE, between, "Send one of those.")
    return own


def _date(field: Field, value: Any) -> dt.date:
    example = "2026-07-28" if field.type == "date" else "2026-07-28T09:30:00Z"
    try:
        if field.type == "date":
            return dt.date.fromisoformat(value)
        at = dt.datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise _of_type(field, value, f"a {field.type}", f"Write it like {example}.") from None
    if at.tzinfo is None:
        raise _of_type(field, value, "a datetime with its zone", f"Write it like {example}.")
    try:
        at = at.astimezone(dt.UTC)
    except OverflowError:
        raise _of_type(field, value, f"a {field.type}", f"Write it like {example}.") from None
    return at if getattr(field.stored, "timezone", False) else at.replace(tzinfo=None)


def _bytes(field: Field, value: Any) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise _of_type(field, value, "bytes in base64", "Encode them.") from None


def _text(field: Field, value: Any) -> str:
    if not isinstance(value, str):
        raise _of_type(field, value, "a text", "Send it in quotes.")
    if NO_TEXT.search(value):
        raise _of_type(field, value, "a text without NUL and half surrogate pairs", "Leave them out.")
    if field.length and len(value) > field.length:
        raise refused(
            field, value, STRING_TOO_LONG, f"at most {field.length} characters", f"It has {len(value)}: shorten it."
        )
    if field.values and value not in field.values:
        some = ", ".join(field.values[:MOST_LISTED])
        raise refused(field, value, INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST, f"one of {some}", "Choose one of them.")
    return value


def _of_type(field: Field, value: Any, expected: str, fix: str) -> NotWritten:
    return refused(field, value, INVALID_TYPE_ON_FIELD_IN_RECORD, expected, fix)


def refused(field: Field | str, value: Any, code: str, expected: str, fix: str) -> NotWritten:
    """One problem as an error."""
    name = field if isinstance(field, str) else field.name
    return NotWritten(Problem(code=code, field=name, value=shortened(value), expected=expected, fix=fix))


def shortened(value: Any) -> Any:
    """What was sent, short enough to be sent back."""
    if isinstance(value, str):
        return NO_TEXT.sub("\ufffd", value[:LONGEST_SHOWN])
    is_plain = value is None or isinstance(value, bool) or (isinstance(value, int | float) and math.isfinite(value))
    return (
        value if is_plain and not (isinstance(value, int) and abs(value) > LARGEST) else f"{value!r:.{LONGEST_SHOWN}}"
    )


UNIQUE = {"SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY", "SQLITE_CONSTRAINT_ROWID", "23505", 1062, 1586}
FOREIGN = {"SQLITE_CONSTRAINT_FOREIGNKEY", "SQLITE_CONSTRAINT_TRIGGER", "23503", "23001", 1451, 1452, 1216, 1217}
NOT_NULL = {"SQLITE_CONSTRAINT_NOTNULL", "23502", 1048, 1364}
RULE = {"SQLITE_CONSTRAINT_CHECK", "23514", "23P01", "P0001", 4025, 3819, 1644}
TOO_LONG = {"22001", 1406}
OUT_OF_RANGE = {"22003", 1264, 1690}
NOT_OF_TYPE = {
    "2200N",
    "22P02",
    "22007",
    "22008",
    "42804",
    "22021",
    "SQLITE_MISMATCH",
    "SQLITE_CONSTRAINT_DATATYPE",
    1265,
    1292,
    1366,
}
MEANINGS = (
    (
        UNIQUE,
        DUPLICATE_VALUE,
        "a value that no other record has",
        "Choose another, or update the record that has it.",
    ),
    (NOT_NULL, REQUIRED_FIELD_MISSING, "a value for each field that needs one", "See getObjectSchema for those."),
    (FOREIGN, INVALID_CROSS_REFERENCE_KEY, "ids of records that exist", "Look the id up with a query."),
    (RULE, FIELD_INTEGRITY_EXCEPTION, "what the database's own rules allow", "Change the values."),
    (TOO_LONG, STRING_TOO_LONG, "texts that fit", "Shorten them."),
    (OUT_OF_RANGE, NUMBER_OUTSIDE_VALID_RANGE, "numbers that fit", "Send smaller ones."),
    (NOT_OF_TYPE, INVALID_TYPE_ON_FIELD_IN_RECORD, "values of the fields' types", "See getObjectSchema for them."),
)
"""What a database refuses that wasn't seen before: its codes, ours, what is expected, and what to do."""
