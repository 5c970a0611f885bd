"""References to pushed authorization requests (RFC 9126 §4): what the user's browser brings, and that each leads to one
answer.
"""

import msgspec
from starlette.requests import Request

from gatelodge.core import error_codes, pushed_requests, secrets
from gatelodge.core.orgs import Org
from gatelodge.oauth.errors import ToldToTheUser
from gatelodge.oauth.requests import AuthorizeRequest
from gatelodge.web import browser
from gatelodge.web.site import Site
from gatelodge.words import reason


def is_reference(request_uri: str) -> bool:
    """Whether this is a reference of ours; any other request_uri is a request object, and not supported."""
    return request_uri.startswith(pushed_requests.URN) and len(request_uri) <= pushed_requests.LONGEST


async def resolved(site: Site, org: Org, request: Request, asked_for: AuthorizeRequest) -> AuthorizeRequest:
    """The request that is meant: a pushed one takes the place of whatever else was sent (RFC 9126 §4).

    Raises ``ToldToTheUser`` for a reference that leads nowhere: there is no way back to be sure of.
    """
    if not is_reference(asked_for.request_uri) or {"client_id", "request_uri"} & set(asked_for.repeated):
        return asked_for
    reference = secrets.digest(asked_for.request_uri.removeprefix(pushed_requests.URN))
    tie = browser.browser_of(site, org, request)
    found = await site.store.read(
        pushed_requests.find,
        org.id,
        reference,
        asked_for.client_id,
        secrets.digest(tie) if tie else "",
        site.clock.now(),
    )
    if found is None:
        raise used_up(asked_for.client_id)
    return msgspec.json.decode(found.request, type=AuthorizeRequest)


def used_up(client_id: str) -> ToldToTheUser:
    """The refusal of a reference that leads nowhere."""
    return ToldToTheUser(
        "invalid_request_uri",
        reason("This sign-in is over"),
        number=error_codes.EXPIRED,
        what=reason(
            "The request_uri was used, is older than {lifetime} seconds, was opened in another browser"
            " before, or belongs to another client.",
            lifetime=pushed_requests.LIFETIME,
        ),
        asked=client_id,
        fix=reason("Go back to the client and connect again."),
    )


async def use(site: Site, org: Org, request: AuthorizeRequest) -> None:
    """An answer without a code goes back to the client, and uses the reference up as well (CVE-2026-96446).

    Raises ``ToldToTheUser`` when another answer was first.
    """
    if request.pushed and not await site.store.run(pushed_requests.use, org.id, request.pushed, site.clock.now()):
        raise used_up(request.client_id)
