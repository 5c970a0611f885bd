"""Passkeys at the border: what the browser is asked, and whether its answer proves anything (Web Authentication level 3).

The challenge is a ticket: bound to the browser and the kind of question, good once and for minutes. Relying party and
origin come from configuration alone.
"""

import ipaddress
from urllib.parse import urlsplit

import msgspec
from starlette.requests import Request

from gatelodge.core import audit, passkeys, secrets
from gatelodge.core.ids import PASSKEY
from gatelodge.core.orgs import Org
from gatelodge.core.passkeys import Passkey
from gatelodge.core.users import User
from gatelodge.web import tickets
from gatelodge.web.site import Site
from gatelodge.words import _, mark

SIGN_IN, FACTOR, REGISTER = "passkey-sign-in", "passkey-factor", "passkey-register"
LONGEST_ANSWER = 16 * 1024
MILLISECONDS = tickets.LIFETIME * 1000
UNREADABLE = mark("The browser's answer could not be read. Reload the page and try again.")
OLD = mark("This page is older than five minutes, or its answer was sent before. Try again.")
UNKNOWN = mark("This passkey is not registered in this org.")


class Proved(msgspec.Struct, frozen=True, kw_only=True):
    """A passkey signed our challenge: whose it is, and whether the device made sure of the person (PIN, biometrics)."""

    user_id: str
    is_user_verified: bool


class Registered(msgspec.Struct, frozen=True, kw_only=True):
    """A fresh key pair's public half."""

    credential_id: str
    public_key: bytes
    sign_count: int


class NotProved(Exception):
    """The answer proves nothing; the message is for the person."""


def is_possible(org: Org) -> bool:
    """Whether browsers offer passkeys here: a relying party is a domain, and an address is none."""
    try:
        ipaddress.ip_address(_rp_id(org))
    except ValueError:
        return True
    return False


def questions(site: Site, org: Org, request: Request, *, kind: str, user_id: str, known: list[Passkey]) -> str:
    """The options of ``navigator.credentials.get`` as JSON. Without known keys the browser offers those it keeps for
    us, and verifying the person is required, since then the passkey is all that is asked for.
    """
    import webauthn  # noqa: PLC0415 - after readiness alone
    from webauthn.helpers.structs import PublicKeyCredentialDescriptor, UserVerificationRequirement  # noqa: PLC0415

    wanted = UserVerificationRequirement.REQUIRED if kind == SIGN_IN else UserVerificationRequirement.PREFERRED
    options = webauthn.generate_authentication_options(
        rp_id=_rp_id(org),
        challenge=tickets.issue(site, org, request, kind, user_id).encode(),
        timeout=MILLISECONDS,
        allow_credentials=[
            PublicKeyCredentialDescriptor(id=webauthn.base64url_to_bytes(each.credential_id)) for each in known
        ],
        user_verification=wanted,
    )
    return webauthn.options_to_json(options)


def invitation(site: Site, org: Org, request: Request, user: User, known: list[Passkey]) -> str:
    """The options of ``navigator.credentials.create`` as JSON."""
    import webauthn  # noqa: PLC0415
    from webauthn.helpers import structs  # noqa: PLC0415

    options = webauthn.generate_registration_options(
        rp_id=_rp_id(org),
        rp_name=f"{org.label} (Gatelodge)",
        user_id=user.id.encode(),
        user_name=user.username,
        user_display_name=user.name or user.username,
        challenge=tickets.issue(site, org, request, REGISTER, user.id).encode(),
        timeout=MILLISECONDS,
        authenticator_selection=structs.AuthenticatorSelectionCriteria(
            resident_key=structs.ResidentKeyRequirement.PREFERRED,
            user_verification=structs.UserVerificationRequirement.PREFERRED,
        ),
        exclude_credentials=[
            structs.PublicKeyCredentialDescriptor(id=webauthn.base64url_to_bytes(each.credential_id)) for each in known
        ],
    )
    return webauthn.options_to_json(options)


async def check(site: Site, org: Org, request: Request, answer: str, *, kind: str, user_id: str) -> Proved:
    """Who answered a question of this kind; ``user_id`` "" when anybody may. Raises ``NotProved``."""
    import webauthn  # noqa: PLC0415
    from webauthn.helpers.exceptions import WebAuthnException  # noqa: PLC0415

    challenge = await _challenge(site, org, request, answer, kind=kind, user_id=user_id)
    found = await site.store.read(passkeys.find, org.id, _member(answer, "id"))
    if found is None or (user_id and found.user_id != user_id):
        raise NotProved(_(UNKNOWN))
    try:
        proved = webauthn.verify_authentication_response(
            credential=answer,
            expected_challenge=challenge,
            expected_rp_id=_rp_id(org),
            expected_origin=_origin(org),
            credential_public_key=found.public_key,
            credential_current_sign_count=0,  # the row decides, by one UPDATE
            require_user_verification=kind == SIGN_IN,
        )
    except (WebAuthnException, ValueError):
        raise NotProved(_("The passkey's signature is not right for this page.")) from None
    if _handle(answer) not in ("", found.user_id):
        raise NotProved(_(UNKNOWN))
    now = site.clock.now()
    if not await site.store.run(passkeys.use, org.id, found.id, proved.new_sign_count, now):
        details: dict[str, object] = {"count": proved.new_sign_count, "known": found.sign_count}
        await site.store.run(
            audit.record, org.id, now * 1000, found.user_id, "sign_in:passkey:copied", found.id, details
        )
        raise NotProved(_("This passkey's counter went backwards, as a copy's would. Use another way, and replace it."))
    return Proved(user_id=found.user_id, is_user_verified=proved.user_verified)


async def register(site: Site, org: Org, request: Request, answer: str, *, user: User, label: str) -> Passkey:
    """The fresh key of a user, ready to be kept. Raises ``NotProved``."""
    import webauthn  # noqa: PLC0415
    from webauthn.helpers.exceptions import WebAuthnException  # noqa: PLC0415

    challenge = await _challenge(site, org, request, answer, kind=REGISTER, user_id=user.id)
    try:
        made = webauthn.verify_registration_response(
            credential=answer,
            expected_challenge=challenge,
            expected_rp_id=_rp_id(org),
            expected_origin=_origin(org),
        )
    except (WebAuthnException, ValueError):
        raise NotProved(_("The browser's passkey is not right for this page.")) from None
    return Passkey(
        id=secrets.new_id(PASSKEY),
        org_id=org.id,
        user_id=user.id,
        credential_id=secrets.base64url(made.credential_id),
        public_key=made.credential_public_key,
        sign_count=made.sign_count,
        label=label,
        created_at=site.clock.now(),
    )


async def _challenge(site: Site, org: Org, request: Request, answer: str, *, kind: str, user_id: str) -> bytes:
    """The challenge that the answer signs, used up now: it must be a ticket of ours for this browser, kind and user."""
    from webauthn import base64url_to_bytes  # noqa: PLC0415

    try:
        client_data = msgspec.json.decode(base64url_to_bytes(_member(answer, "response", "clientDataJSON")))
        challenge = base64url_to_bytes(client_data["challenge"])
        ticket = challenge.decode("ascii")
    except (msgspec.MsgspecError, ValueError, TypeError, KeyError):
        raise NotProved(_(UNREADABLE)) from None
    content = await tickets.use(site, org, request, kind, ticket)
    if content != (user_id,):
        raise NotProved(_(OLD))
    return challenge


def _handle(answer: str) -> str:
    """The user whom the authenticator keeps the key for; security keys of the old kind say none."""
    from webauthn import base64url_to_bytes  # noqa: PLC0415

    try:
        return base64url_to_bytes(_member(answer, "response", "userHandle")).decode()
    except ValueError:
        raise NotProved(_(UNREADABLE)) from None


def _member(answer: str, *path: str) -> str:
    """A text member of the answer, "" when it is absent. Raises ``NotProved`` for what is no answer, and for NUL, which
    no member has and no database here takes.
    """
    if len(answer) > LONGEST_ANSWER:
        raise NotProved(_(UNREADABLE))
    try:
        found = msgspec.json.decode(answer)
    except (msgspec.MsgspecError, RecursionError):
        raise NotProved(_(UNREADABLE)) from None
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    text = found if isinstance(found, str) else ""
    if "\x00" in text:
        raise NotProved(_(UNREADABLE))
    return text


def _rp_id(org: Org) -> str:
    return urlsplit(org.issuer).hostname or ""


def _origin(org: Org) -> str:
    parts = urlsplit(org.issuer)
    return f"{parts.scheme}://{parts.netloc}"
