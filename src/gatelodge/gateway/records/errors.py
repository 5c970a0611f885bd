"""What a tool answers when it can't do as asked: Salesforce's error codes, so that clients know them."""

from typing import Any

import msgspec

MALFORMED_QUERY = "MALFORMED_QUERY"
MALFORMED_SEARCH = "MALFORMED_SEARCH"
INVALID_FIELD = "INVALID_FIELD"
INVALID_TYPE = "INVALID_TYPE"
INVALID_ARGUMENT = "INVALID_ARGUMENT"
NOT_FOUND = "NOT_FOUND"
NUMBER_OUTSIDE_VALID_RANGE = "NUMBER_OUTSIDE_VALID_RANGE"
QUERY_TIMEOUT = "QUERY_TIMEOUT"
QUERY_TOO_COMPLICATED = "QUERY_TOO_COMPLICATED"
REQUIRED_FIELD_MISSING = "REQUIRED_FIELD_MISSING"
INVALID_FIELD_FOR_INSERT_UPDATE = "INVALID_FIELD_FOR_INSERT_UPDATE"
INVALID_TYPE_ON_FIELD_IN_RECORD = "INVALID_TYPE_ON_FIELD_IN_RECORD"
STRING_TOO_LONG = "STRING_TOO_LONG"
INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST = "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"
INVALID_CROSS_REFERENCE_KEY = "INVALID_CROSS_REFERENCE_KEY"
DUPLICATE_VALUE = "DUPLICATE_VALUE"
FIELD_INTEGRITY_EXCEPTION = "FIELD_INTEGRITY_EXCEPTION"
INSUFFICIENT_ACCESS_OR_READONLY = "INSUFFICIENT_ACCESS_OR_READONLY"
DELETE_FAILED = "DELETE_FAILED"
PRECONDITION_FAILED = "PRECONDITION_FAILED"
SERVER_UNAVAILABLE = "SERVER_UNAVAILABLE"
UNKNOWN_EXCEPTION = "UNKNOWN_EXCEPTION"
CODES = (
    MALFORMED_QUERY,
    MALFORMED_SEARCH,
    INVALID_FIELD,
    INVALID_TYPE,
    INVALID_ARGUMENT,
    NOT_FOUND,
    NUMBER_OUTSIDE_VALID_RANGE,
    QUERY_TIMEOUT,
    QUERY_TOO_COMPLICATED,
    REQUIRED_FIELD_MISSING,
    INVALID_FIELD_FOR_INSERT_UPDATE,
    INVALID_TYPE_ON_FIELD_IN_RECORD,
    STRING_TOO_LONG,
    INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST,
    INVALID_CROSS_REFERENCE_KEY,
    DUPLICATE_VALUE,
    FIELD_INTEGRITY_EXCEPTION,
    INSUFFICIENT_ACCESS_OR_READONLY,
    DELETE_FAILED,
    PRECONDITION_FAILED,
    SERVER_UNAVAILABLE,
    UNKNOWN_EXCEPTION,
)


class RecordError(Exception):
    """A refusal with Salesforce's code; ``at`` is the offset in the query that it is about, -1 for none."""

    def __init__(self, code: str, message: str, at: int = -1) -> None:
        super().__init__(message)
        self.code, self.message, self.at = code, message, at


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One value that can't be written: of which field, what was sent, what the field takes, and what to do."""

    code: str
    field: str
    value: Any
    expected: str
    fix: str


class NotWritten(RecordError):
    """Nothing was written, for all of these reasons."""

    def __init__(self, *problems: Problem) -> None:
        first = problems[0]
        super().__init__(first.code, f"{first.field}: expected {first.expected}. {first.fix}")
        self.problems = problems


def told(error: RecordError, query: str = "") -> list[dict[str, Any]]:
    """The errors as a tool answers them."""
    if not isinstance(error, NotWritten):
        return [{"errorCode": error.code, "message": pointed(error, query)}]
    return [
        {
            "errorCode": each.code,
            "message": f"{each.field or 'The record'}: expected {each.expected}. {each.fix}",
            "fields": [each.field] if each.field else [],
            "value": each.value,
            "expected": each.expected,
            "fix": each.fix,
        }
        for each in error.problems
    ]


def pointed(error: RecordError, query: str) -> str:
    """The message with the line of the query, a caret under the place, and its row and column."""
    if error.at < 0:
        return error.message
    before = query[: error.at]
    row, column = before.count("\n") + 1, error.at - (before.rfind("\n") + 1)
    line = query.split("\n")[row - 1]
    start = max(0, column - 60)
    return f"\n{line[start : column + 60]}\n{' ' * (column - start)}^\nERROR at Row:{row}:Column:{column + 1}\n{error.message}"
