"""Disabling an app, deleting it, and bringing it back."""

import msgspec
from starlette.responses import Response

from gatelodge.core import authorizations, connections, propagation
from gatelodge.core.apps import deleted
from gatelodge.core.apps.deleted import KEPT_FOR
from gatelodge.core.apps.registry import ExternalClientApp
from gatelodge.core.errors import Invalid, Refused
from gatelodge.core.permissions import MANAGE_APPS
from gatelodge.setup import events
from gatelodge.setup.frame import Visit
from gatelodge.web import moments
from gatelodge.web.errors import BadRequest
from gatelodge.words import _


async def change_state(visit: Visit, app: ExternalClientApp) -> Response:
    """Disable or enable the app, at once and on every node; the page that follows offers to take it back."""
    act = visit.field("act")
    if act not in ("disable", "enable"):
        raise BadRequest(_("{act!r:.40} can't be done with an app").format(act=act))
    try:
        await visit.site.store.run(
            propagation.change_app,
            app,
            revision=app.revision,
            settings=app.settings,
            policies=msgspec.structs.replace(app.policies, is_enabled=act == "enable"),
            actor=visit.session.user.id,
            now_ms=visit.site.clock.now_ms(),
            delay=0,
        )
    except (Refused, Invalid) as error:
        raise BadRequest(str(error), 409) from None
    return visit.go(f"/setup/apps/{app.id}?done={act}d")


async def show_delete(visit: Visit, app: ExternalClientApp) -> Response:
    """What deleting it means, and the question."""
    return await _ask(visit, app, {})


async def delete(visit: Visit, app: ExternalClientApp) -> Response:
    """Delete the app. Where it was used in the last 30 days its API Name is asked for."""
    errors = await _unconfirmed(visit, app)
    if not errors:
        store, now_ms = visit.site.store, visit.site.clock.now_ms()
        try:
            await store.run(deleted.delete, app, actor=visit.session.user.id, now_ms=now_ms)
        except Refused as refused:
            errors = {"": refused.message}
        else:
            await _end_access(visit, app.id)
            return visit.go(f"/setup/apps/deleted?done={app.id}")
    return await _ask(visit, app, errors)


async def _unconfirmed(visit: Visit, app: ExternalClientApp) -> dict[str, str]:
    """Why it isn't deleted yet, by the field; nothing where nobody used it lately, or the name was typed."""
    typed, name = visit.field("confirm").strip(), app.settings.api_name
    if typed == name or not await _was_used(visit, app):
        return {}
    said = _("{typed} is not").format(typed=f"{typed!r:.80}") if typed else _("Type")
    return {"confirm": _("{said} the API Name of this app, {name}. Nothing was deleted.").format(said=said, name=name)}


async def _was_used(visit: Visit, app: ExternalClientApp) -> int:
    """When it was last used, where that is less than 30 days ago; else 0."""
    last = await visit.site.store.read(connections.last_use_of_apps, visit.org.id, (app.id,))
    at = last.get(app.id, 0)
    return at if at > visit.site.clock.now() - KEPT_FOR else 0


async def _ask(visit: Visit, app: ExternalClientApp, errors: dict[str, str]) -> Response:
    last, now = await _was_used(visit, app), visit.site.clock.now()
    users = await visit.site.store.read(authorizations.count_by_app, visit.org.id, (app.id,))
    return visit.page(
        "app_delete.html",
        title=_("Delete {app}").format(app=app.settings.label),
        status=422 if errors else 200,
        app=app,
        errors=errors,
        users=users.get(app.id, 0),
        last_used=moments.moment(last, now) if last else None,
        until=moments.day(now + KEPT_FOR),
    )


async def show_deleted(visit: Visit) -> Response:
    """The deleted apps, each with the day on which it is gone for good."""
    return await _list(visit, "")


async def restore(visit: Visit) -> Response:
    """Bring an app back; its users connect anew."""
    gone = await visit.site.store.read(deleted.find, visit.org.id, visit.field("app_id"))
    if gone is None:
        return await _list(visit, _("This app was restored already, or its 30 days are over."))
    await _end_access(visit, gone.app.id)
    try:
        await visit.site.store.run(deleted.restore, gone, actor=visit.session.user.id, now_ms=visit.site.clock.now_ms())
    except Refused as refused:
        return await _list(visit, refused.message)
    return visit.go(f"/setup/apps/{gone.app.id}?done=restored")


async def _end_access(visit: Visit, app_id: str) -> None:
    """End what users let the deleted app do, in pages, so that nobody waits long behind them."""
    while await visit.site.store.run(deleted.end_access, visit.org.id, app_id, visit.site.clock.now()):
        pass


async def _list(visit: Visit, problem: str) -> Response:
    gone, now = await visit.site.store.read(deleted.of_org, visit.org.id), visit.site.clock.now()
    rows = [
        {
            "app": each.app,
            "by": await events.name_of(visit, each.deleted_by),
            "at": moments.moment(each.deleted_at, now),
            "until": moments.day(each.until),
        }
        for each in gone
    ]
    return visit.page(
        "apps_deleted.html",
        title=_("Deleted apps"),
        status=409 if problem else 200,
        rows=rows,
        problem=problem,
        can_restore=visit.access.may(MANAGE_APPS),
        zone=moments.zone_in_words(now),
    )
