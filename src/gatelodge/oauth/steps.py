"""What the user still owes before a code may be issued: one dispatcher, asked again after every page."""

from urllib.parse import urlencode

import msgspec

from gatelodge.core.apps import admission, callbacks
from gatelodge.core.apps.admission import NotAdmitted
from gatelodge.core.apps.policies import APPROVED, HIGH
from gatelodge.core.authorizations import Authorization
from gatelodge.core.orgs import Org
from gatelodge.core.permissions import USE_MCP_SERVERS, Access
from gatelodge.core.propagation import LiveClient
from gatelodge.core.scopes import MCP_API
from gatelodge.core.sessions import Session
from gatelodge.oauth.errors import OAuthError
from gatelodge.oauth.requests import Asked
from gatelodge.words import Reason, reason

ACCESS_DENIED = "OAUTH_APP_ACCESS_DENIED"
"""The original's word, by which the web knows the failure."""
CODES = {"invalid_app_access": ACCESS_DENIED}


class SignIn(msgspec.Struct, frozen=True):
    """Nobody is signed in, or not recently enough."""


class StepUp(msgspec.Struct, frozen=True):
    """The app's policies ask for a second factor from here, and this session has none."""

    why: str


class AskConsent(msgspec.Struct, frozen=True):
    """The user must answer. ``is_new``: something is asked for that was never agreed to; else only "Continue to ..."."""

    is_new: bool


class Refuse(msgspec.Struct, frozen=True):
    """This user may not use what is asked for, whatever they answer: why, what helps, and the original's code."""

    why: Reason
    fix: Reason
    code: str = ACCESS_DENIED

    @property
    def told(self) -> OAuthError:
        """The same to the client."""
        return OAuthError("access_denied", f"{self.code}: {self.why}")


class Issue(msgspec.Struct, frozen=True):
    """The user owes no answer. ``is_agreed``: they said yes before; else an administrator did for them."""

    is_agreed: bool = True


Step = SignIn | StepUp | AskConsent | Refuse | Issue


class Arrival(msgspec.Struct, frozen=True):
    """When a request came (epoch seconds), and with which session in its browser (its digest, "" for none)."""

    at: int
    session: str


class Visitor(msgspec.Struct, frozen=True, kw_only=True):
    """Who is signed in, what their permission sets allow, and the address of their browser."""

    session: Session
    access: Access
    address: str


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


def turned_back(org: Org, client: LiveClient, scopes: tuple[str, ...], visitor: Visitor) -> StepUp | Refuse | None:
    """Why the app's Policies or the user's permissions stop this visitor here; None: nothing does."""
    level = visitor.session.level
    found = (
        admission.check_rules(org.app_rules, client.settings, client.policies)
        or admission.check_user(client.policies, visitor.access)
        or admission.check_address(client.policies, org.trusted_ranges, visitor.address, level=level)
        or admission.check_level(client.policies, level)
    )
    if found and found.can_step_up and level != HIGH:
        return StepUp(found.why)
    if found:
        return _refusal(found)
    if MCP_API in scopes and not visitor.access.may(USE_MCP_SERVERS):
        who = visitor.session.user.username
        why = reason("{username} has no permission set that allows MCP servers", username=who)
        fix = reason("Ask an administrator of {org} for a permission set that allows MCP servers.", org=org.label)
        return Refuse(why, fix, "mcp_not_permitted")
    return None


def _refusal(found: NotAdmitted) -> Refuse:
    fixes = {
        "invalid_app_access": reason(
            "Ask an administrator to assign you one of them, or to change the app's Permitted Users."
        ),
        "app_blocked": reason(
            "Ask an administrator about External Client App Settings, which hold for every app of the org."
        ),
        "ip_restricted": reason(
            "Connect from a trusted network, or ask an administrator about the app's IP Relaxation."
        ),
    }
    fix = fixes.get(found.code, reason("Ask an administrator about the app's session security level."))
    return Refuse(found.told, fix, CODES.get(found.code, found.code))


def next_step(asked: Asked, visitor: Visitor | None, authorization: Authorization | None, came: Arrival) -> Step:
    """The next page of this request for this browser."""
    request = asked.request
    if visitor is None or must_sign_in(asked, visitor.session, came):
        return SignIn()
    if stopped := turned_back(asked.org, asked.client, asked.scopes, visitor):
        return stopped
    is_agreed = authorization is not None and authorization.covers(asked.scopes, asked.resource)
    covered = is_agreed or asked.client.policies.permitted_users == APPROVED
    # select_account: the page names who is signed in and offers to sign in as someone else.
    if not covered or not {"consent", "select_account"}.isdisjoint(request.prompt):
        return AskConsent(is_new=not is_agreed)
    if not callbacks.has_assured_identity(asked.redirect_uri):
        return AskConsent(is_new=False)  # RFC 8252 §8.6: another program can listen where this client does
    return Issue(is_agreed)


def second_factor(org: Org, then: str) -> str:
    """Where a signed-in person proves a second factor and comes back; ``then`` is a path under the org's URL."""
    return f"{org.issuer}/login/factor?{urlencode({'next': then})}"


def refusal_without_pages(step: Step) -> OAuthError | None:
    """What a client that forbids pages is told (OpenID Core §3.1.2.6, ``prompt=none``)."""
    match step:
        case SignIn():
            return OAuthError("login_required", "nobody is signed in to this org in this browser")
        case StepUp(why):
            return OAuthError("interaction_required", f"the user must prove a second factor: {why}")
        case AskConsent(is_new=True):
            return OAuthError("consent_required", "the user has not yet agreed to what is asked for")
        case AskConsent():
            return OAuthError("interaction_required", "the user must confirm a client that listens on this computer")
        case Refuse():
            return step.told
        case Issue():
            return None
