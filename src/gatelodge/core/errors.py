"""What a rule says when the answer is no, and what the house says when it cannot answer."""

import msgspec


class Refused(Exception):
    """A rule said no to a person or a program, and this is why.

    ``message`` names the cause, the value given, the value allowed and the fix; ``field`` is the form field it
    belongs to ("" for the whole form). Raising undoes the transaction (decision 0005).
    """

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.field = field


class Invalid(Exception):
    """Several fields of one form are refused at once: ``errors`` maps a field to its sentence."""

    def __init__(self, errors: dict[str, str]) -> None:
        super().__init__("; ".join(errors.values()))
        self.errors = errors


class Unavailable(Exception):
    """The house cannot answer now (database away, queue full): 503 with ``Retry-After`` of so many seconds."""

    def __init__(self, message: str, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Denied(msgspec.Struct, frozen=True):
    """A refusal that an operation returns, so that the mark it leaves is kept (decision 0005).

    ``error`` is the code on the wire (RFC 6749 §5.2, RFC 8707 §2); ``description`` names the cause in ASCII.
    """

    error: str
    description: str
