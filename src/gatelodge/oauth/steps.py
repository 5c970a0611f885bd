"""What the user still owes before a code may be issued: one dispatcher, asked again after every page."""

import msgspec

from gatelodge.core.apps import callbacks
from gatelodge.core.authorizations import Authorization
from gatelodge.core.permissions import USE_MCP_SERVERS, Access
from gatelodge.core.scopes import MCP_API
from gatelodge.core.sessions import Session
from gatelodge.oauth.errors import OAuthError
from gatelodge.oauth.requests import Asked


class SignIn(msgspec.Struct, frozen=True):
    """Nobody is signed in, or not recently enough."""


class AskConsent(msgspec.Struct, frozen=True):
    """The user must answer. ``is_new``: something is asked for that was never agreed to; else only "Continue to ..."."""

    is_new: bool


class Refuse(msgspec.Struct, frozen=True):
    """This user may not use what is asked for, whatever they answer."""

    why: str


class Issue(msgspec.Struct, frozen=True):
    """The user owes no answer."""


Step = SignIn | AskConsent | Refuse | Issue


class Arrival(msgspec.Struct, frozen=True):
    """When a request came (epoch seconds), and with which session in its browser (its digest, "" for none)."""

    at: int
    session: str


def must_sign_in(asked: Asked, session: Session, came: Arrival) -> bool:
    """Whether the client wants a sign-in younger than this one (OpenID Core §3.1.2.1, ``prompt`` and ``max_age``).

    Measured at the request's arrival: who signs in for it is not asked again, however long they read the next page.
    """
    if session.digest != came.session and session.signed_in_at >= came.at:
        return False  # this very request had them sign in
    max_age = asked.request.max_age
    if "login" in asked.request.prompt or max_age == 0:  # two ways to say the same
        return True
    return max_age is not None and came.at - session.signed_in_at > max_age


def next_step(
    asked: Asked, session: Session | None, access: Access, authorization: Authorization | None, came: Arrival
) -> Step:
    """The next page of this request for this browser."""
    request = asked.request
    if session is None or must_sign_in(asked, session, came):
        return SignIn()
    if MCP_API in asked.scopes and not access.may(USE_MCP_SERVERS):
        return Refuse(f"{session.user.username} has no permission set that allows MCP servers")
    covered = authorization is not None and authorization.covers(asked.scopes, asked.resource)
    # select_account: the page names who is signed in and offers to sign in as someone else.
    if not covered or not {"consent", "select_account"}.isdisjoint(request.prompt):
        return AskConsent(is_new=not covered)
    if not callbacks.has_assured_identity(asked.redirect_uri):
        return AskConsent(is_new=False)  # RFC 8252 §8.6: another program can listen where this client does
    return Issue()


def refusal_without_pages(step: Step) -> OAuthError | None:
    """What a client that forbids pages is told (OpenID Core §3.1.2.6, ``prompt=none``)."""
    match step:
        case SignIn():
            return OAuthError("login_required", "nobody is signed in to this org in this browser")
        case AskConsent(is_new=True):
            return OAuthError("consent_required", "the user has not yet agreed to what is asked for")
        case AskConsent():
            return OAuthError("interaction_required", "the user must confirm a client that listens on this computer")
        case Refuse(why):
            return OAuthError("access_denied", f"OAUTH_APP_ACCESS_DENIED: {why}")
        case Issue():
            return None
