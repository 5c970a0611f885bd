"""How a refusal is told: by JSON to a client, by redirect through the browser, or by a page to the person there."""

import msgspec
from starlette.responses import Response

from gatelodge.words import Reason

NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}  # RFC 6749 §5.1, on errors too


class OAuthError(Exception):
    """A refusal with an RFC's code: told by the place that catches it, as JSON or through the redirect."""

    def __init__(
        self, error: str, description: str, status: int = 400, challenge: str = "", retry_after: int = 0
    ) -> None:
        super().__init__(description)
        self.error, self.description, self.status, self.challenge = error, description, status, challenge
        self.retry_after = retry_after


class ToldToTheUser(Exception):
    """A refusal that must not leave our page: the client or its redirect URI is not what was registered.

    ``code`` is the word by which the web knows the failure (Salesforce's), ``number`` our own (``core/error_codes.py``);
    ``asked`` is the value that came and ``allowed`` what would have passed, ``difference`` the near miss in words and
    ``fix`` the way out.
    """

    def __init__(
        self,
        code: str,
        title: Reason,
        *,
        number: str,
        what: Reason,
        fix: Reason,
        asked: str = "",
        allowed: tuple[str, ...] = (),
        difference: str = "",
        app_id: str = "",
    ) -> None:
        super().__init__(str(what))
        self.code, self.title, self.what, self.fix = code, title, what, fix
        self.number = number
        self.asked, self.allowed, self.difference, self.app_id = asked, allowed, difference, app_id


def ascii_text(description: str) -> str:
    """The characters that RFC 6749 §5.2 allows in ``error_description``."""
    return "".join(c if " " <= c <= "~" and c not in '"\\' else "'" if c == '"' else "?" for c in description)


def as_json(refused: OAuthError) -> Response:
    """The refusal as the token endpoint tells it (RFC 6749 §5.2)."""
    body = {"error": refused.error, "error_description": ascii_text(refused.description)}
    headers = dict(NO_STORE)
    if refused.challenge:
        headers["WWW-Authenticate"] = refused.challenge
    if refused.retry_after:
        headers["Retry-After"] = str(refused.retry_after)
    return Response(msgspec.json.encode(body), refused.status, headers, media_type="application/json")
