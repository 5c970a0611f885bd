"""One's sessions: the browsers that are signed in, and ending them."""

import re

from starlette.responses import Response

from gatelodge.core import audit, sessions
from gatelodge.core.apps.policies import HIGH
from gatelodge.core.operation import Operation
from gatelodge.core.sessions import Session
from gatelodge.setup.frame import Visit
from gatelodge.web import moments
from gatelodge.web.errors import BadRequest
from gatelodge.words import _

BROWSERS = (("Edg", "Edge"), ("OPR", "Opera"), ("Firefox", "Firefox"), ("Chrom", "Chrome"), ("Safari", "Safari"))
SYSTEMS = (
    ("iPhone", "iPhone"), ("iPad", "iPad"), ("Android", "Android"), ("Windows", "Windows"), ("Mac OS", "macOS"),
    ("CrOS", "ChromeOS"), ("Linux", "Linux"),
)  # fmt: skip


async def show(visit: Visit) -> Response:
    """Where one is signed in."""
    terms, now = sessions.terms_of(visit.org), visit.site.clock.now()
    found = await visit.site.store.read(sessions.of_user, visit.org.id, visit.session.user, terms, now)
    return visit.page(
        "personal/sessions.html",
        title=_("My Sessions"),
        rows=[row_of(each, visit.session.id) for each in found],
        preferences=visit.org.preferences,
    )


async def change(visit: Visit) -> Response:
    """End one, or all but this one."""
    org_id, user_id, now_ms = visit.org.id, visit.session.user.id, visit.site.clock.now_ms()
    match visit.field("act"):
        case "end":
            if not await visit.site.store.run(end_one, org_id, user_id, visit.field("id"), now_ms):
                raise BadRequest(_("you have no such session; it may have ended already"), 404)
        case "end-others":
            await visit.site.store.run(end_others, org_id, user_id, visit.session.digest, now_ms)
        case other:
            raise BadRequest(_("{other!r:.40} can't be done with sessions").format(other=other))
    return visit.go("/setup/sessions")


def end_one(org_id: str, user_id: str, session_id: str, now_ms: int) -> Operation[bool]:
    """End one session of this user, and write it down. False: there is none."""
    ended = sessions.end_one(org_id, user_id, session_id)
    return (yield from audit.beside(ended, org_id, now_ms, user_id, "user:session:end", user_id, session=session_id))


def end_others(org_id: str, user_id: str, own: str, now_ms: int) -> Operation[None]:
    """End all sessions of this user but the one with the digest ``own``, and write it down."""
    ended = sessions.end_all(org_id, user_id, but=own)
    yield from audit.beside(ended, org_id, now_ms, user_id, "user:session:end", user_id, session="all others")


def row_of(each: Session, own: str) -> dict[str, object]:
    """A session as a list shows it; ``own`` is the id of the one that asks."""
    return {
        "id": each.id,
        "is_own": each.id == own,
        "browser": browser_in_words(each.agent),
        "address": each.address,
        "since": moments.in_full(each.signed_in_at),
        "since_at": each.signed_in_at,
        "seen": moments.in_full(each.seen_at),
        "seen_at": each.seen_at,
        "is_high": each.level == HIGH,
    }


def browser_in_words(agent: str) -> str:
    """What a User-Agent tells people: Firefox on Linux."""
    name = next((word for mark, word in BROWSERS if mark in agent), "")
    system = next((word for mark, word in SYSTEMS if mark in agent), "")
    if name:
        return _("{name} on {system}").format(name=name, system=system) if system else name
    return re.sub(r"[^ -~]", "", agent)[:60] or _("Unknown browser")
