"""One's second factors: an authenticator app, passkeys, and the recovery codes for the day they are lost."""

from starlette.responses import Response

from gatelodge.core import passkeys, second_factors, sessions
from gatelodge.core.errors import Refused
from gatelodge.core.operation import Operation
from gatelodge.setup.frame import Visit
from gatelodge.web import factors
from gatelodge.web import passkeys as asking
from gatelodge.web.errors import BadRequest
from gatelodge.words import _

PATH = "/setup/second-factors"


async def show(visit: Visit) -> Response:
    """What one has."""
    return await _page(visit)


async def change(visit: Visit) -> Response:
    """Begin with an authenticator app, remove something, or make new recovery codes."""
    site, org_id, user_id, now = visit.site, visit.org.id, visit.session.user.id, visit.site.clock.now()
    match visit.field("act"):
        case "begin-totp":
            sealed = factors.seal(site, visit.org, user_id, factors.new_totp_secret())
            was_begun = await site.store.run(second_factors.begin_totp, org_id, user_id, sealed, now)
            return visit.go(f"{PATH}/totp" if was_begun else PATH)
        case "remove-totp":
            await site.store.run(second_factors.remove_totp, org_id, user_id, actor=user_id, now=now)
            return visit.go(PATH)
        case "remove-passkey":
            if not await site.store.run(second_factors.remove_passkey, org_id, user_id, visit.field("id"), now):
                raise BadRequest(_("you have no such passkey; it may have been removed already"), 404)
            return visit.go(PATH)
        case "make-codes":
            return await _with_new_codes(visit)
        case other:
            raise BadRequest(_("{other!r:.40} can't be done with second factors").format(other=other))


async def show_totp(visit: Visit) -> Response:
    """The QR code of a secret that is not confirmed yet."""
    secret = await _unconfirmed(visit)
    return visit.go(PATH) if secret is None else _totp_page(visit, secret, {})


async def confirm_totp(visit: Visit) -> Response:
    """A code of the app: from now on it counts. The first second factor brings recovery codes."""
    site, org, user_id = visit.site, visit.org, visit.session.user.id
    secret = await _unconfirmed(visit)
    if secret is None:
        return visit.go(PATH)
    now = site.clock.now()
    step = factors.step_of(secret, visit.field("code").replace(" ", ""), now)
    if step is None:
        error = _("This isn't the code that the app shows now. Check the clock of your phone, and type the newest one.")
        return _totp_page(visit, secret, {"code": error})
    codes = factors.new_recovery_codes()
    totp = await site.store.read(second_factors.find_totp, org.id, user_id)
    has_codes = await site.store.run(
        confirmed_with_codes,
        org.id,
        user_id,
        totp.sealed if totp else b"",
        step,
        [factors.recovery_digest(user_id, code) for code in codes],
        visit.session.digest,
        now,
    )
    return await _page(visit, codes=codes if has_codes else [])


def confirmed_with_codes(
    org_id: str, user_id: str, sealed: bytes, step: int, digests: list[str], session: str, now: int
) -> Operation[bool]:
    """The secret counts, and ends every session of the user but this one (its digest), which a password alone began;
    whether these recovery codes count too: only where there were none.
    """
    if not (yield from second_factors.confirm_totp(org_id, user_id, sealed, step, now)):
        return False
    yield from sessions.end_all(org_id, user_id, but=session)
    if (yield from second_factors.of_user(org_id, user_id)).recovery_codes:
        return False
    return (yield from second_factors.make_recovery_codes(org_id, user_id, digests, now))


async def show_passkey(visit: Visit) -> Response:
    """The page that makes a passkey."""
    return await _passkey_page(visit, {})


async def add_passkey(visit: Visit) -> Response:
    """Keep what the browser made."""
    site, org, user = visit.site, visit.org, visit.session.user
    label = " ".join(visit.field("label").split()) or "Passkey"
    if len(label) > passkeys.LONGEST_LABEL:
        error = _("The name has {n} characters; at most {most} are allowed.").format(
            n=len(label), most=passkeys.LONGEST_LABEL
        )
        return await _passkey_page(visit, {"label": error})
    try:
        made = await asking.register(site, org, visit.request, visit.field("passkey"), user=user, label=label)
        await site.store.run(added_alone, made, visit.session.digest)
    except asking.NotProved as refused:
        return await _passkey_page(visit, {"label": str(refused)})
    except Refused as refused:
        return await _passkey_page(visit, {refused.field: refused.message})
    known = await site.store.read(second_factors.of_user, org.id, user.id)
    return visit.go(PATH) if known.recovery_codes else await _with_new_codes(visit)


def added_alone(made: passkeys.Passkey, session: str) -> Operation[None]:
    """The passkey counts, and ends every session of its user but this one (its digest). Raises ``Refused``."""
    yield from passkeys.add(made)
    yield from sessions.end_all(made.org_id, made.user_id, but=session)


async def _with_new_codes(visit: Visit) -> Response:
    user_id, codes = visit.session.user.id, factors.new_recovery_codes()
    digests = [factors.recovery_digest(user_id, code) for code in codes]
    was_made = await visit.site.store.run(
        second_factors.make_recovery_codes, visit.org.id, user_id, digests, visit.site.clock.now()
    )
    return await _page(visit, codes=codes if was_made else [])


async def _unconfirmed(visit: Visit) -> str | None:
    user_id = visit.session.user.id
    totp = await visit.site.store.read(second_factors.find_totp, visit.org.id, user_id)
    if totp is None or totp.confirmed_at is not None:
        return None
    return factors.unseal(visit.site, visit.org, user_id, totp.sealed)


async def _page(visit: Visit, codes: list[str] | None = None) -> Response:
    store, org_id, user_id = visit.site.store, visit.org.id, visit.session.user.id
    keys = await store.read(passkeys.of_user, org_id, user_id)
    return visit.page(
        "personal/second_factors.html",
        title=_("Second Factors"),
        factors=await store.read(second_factors.of_user, org_id, user_id),
        keys=keys,
        has_passkeys_here=asking.is_possible(visit.org),
        codes=codes or [],
    )


def _totp_page(visit: Visit, secret: str, errors: dict[str, str]) -> Response:
    import segno  # noqa: PLC0415 - after readiness alone

    uri = factors.provisioning_uri(secret, visit.org, visit.session.user.username)
    drawn = segno.make(uri, error="m").svg_inline(scale=4, border=4, dark="#000", light="#fff", svgclass="qr")
    return visit.page(
        "personal/totp.html",
        title=_("Set Up an Authenticator App"),
        status=422 if errors else 200,
        errors=errors,
        qr=drawn,
        secret=" ".join(secret[at : at + 4] for at in range(0, len(secret), 4)),
    )


async def _passkey_page(visit: Visit, errors: dict[str, str]) -> Response:
    site, org, user = visit.site, visit.org, visit.session.user
    if not asking.is_possible(org):
        raise BadRequest(
            _("passkeys need a domain, and {issuer} is an address; use the name localhost or a domain").format(
                issuer=org.issuer
            )
        )
    keys = await site.store.read(passkeys.of_user, org.id, user.id)
    return visit.page(
        "personal/passkey.html",
        title=_("Add a Passkey"),
        status=422 if errors else 200,
        has_passkeys=True,
        errors=errors,
        label=visit.field("label"),
        passkey_options=asking.invitation(site, org, visit.request, user, keys),
    )
