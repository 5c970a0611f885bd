"""Pages of the flow that no client sees: a refusal told to the person in front of the browser."""

from starlette.requests import Request
from starlette.responses import Response

from gatelodge.core.orgs import Org
from gatelodge.core.permissions import EDIT_POLICIES, MANAGE_APPS
from gatelodge.oauth.errors import ToldToTheUser
from gatelodge.web import browser, pages
from gatelodge.web.site import Site


async def refusal_page(site: Site, org: Org, request: Request, refused: ToldToTheUser) -> Response:
    """What happened, the value that came, the values allowed, the near miss and the way out. Nothing is redirected.

    The registered URLs are shown: a consumer key is no secret, and the person connecting is who must compare them.
    """
    session = await browser.session_of(site, org, request)
    live_user = await site.live.user(org.id, session.user.id) if session else None
    manages = live_user is not None and (live_user.access.may(MANAGE_APPS) or live_user.access.may(EDIT_POLICIES))
    return pages.render(
        site,
        org,
        request,
        "oauth/refused.html",
        status=400,
        is_flow=True,
        session=session,
        title=refused.title,
        what=refused.what,
        asked=refused.asked,
        allowed=refused.allowed,
        difference=refused.difference,
        fix=refused.fix,
        code=refused.code,
        setup_url=f"{org.path}/setup/apps/{refused.app_id}" if manages and refused.app_id else "",
    )


def sign_in_hints(is_development: bool) -> tuple[str, ...]:  # noqa: FBT001 - the one thing that decides
    """What a development org says on its sign-in page; never a password."""
    if not is_development:
        return ()
    return ("Development org: the names and passwords are printed where you started gatelodge dev.",)
