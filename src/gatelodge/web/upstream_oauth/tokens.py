"""Asking an issuer for tokens (RFC 6749 §3.2), and telling it that we need them no more (RFC 7009)."""

import base64
import contextlib
import re
from urllib.parse import quote_plus, urlencode

import msgspec

from gatelodge.core.mcp_servers import McpServer
from gatelodge.web.outbound import NotFetched
from gatelodge.web.site import Site
from gatelodge.web.upstream_oauth.clients import BASIC, POST, OurClient
from gatelodge.words import Because, Reason, reason

OK = 200
SERVER_ERROR = 500
TOO_MANY = 429
TOKEN = re.compile(r"[\x21-\x7E]{1,16384}")
"""What can stand in an Authorization header as one word."""
LONGEST_LIFETIME = 30 * 86400


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """A token as its issuer gives it (RFC 6749 §5.1). ``expires_in`` is in seconds, None where it doesn't say."""

    access_token: str
    token_type: str
    expires_in: float | None = None
    refresh_token: str = ""
    scope: str = ""

    def __repr__(self) -> str:
        return "Answered()"


class Complaint(msgspec.Struct, frozen=True, kw_only=True):
    """What an issuer says is wrong (RFC 6749 §5.2)."""

    error: str
    error_description: str = ""


class NotGiven(Because):
    """The issuer gave no token. ``error`` is its code, "" when it could not answer, so that trying later may help."""

    def __init__(self, why: Reason, error: str = "") -> None:
        super().__init__(why)
        self.error = error


async def ask(site: Site, server: McpServer, url: str, client: OurClient, parameters: dict[str, str]) -> Answered:
    """A token of the issuer whose token endpoint this is. Raises ``NotGiven``."""
    headers, body = authenticated(client, parameters)
    try:
        fetched = await site.outbound.fetch(
            url, method="POST", headers=headers, body=body, allows_private=server.terms.allows_private
        )
    except NotFetched as error:
        raise NotGiven(error.reason) from None
    if fetched.status != OK:
        raise _complaint(url, fetched.status, fetched.body)
    try:
        answered = msgspec.json.decode(fetched.body, type=Answered)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise NotGiven(reason("the token that {url} gave can't be read: {error}", url=url, error=error)) from None
    if answered.token_type.lower() != "bearer":
        kind = answered.token_type[:40]
        raise NotGiven(reason("{url} gave a token of the type {kind!r}, and we know Bearer alone", url=url, kind=kind))
    if not TOKEN.fullmatch(answered.access_token) or not (
        answered.refresh_token == "" or TOKEN.fullmatch(answered.refresh_token)
    ):
        raise NotGiven(reason("{url} gave a token that can't be sent in a header", url=url))
    return answered


def ends_at(answered: Answered, now: int) -> int:
    """When the token ends (epoch seconds), 0 for unknown."""
    if answered.expires_in is None:
        return 0
    return now + int(max(0, min(answered.expires_in, LONGEST_LIFETIME)))


async def revoke(site: Site, server: McpServer, url: str, client: OurClient, token: str) -> None:
    """Have a token revoked (RFC 7009 §2.1), as far as its issuer does."""
    headers, body = authenticated(client, {"token": token})
    with contextlib.suppress(NotFetched):
        _ = await site.outbound.fetch(
            url, method="POST", headers=headers, body=body, allows_private=server.terms.allows_private
        )


def authenticated(client: OurClient, parameters: dict[str, str]) -> tuple[dict[str, str], bytes]:
    """The headers and the body of a request that says who we are (RFC 6749 §2.3.1)."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    if client.auth_method == BASIC:
        pair = f"{quote_plus(client.client_id)}:{quote_plus(client.secret)}"
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        return headers, urlencode(parameters).encode()
    said = {"client_id": client.client_id} | parameters
    if client.auth_method == POST:
        said["client_secret"] = client.secret
    return headers, urlencode(said).encode()


def _complaint(url: str, status: int, body: bytes) -> NotGiven:
    if status >= SERVER_ERROR or status == TOO_MANY:
        return NotGiven(reason("{url} can't answer now: status {status}", url=url, status=status))
    try:
        told = msgspec.json.decode(body, type=Complaint)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        told = Complaint(error=f"status {status}")
    why = reason(
        "{url} refused: {error!r} {description!r}", url=url, error=told.error[:80], description=told.error_description
    )
    return NotGiven(why, told.error[:80] or "refused")
