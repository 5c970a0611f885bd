"""OAuth Custom Scopes: the org's own words for what apps may do, beyond those that every org has."""

from starlette.responses import Response

from gatelodge.core import orgs
from gatelodge.core.errors import Refused
from gatelodge.core.scopes import Scope
from gatelodge.setup.frame import Visit
from gatelodge.web.errors import BadRequest
from gatelodge.words import _

BLANK = Scope("", "", "")


async def show(visit: Visit) -> Response:
    """GET /setup/scopes."""
    return await _page(visit)


async def change(visit: Visit) -> Response:
    """POST: add a scope, or remove one. Removed, it opens nothing any more, in tokens that are out as well."""
    store, typed = visit.site.store, BLANK
    before = await store.read(orgs.own_scopes, visit.org.id)
    match visit.field("act"):
        case "add":
            names = tuple(visit.field("includes").split())
            typed = Scope(
                visit.field("name").strip(), visit.field("label").strip(), visit.field("meaning").strip(), names
            )
            after = (*before, typed)
        case "remove":
            after = tuple(each for each in before if each.name != visit.field("name"))
        case other:
            raise BadRequest(_("{other!r:.40} can't be done with a scope").format(other=other))
    told = {"actor": visit.session.user.id, "now_ms": visit.site.clock.now_ms()}
    try:
        await store.run(orgs.change_scopes, visit.org.id, before, after, **told)
    except Refused as refused:
        return await _page(visit, errors={refused.field or "name": refused.message}, typed=typed)
    await visit.site.live.catch_up()
    return visit.go("/setup/scopes")


async def _page(visit: Visit, *, errors: dict[str, str] | None = None, typed: Scope = BLANK) -> Response:
    return visit.page(
        "custom_scopes.html",
        title=_("OAuth Custom Scopes"),
        status=422 if errors else 200,
        rows=await visit.site.store.read(orgs.own_scopes, visit.org.id),
        typed=typed,
        errors=errors or {},
    )
