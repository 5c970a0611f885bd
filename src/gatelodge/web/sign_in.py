"""Signing in, as Setup's pages and the flow's pages both do: a password or a passkey, then the second factor.

A page posts what was typed; the answer is who signed in, or what to ask next. No session exists before the last step.
"""

import msgspec
from starlette.requests import Request

from gatelodge.core import second_factors, secrets, sign_in_failures, users
from gatelodge.core.apps.policies import HIGH, STANDARD
from gatelodge.core.errors import Unavailable
from gatelodge.core.orgs import Org
from gatelodge.web import browser, devices, factors, passkeys, tickets
from gatelodge.web.browser import SignedIn
from gatelodge.web.site import Site
from gatelodge.words import _, mark

LONGEST_PASSWORD = 1024
LONGEST_USERNAME = 256
FACTOR = "factor"
ANSWERS = ("username", "ticket", "passkey")
"""The fields of a sign-in page of which one comes with every answer."""
NOT_RIGHT = mark("The username or the password isn't right. Check both and try again.")
TOO_OLD = mark("This took longer than five minutes. Sign in again.")


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a name and a password. ``user_id`` None: nobody, and ``why`` says so for a person; after too many
    tries ``retry_after`` seconds must pass. Where ``has_second_factor`` is true, the password alone is not enough.
    """

    user_id: str | None = None
    why: str = ""
    retry_after: int = 0
    has_second_factor: bool = False


class AskPassword(msgspec.Struct, frozen=True, kw_only=True):
    """The next page: name and password, a passkey, or another provider."""

    username: str = ""
    error: str = ""
    retry_after: int = 0


class AskFactor(msgspec.Struct, frozen=True, kw_only=True):
    """The next page: the second factor of the person whom the ticket names."""

    ticket: str
    user_id: str
    error: str = ""


Asks = AskPassword | AskFactor


async def try_password(site: Site, org: Org, request: Request, username: str, password: str) -> Tried:
    """Who this is. An unknown name, a wrong password and a deactivated user take as long and get the same answer.

    Tries are counted before they are made. Raises ``Unavailable`` when too many sign-ins wait.
    """
    typed = username[:LONGEST_USERNAME]
    found = await site.store.read(users.find_credential, org.id, typed)
    name = secrets.digest(typed.lower())
    budgets = devices.budgets(site, org, request, name=name, user_id=found.user_id if found else None, kind="password")
    if wait := await site.store.run(sign_in_failures.begin, org.id, budgets, site.clock.now_ms()):
        return Tried(why=factors.too_many(wait), retry_after=wait)
    try:
        stored = found.password_hash if found and found.is_active else None
        is_right = await site.passwords.is_right(stored, password[:LONGEST_PASSWORD])
    except Unavailable:
        await site.store.run(sign_in_failures.take_back_all, org.id, budgets)
        raise
    if found is None or not is_right:
        tried = mark("wrong password") if found and found.is_active else mark("the user is inactive")
        why = tried if found else mark("unknown username")
        await browser.note_failure(site, org, request, found.user_id if found else "", why)
        return Tried(why=_(NOT_RIGHT))
    await site.store.run(sign_in_failures.forgive, org.id, budgets)
    known = await site.store.read(second_factors.of_user, org.id, found.user_id)
    return Tried(user_id=found.user_id, has_second_factor=known.any)


async def answer(site: Site, org: Org, request: Request, fields: dict[str, str]) -> SignedIn | Asks:
    """What a sign-in page posted: who signed in, or what to ask next."""
    if "ticket" in fields:
        return await _second_step(site, org, request, fields)
    if "passkey" in fields:
        return await _with_passkey(site, org, request, fields["passkey"])
    username = fields.get("username", "")
    tried = await try_password(site, org, request, username, fields.get("password", ""))
    if tried.user_id is None:
        return AskPassword(username=username, error=tried.why, retry_after=tried.retry_after)
    return await proved(site, org, request, tried.user_id, ("pwd",))


async def proved(
    site: Site, org: Org, request: Request, user_id: str, methods: tuple[str, ...], *, provider_id: str = ""
) -> SignedIn | Asks:
    """The first step is done: who has a second factor is asked for it, unless it was part of that step. ``provider_id``
    is the identity provider that vouched for the person, "" for none.
    """
    if "mfa" in methods:
        return SignedIn(user_id=user_id, level=HIGH, methods=methods, provider_id=provider_id)
    known = await site.store.read(second_factors.of_user, org.id, user_id)
    if known.any:
        ticket = tickets.issue(site, org, request, FACTOR, user_id, provider_id, *methods)
        return AskFactor(ticket=ticket, user_id=user_id)
    return SignedIn(user_id=user_id, level=STANDARD, methods=methods, provider_id=provider_id)


async def _with_passkey(site: Site, org: Org, request: Request, text: str) -> SignedIn | Asks:
    try:
        came = await passkeys.check(site, org, request, text, kind=passkeys.SIGN_IN, user_id="")
    except passkeys.NotProved as refused:
        return AskPassword(error=str(refused))
    user = await site.store.read(users.find, org.id, came.user_id)
    if user is None or not user.is_active:
        return AskPassword(error=_(passkeys.UNKNOWN))
    return SignedIn(user_id=came.user_id, level=HIGH, methods=("hwk", "mfa"))


async def _second_step(site: Site, org: Org, request: Request, fields: dict[str, str]) -> SignedIn | Asks:
    ticket = fields["ticket"]
    content = tickets.read(site, org, request, FACTOR, ticket)
    if content is None:
        return AskPassword(error=_(TOO_OLD))
    user_id, provider_id, *methods = content
    method, why = await try_factor(site, org, request, user_id, fields)
    if why:
        return AskFactor(ticket=ticket, user_id=user_id, error=why)
    user = await site.store.read(users.find, org.id, user_id)
    if await tickets.use(site, org, request, FACTOR, ticket) is None or user is None or not user.is_active:
        return AskPassword(error=_(TOO_OLD))
    whole = tuple(dict.fromkeys((*methods, method, "mfa")))
    return SignedIn(user_id=user_id, level=HIGH, methods=whole, provider_id=provider_id)


async def try_factor(site: Site, org: Org, request: Request, user_id: str, fields: dict[str, str]) -> tuple[str, str]:
    """The method (RFC 8176) of a second factor that was right, or why it was not, as a sentence."""
    if text := fields.get("passkey", ""):
        try:
            _ = await passkeys.check(site, org, request, text, kind=passkeys.FACTOR, user_id=user_id)
        except passkeys.NotProved as refused:
            return "", str(refused)
        return "hwk", ""
    return "otp", await factors.try_code(site, org, request, user_id, fields.get("code", "")[:64])
