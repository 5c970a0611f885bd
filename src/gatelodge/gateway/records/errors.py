"""What a tool answers when it can't do as asked: Salesforce's error codes, so that clients know them."""

MALFORMED_QUERY = "MALFORMED_QUERY"
MALFORMED_SEARCH = "MALFORMED_SEARCH"
INVALID_FIELD = "INVALID_FIELD"
INVALID_TYPE = "INVALID_TYPE"
INVALID_ARGUMENT = "INVALID_ARGUMENT"
NOT_FOUND = "NOT_FOUND"
NUMBER_OUTSIDE_VALID_RANGE = "NUMBER_OUTSIDE_VALID_RANGE"
QUERY_TIMEOUT = "QUERY_TIMEOUT"
QUERY_TOO_COMPLICATED = "QUERY_TOO_COMPLICATED"
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
    UNKNOWN_EXCEPTION,
)


class RecordError(Exception):
    """A refusal with Salesforce's code; ``at`` is the offset in the query that it is about, -1 for none."""

    def __init__(self, code: str, message: str, at: int = -1) -> None:
        super().__init__(message)
        self.code, self.message, self.at = code, message, at


def pointed(error: RecordError, query: str) -> str:
    """The message with the line of the query, a caret under the place, and its row and column."""
    if error.at < 0:
        return error.message
    before = query[: error.at]
    row, column = before.count("\n") + 1, error.at - (before.rfind("\n") + 1)
    line = query.split("\n")[row - 1]
    start = max(0, column - 60)
    return f"\n{line[start : column + 60]}\n{' ' * (column - start)}^\nERROR at Row:{row}:Column:{column + 1}\n{error.message}"
