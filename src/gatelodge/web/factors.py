"""The second factor of a person at a page: a code of the authenticator app, or a recovery code."""

import re

from starlette.requests import Request

from gatelodge.core import audit, second_factors, secrets, sign_in_failures
from gatelodge.core.orgs import Org
from gatelodge.core.second_factors import PURPOSE, SKEW, STEP
from gatelodge.web import browser, devices
from gatelodge.web.site import Site
from gatelodge.words import _, mark, ngettext

CODE = re.compile(r"[0-9]{6}")
RECOVERY_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"
"""32 of them, without those that people misread: 5 bits each."""
RECOVERY_LENGTH = 16


def new_totp_secret() -> str:
    """A fresh secret of 160 bits in base32, as authenticator apps take it (RFC 4226 §4)."""
    import base64  # noqa: PLC0415

    return base64.b32encode(secrets.random_bytes(20)).decode()


def seal(site: Site, org: Org, user_id: str, secret: str) -> bytes:
    """The secret as it is stored."""
    return site.ring.seal(PURPOSE, secret.encode(), second_factors.row_name(org.id, user_id))


def unseal(site: Site, org: Org, user_id: str, sealed: bytes) -> str:
    """The secret. Raises ``KeyMissing`` when the master key it needs is gone."""
    return site.ring.open(PURPOSE, sealed, second_factors.row_name(org.id, user_id)).decode()


def step_of(secret: str, code: str, now: int) -> int | None:
    """The time step, of the few that are taken, whose code this is."""
    from pyotp.totp import TOTP  # noqa: PLC0415 - after readiness alone

    if not CODE.fullmatch(code):
        return None
    totp = TOTP(secret, interval=STEP)
    steps = range(now // STEP - SKEW, now // STEP + SKEW + 1)
    return next((step for step in reversed(steps) if secrets.are_equal(totp.generate_otp(step), code)), None)


def provisioning_uri(secret: str, org: Org, username: str) -> str:
    """What the QR code says (Key Uri Format)."""
    from pyotp.totp import TOTP  # noqa: PLC0415

    return TOTP(secret, interval=STEP).provisioning_uri(name=username, issuer_name=f"{org.label} (Gatelodge)")


def new_recovery_codes() -> list[str]:
    """Ten codes of 80 bits, in four groups: enough chance for a plain digest."""
    made = []
    for _n in range(second_factors.RECOVERY_CODES):
        letters = "".join(RECOVERY_LETTERS[byte & 31] for byte in secrets.random_bytes(RECOVERY_LENGTH))
        made.append("-".join(letters[at : at + 4] for at in range(0, RECOVERY_LENGTH, 4)))
    return made


def recovery_digest(user_id: str, code: str) -> str:
    """How a recovery code is stored; case, blanks and hyphens do not matter."""
    return secrets.digest(f"{user_id} {re.sub(r'[^a-z0-9]', '', code.lower())}")


async def try_code(site: Site, org: Org, request: Request, user_id: str, code: str) -> str:
    """Why this code is not taken, as a sentence; "" when it was right, and is used up now. Guessing is slowed down."""
    budgets = devices.budgets(site, org, request, name=user_id, user_id=user_id, kind="factor")
    if wait := await site.store.run(sign_in_failures.begin, org.id, budgets, site.clock.now_ms()):
        return too_many(wait)
    if not await _is_right(site, org, user_id, code):
        await browser.note_failure(site, org, request, user_id, mark("wrong code of the second factor"))
        return _("This code isn't right, or it was used before. Type the one that is shown now.")
    await site.store.run(sign_in_failures.forgive, org.id, budgets)
    return ""


async def _is_right(site: Site, org: Org, user_id: str, code: str) -> bool:
    now, typed = site.clock.now(), code.replace(" ", "")
    if CODE.fullmatch(typed):
        totp = await site.store.read(second_factors.find_totp, org.id, user_id)
        if totp is None or totp.confirmed_at is None:
            return False
        step = step_of(unseal(site, org, user_id, totp.sealed), typed, now)
        return step is not None and await site.store.run(second_factors.use_step, org.id, user_id, step)
    was_used = await site.store.run(
        second_factors.use_recovery_code, org.id, user_id, recovery_digest(user_id, typed), now
    )
    if was_used:
        await site.store.run(audit.record, org.id, now * 1000, user_id, "sign_in:recovery_code:use", user_id, {})
    return was_used


def too_many(wait: int) -> str:
    """What somebody is told who must wait."""
    minutes, seconds = divmod(wait, 60)
    parts: list[str] = []
    if minutes:
        parts.append(ngettext("{n} minute", "{n} minutes", minutes).format(n=minutes))
    if seconds:
        parts.append(ngettext("{n} second", "{n} seconds", seconds).format(n=seconds))
    return _(
        "There were too many tries that weren't right. Wait {parts}, then try again. A browser that you"
        " signed in with before, a passkey, or a link from your administrator lets you in meanwhile."
    ).format(
        parts=_("{first} and {second}").format(first=parts[0], second=parts[1]) if len(parts) > 1 else "".join(parts)
    )
