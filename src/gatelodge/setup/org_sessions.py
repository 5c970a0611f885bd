"""Sessions of the org: every browser that is signed in to it, and ending one, all of a user, or everybody's."""

from starlette.responses import Response

from gatelodge.core import sessions, users
from gatelodge.core.apps.policies import HIGH, STANDARD
from gatelodge.core.sessions import Wanted
from gatelodge.setup.frame import Visit
from gatelodge.setup.paging import A_PAGE, link, moment_of, query_of
from gatelodge.setup.people import ended_by_administrator
from gatelodge.setup.personal.sessions import browser_in_words
from gatelodge.web.errors import BadRequest
from gatelodge.words import _

PATH = "/setup/org-sessions"


async def show(visit: Visit) -> Response:
    """GET /setup/org-sessions: a page of them, the newest sign-in first."""
    query = query_of(visit)
    store, org_id, now = visit.site.store, visit.org.id, visit.site.clock.now()
    asked, level = query.get("q", ""), query.get("level", "")
    person = await store.read(users.find_by_username, org_id, asked) if asked else None
    found: list[sessions.Row] = []
    after = moment_of(query)
    if person is not None or not asked:
        wanted = Wanted(user_id=person.id if person else "", level=level if level in (HIGH, STANDARD) else "")
        terms = sessions.terms_of(visit.org)
        found = await store.read(sessions.of_org, org_id, wanted, terms, after=after, limit=A_PAGE + 1, now=now)
    shown = found[:A_PAGE]
    people = await store.read(users.by_id, org_id, tuple({each.user_id for each in shown}))
    base = f"{visit.org.path}{PATH}"
    place = {"after": str(shown[-1].signed_in_at), "after_id": shown[-1].id} if len(found) > A_PAGE else {}
    return visit.page(
        "org_sessions.html",
        title=_("Sessions"),
        rows=[
            {
                "session": each,
                "user": people.get(each.user_id),
                "browser": browser_in_words(each.agent),
                "is_high": each.level == HIGH,
                "is_own": each.id == visit.session.id,
            }
            for each in shown
        ],
        query=query,
        asked_user=person,
        is_narrowed=bool(asked or level),
        preferences=visit.org.preferences,
        next_page=link(base, query, **place) if place else "",
        first_page=link(base, query) if after else "",
    )


async def change(visit: Visit) -> Response:
    """End one, all of a user, or everybody's but one's own."""
    store, org_id, now, actor = visit.site.store, visit.org.id, visit.site.clock.now(), visit.session.user.id
    match visit.field("act"):
        case "end":
            if not await store.run(sessions.end_listed, org_id, visit.field("id"), actor=actor, now=now):
                raise BadRequest(_("this org has no such session; it may have ended already"), 404)
        case "end-of-user":
            if await store.read(users.find, org_id, visit.field("user")) is None:
                raise BadRequest(_("this org has no such user"), 404)
            await store.run(ended_by_administrator, org_id, visit.field("user"), actor=actor, now=now)
        case "end-all":
            while await store.run(sessions.end_everybodys, org_id, but=visit.session.digest, actor=actor, now=now):
                pass
        case other:
            raise BadRequest(_("{other!r:.40} can't be done with sessions").format(other=other))
    return visit.go(PATH)
