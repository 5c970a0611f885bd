"""What a face answers when something outside a rule went wrong: a clear 4xx for bad input, an incident for a bug."""

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response

from gatelodge.core import secrets
from gatelodge.core.errors import Invalid, Refused, Unavailable
from gatelodge.words import reason

log = structlog.get_logger()


class BadRequest(Exception):
    """The request can't be read: ``status`` says how (400, 413, 415), the message what and what is allowed."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class TooMany(Exception):
    """This caller has sent too much for now: 429, to be tried again after so many seconds."""

    def __init__(self, retry_after: int) -> None:
        self._reason = reason("too many requests from this address for now; try again in {n} s", n=retry_after)
        super().__init__(str(self._reason))
        self.retry_after = retry_after

    def here(self) -> str:
        """The same in the reader's language."""
        return self._reason.here()


def answer_for(error: Exception, request: Request) -> Response:
    """The answer to a request that raised. A bug is logged under an incident id, and only the id is told."""
    if isinstance(error, BadRequest):
        return PlainTextResponse(f"{error}\n", error.status)
    if isinstance(error, TooMany):
        return PlainTextResponse(f"{error}\n", 429, headers={"Retry-After": str(error.retry_after)})
    if isinstance(error, Refused | Invalid):
        return PlainTextResponse(f"{error}\n", 400)
    if isinstance(error, Unavailable):
        return PlainTextResponse(f"{error}\n", 503, headers={"Retry-After": str(error.retry_after)})
    if isinstance(error, ClientDisconnect):
        return Response(status_code=400)
    incident = secrets.new_token()[:12]
    # The path alone: a query may hold a code or a state.
    log.error("incident", incident=incident, method=request.method, path=request.scope["path"], exc_info=error)
    return PlainTextResponse(f"Something went wrong on our side. Incident {incident}\n", 500)
