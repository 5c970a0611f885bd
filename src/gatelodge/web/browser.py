"""A browser and who is signed in there: cookies, sessions, and the token that every form carries.

Orgs by path share one browser origin, so a same-origin check can't tell them apart: each cookie's name carries its
org, its row holds the org, and each form's token is bound to both.
"""

import contextlib

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from gatelodge import words
from gatelodge.core import audit, secrets, sessions
from gatelodge.core.apps.policies import STANDARD
from gatelodge.core.errors import Unavailable
from gatelodge.core.ids import SESSION as SESSION_ID
from gatelodge.core.operation import Operation
from gatelodge.core.orgs import Org
from gatelodge.core.sessions import Session
from gatelodge.web import devices
from gatelodge.web.addresses import client_address
from gatelodge.web.cookies import cookie, set_cookie
from gatelodge.web.errors import BadRequest
from gatelodge.web.site import Site
from gatelodge.words import _

SESSION = "gl"
BROWSER = "gl-browser"
TOKEN_FIELD = "form_token"
LONGEST_AGENT = 255
SUCCESS, FAILURE = "sign_in:user:success", "sign_in:user:failure"
SEEN_EVERY = 60
"""Seconds between two notes that a session is awake."""


class SignedIn(msgspec.Struct, frozen=True, kw_only=True):
    """Who proved who they are, how (RFC 8176: pwd, otp, hwk), and the session level which that is worth.

    ``verified_at`` None: just now; another provider may have asked the person earlier, or (0) not have said when.
    ``provider_id`` is the identity provider that vouched for them, "" for none.
    """

    user_id: str
    level: str = STANDARD
    methods: tuple[str, ...] = ("pwd",)
    verified_at: int | None = None
    provider_id: str = ""


async def session_of(site: Site, org: Org, request: Request) -> Session | None:
    """The signed-in person of this browser at this org; from now on this request is answered in their language."""
    value = cookie(site, org, request, SESSION)
    if not value:
        return None
    now = site.clock.now()
    session = await site.store.read(sessions.find, org.id, secrets.digest(value), sessions.terms_of(org), now)
    if session is not None:
        words.speak(session.user.language, session.user.time_zone)
    if session is not None and now - session.seen_at >= SEEN_EVERY and site.noted.is_due(f"session {session.id}", now):
        with contextlib.suppress(Unavailable):  # a page that can be read is not refused for a note
            await site.store.run(sessions.see, org.id, session.digest, now)
    return session


async def sign_in(
    site: Site, org: Org, request: Request, response: Response, signed_in: SignedIn, *, to: str = ""
) -> None:
    """Begin a session with a value of its own; the one that the browser had before is ended, so that nobody who knows
    its value stays signed in (session fixation). ``to``: the id of the app that the person signs in for, "" for Setup.
    """
    value, before = secrets.new_token(), cookie(site, org, request, SESSION)
    if before:
        _user_id = await site.store.run(sessions.end, org.id, secrets.digest(before))
    now = site.clock.now()
    begun = sessions.Row(
        digest=secrets.digest(value),
        id=secrets.new_id(SESSION_ID),
        org_id=org.id,
        user_id=signed_in.user_id,
        level=signed_in.level,
        methods=" ".join(signed_in.methods),
        address=client_address(request, site.config),
        agent=request.headers.get("user-agent", "")[:LONGEST_AGENT],
        signed_in_at=now,
        verified_at=now if signed_in.verified_at is None else min(now, signed_in.verified_at),
        seen_at=now,
        provider_id=signed_in.provider_id,
    )
    await site.store.run(_begin, begun, sessions.terms_of(org), now, to)
    set_cookie(site, org, response, SESSION, value)
    devices.remember(site, org, request, response, signed_in.user_id)


def _begin(begun: sessions.Row, terms: sessions.Terms, now: int, to: str) -> Operation[None]:
    yield from sessions.begin(begun, terms, now)
    said: dict[str, object] = {
        "address": begun.address,
        "methods": begun.methods,
        "level": begun.level,
        "app": to,
        "agent": begun.agent,
    }
    yield from audit.record(begun.org_id, now * 1000, begun.user_id, SUCCESS, begun.user_id, said)


async def note_failure(site: Site, org: Org, request: Request, user_id: str, why: str) -> None:
    """Write down that a sign-in failed. ``user_id`` "": no user has the name, which isn't kept, since people type
    passwords into the wrong field.
    """
    said: dict[str, object] = {
        "address": client_address(request, site.config),
        "why": why,
        "agent": request.headers.get("user-agent", "")[:LONGEST_AGENT],
    }
    await site.store.run(audit.record, org.id, site.clock.now_ms(), user_id, FAILURE, user_id, said)


async def renew(
    site: Site, org: Org, response: Response, session: Session, *, level: str, methods: tuple[str, ...]
) -> bool:
    """The person proved more of who they are: the session goes on under a new value. False: it ended meanwhile."""
    value = secrets.new_token()
    was_renewed = await site.store.run(
        sessions.renew,
        org.id,
        session.digest,
        digest=secrets.digest(value),
        level=level,
        methods=tuple(dict.fromkeys((*session.methods, *methods))),
        terms=sessions.terms_of(org),
        now=site.clock.now(),
    )
    if was_renewed:
        set_cookie(site, org, response, SESSION, value)
    return was_renewed


async def sign_out(site: Site, org: Org, request: Request, response: Response) -> None:
    """End the browser's session here."""
    value = cookie(site, org, request, SESSION)
    if value:
        await site.store.run(sessions.sign_out, org.id, secrets.digest(value), site.clock.now_ms())
    set_cookie(site, org, response, SESSION, "", 0)


def browser_of(site: Site, org: Org, request: Request) -> str:
    """The value that ties forms and waiting requests to this browser; it outlives sign-in. "" before the first page."""
    return cookie(site, org, request, BROWSER)


def tie_of(site: Site, org: Org, request: Request) -> str:
    """The same; at the first page, the value that this answer will set."""
    known = browser_of(site, org, request)
    if not known and not hasattr(request.state, "fresh_tie"):
        request.state.fresh_tie = secrets.new_token()
    return known or request.state.fresh_tie


def form_token(site: Site, org: Org, request: Request, browser: str) -> str:
    """What a form of this org carries: nobody without this browser's cookies can make one. It is bound to the session's
    cookie, so that a form shown to one user is refused after another signs in, whatever kind of page it stands on.
    """
    token = site.ring.mac("form", org.id, browser, cookie(site, org, request, SESSION))
    assert token is not None  # the current key is on the ring
    return token


def check_form(site: Site, org: Org, request: Request, fields: dict[str, str]) -> None:
    """Refuse a form that another site, another org or another browser made. Raises ``BadRequest`` (403)."""
    origin = request.headers.get("origin")
    here = org.issuer[: len(org.issuer) - len(org.path)]
    if origin is not None and origin != here:
        raise BadRequest(
            _("this form was sent from {origin!r:.100}; open it at {here} and send it from there").format(
                origin=origin, here=here
            ),
            403,
        )
    browser = browser_of(site, org, request)
    expected = form_token(site, org, request, browser)
    if not browser or not secrets.are_equal(fields.get(TOKEN_FIELD, ""), expected):
        raise BadRequest(
            _("this form was made for another browser, another sign-in or another org: reload the page"), 403
        )
