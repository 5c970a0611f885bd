"""The pages of error codes, for everybody, and what stands under a trace id, for administrators."""

from starlette.requests import Request
from starlette.responses import Response

from gatelodge.core import error_codes, told_refusals
from gatelodge.core.ids import TRACE_SHAPE
from gatelodge.core.orgs import Org
from gatelodge.setup.frame import Visit
from gatelodge.web import browser, pages
from gatelodge.web.errors import BadRequest
from gatelodge.web.site import Site
from gatelodge.words import _


async def show_all(site: Site, org: Org, request: Request) -> Response:
    """GET /errors: every code with its title."""
    session = await browser.session_of(site, org, request)
    titles = [(number, _(code.title)) for number, code in error_codes.CODES.items()]
    return pages.render(site, org, request, "web/error_codes.html", is_flow=True, session=session, titles=titles)


async def show_code(site: Site, org: Org, request: Request) -> Response:
    """GET /errors/{code}: what one code means and how it is mended."""
    session = await browser.session_of(site, org, request)
    number = request.path_params["code"].upper()
    code = error_codes.CODES.get(number)
    if code is None:
        raise BadRequest(
            _("there is no error code {code}; every code is listed at /errors").format(code=number[:20]), 404
        )
    return pages.render(
        site, org, request, "web/error_code.html", is_flow=True, session=session, number=number, code=code
    )


async def show_trace(visit: Visit) -> Response:
    """What somebody was told, by the reference that they were given."""
    trace_id = visit.request.path_params["trace_id"].upper()
    found = None
    if TRACE_SHAPE.fullmatch(trace_id):
        found = await visit.site.store.read(told_refusals.find, visit.org.id, trace_id, visit.site.clock.now())
    status = 200 if found else 404
    return visit.page(
        "trace.html",
        title=_("A refusal"),
        status=status,
        trace_id=trace_id[:40],
        found=found,
        told=found.told.here() if found else None,
    )
