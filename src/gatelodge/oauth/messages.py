"""Pages of the flow that no client sees: a refusal told to the person in front of the browser."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from gatelodge.core import error_codes
from gatelodge.core.orgs import Org
from gatelodge.core.scopes import Custom, described
from gatelodge.core.told_refusals import Told
from gatelodge.oauth.errors import ToldToTheUser
from gatelodge.oauth.steps import ACCESS_DENIED
from gatelodge.web import refusals
from gatelodge.web.site import Site
from gatelodge.words import _

NUMBERS = {
    ACCESS_DENIED: error_codes.NOT_APPROVED,
    "ip_restricted": error_codes.ADDRESS,
    "invalid_session_level": error_codes.LEVEL,
    "mcp_not_permitted": error_codes.NO_MCP,
}
"""Our code for each of the original's words, of a user who may not use an app."""


async def refusal_page(site: Site, org: Org, request: Request, refused: ToldToTheUser) -> Response:
    """What happened, the value that came, the values allowed, the near miss and the way out. Nothing is redirected."""
    told = Told(
        code=refused.number,
        title=refused.title,
        what=refused.what,
        fix=refused.fix,
        asked=refused.asked,
        allowed=refused.allowed,
        app_id=refused.app_id,
    )
    return await refusals.page(site, org, request, told, difference=refused.difference, word=refused.code)


def sign_in_hints(is_development: bool) -> tuple[str, ...]:  # noqa: FBT001 - the one thing that decides
    """What a development org says on its sign-in page; never a password."""
    if not is_development:
        return ()
    return (_("Development org: the names and passwords are printed where you started gatelodge dev."),)


class Plainly(msgspec.Struct, frozen=True):
    """A scope as a person is told of it: its name on the wire and what it lets the app do."""

    name: str
    meaning: str


def in_plain_words(scopes: tuple[str, ...], custom: Custom) -> tuple[Plainly, ...]:
    """What these scopes let an app do; ``custom`` are the org's own."""
    return tuple(Plainly(name, _(described(name, custom).meaning)) for name in scopes)
