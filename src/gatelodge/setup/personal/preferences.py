"""Language & Time Zone: how a person sees every page. All of it is kept on the user, and follows them."""

from typing import Any

from starlette.responses import Response

from gatelodge.core import audit, users
from gatelodge.core.operation import Operation
from gatelodge.core.users import User
from gatelodge.setup.frame import Visit
from gatelodge.web import moments, pages
from gatelodge.web.errors import BadRequest
from gatelodge.words import LANGUAGES, _

A_YEAR = 31_536_000


async def show(visit: Visit) -> Response:
    """What one chose."""
    was_saved = visit.request.scope["query_string"] == b"saved=1"
    return visit.page(
        "personal/preferences.html",
        title=_("Language & Time Zone"),
        user=visit.session.user,
        languages=LANGUAGES,
        zones=moments.zones(),
        was_saved=was_saved,
    )


async def change(visit: Visit) -> Response:
    """Keep language, time zone and colours."""
    language, zone, theme = visit.field("language"), visit.field("time_zone"), visit.field("theme")
    if language and language not in LANGUAGES:
        raise BadRequest(
            _("the language {language!r:.40} is not one of: {languages}").format(
                language=language, languages=", ".join(LANGUAGES)
            )
        )
    if zone not in moments.zones():
        raise BadRequest(_("the time zone {zone!r:.60} is not known; choose one of the list").format(zone=zone))
    if theme and theme not in pages.THEMES:
        raise BadRequest(
            _("the theme {theme!r:.40} is not one of: {themes}").format(theme=theme, themes=", ".join(pages.THEMES))
        )
    has_shortcuts = visit.field("shortcuts") == "on"
    await _keep(visit, language=language, zone=zone, theme=theme, has_shortcuts=has_shortcuts)
    return _remembered(visit, visit.go("/setup/preferences?saved=1"), theme)


async def change_theme(visit: Visit) -> Response:
    """Keep the colour scheme alone, and go back to the page."""
    theme = visit.field("theme") if visit.field("theme") in pages.THEMES else ""
    user = visit.session.user
    await _keep(visit, language=user.language, zone=user.time_zone, theme=theme, has_shortcuts=user.has_shortcuts)
    here = visit.field("next").removeprefix(visit.org.path)
    return _remembered(visit, visit.go(here if here.startswith("/setup") and "\\" not in here else "/setup"), theme)


async def _keep(visit: Visit, *, language: str, zone: str, theme: str, has_shortcuts: bool) -> None:
    chosen = {"language": language, "theme": theme, "time_zone": zone, "has_shortcuts": has_shortcuts}
    await visit.site.store.run(preferred, visit.session.user, chosen, visit.site.clock.now_ms())


def preferred(before: User, chosen: dict[str, Any], now_ms: int) -> Operation[None]:
    """Keep what the person chose, and write down what that changed."""
    yield from users.prefer(before.org_id, before.id, **chosen)
    if said := audit.changes({name: getattr(before, name) for name in chosen}, chosen):
        yield from audit.record(before.org_id, now_ms, before.id, "user:preferences:change", before.id, said)


def _remembered(visit: Visit, response: Response, theme: str) -> Response:
    """This browser shows its sign-in page in these colours too."""
    if theme:
        secure = visit.site.config.public_url.startswith("https:")
        response.set_cookie(
            pages.THEME_COOKIE, theme, max_age=A_YEAR, path="/", secure=secure, httponly=True, samesite="lax"
        )
    else:
        response.delete_cookie(pages.THEME_COOKIE)
    return response
