"""Consumer Key and Secret: the key is always in sight; what concerns the secret only for who verified who they are."""

from typing import Any

import msgspec
from starlette.responses import Response

from gatelodge.core import credentials, rotation, secrets
from gatelodge.core.apps import settings
from gatelodge.core.apps.registry import ExternalClientApp
from gatelodge.core.credentials import STAGED_FOR, Credential
from gatelodge.core.errors import Refused
from gatelodge.core.permissions import MANAGE_APPS
from gatelodge.core.sessions import VERIFIED_FOR
from gatelodge.setup.frame import LABELS, Visit
from gatelodge.web.errors import BadRequest
from gatelodge.words import _


class Fresh(msgspec.Struct, frozen=True):
    """A pair that was made just now: this page shows it, and no other ever does."""

    client_id: str
    secret: str
    is_staged: bool

    def __repr__(self) -> str:
        return f"Fresh({self.client_id})"


async def show(visit: Visit, app: ExternalClientApp) -> Response:
    """The page as anybody finds it who comes back: without a secret's text."""
    return await _page(visit, app)


async def change(visit: Visit, app: ExternalClientApp) -> Response:
    """Make the first secret, or stage, apply or discard a pair. The new secret is in this answer alone."""
    try:
        match visit.field("act"):
            case "make":
                return await _page(visit, app, fresh=await _make(visit, app))
            case "stage":
                return await _page(visit, app, fresh=await _stage(visit, app))
            case "apply":
                _check_name(visit, app)
                await visit.site.store.run(rotation.apply_staged, app, **_by(visit))
            case "discard":
                _check_name(visit, app)
                await visit.site.store.run(rotation.discard_staged, app, **_by(visit))
            case other:
                raise BadRequest(_("{other!r:.40} can't be done with a consumer secret").format(other=other))
    except Refused as refused:
        return await _page(visit, app, errors={refused.field or "secret": refused.message})
    return visit.go(f"/setup/apps/{app.id}/credentials")


async def _make(visit: Visit, app: ExternalClientApp) -> Fresh:
    if not settings.may_hold_a_secret(app.settings):
        raise Refused(
            _(
                "This app is a public client: no option of its Settings demands a secret or has a use for"
                " one, so none was made."
            )
        )
    made = secrets.new_consumer_secret()
    await visit.site.store.run(rotation.make_secret, app, secrets.digest(made), **_by(visit))
    return Fresh(app.consumer_key, made, is_staged=False)


async def _stage(visit: Visit, app: ExternalClientApp) -> Fresh:
    now, made = visit.site.clock.now(), secrets.new_consumer_secret()
    pairs = await visit.site.store.read(credentials.of_app, visit.org.id, app.id, now)
    if not any(pair.secret_digest for pair in pairs):
        raise Refused(_("This app has no secret yet, so there is no pair to replace. Make its first secret."))
    staged = Credential(
        client_id=secrets.new_consumer_key(),
        org_id=visit.org.id,
        app_id=app.id,
        secret_digest=secrets.digest(made),
        made_by=visit.session.user.username,
        made_at=now,
        expires_at=now + STAGED_FOR,
    )
    await visit.site.store.run(rotation.stage, app, staged, **_by(visit))
    return Fresh(staged.client_id, made, is_staged=True)


def _check_name(visit: Visit, app: ExternalClientApp) -> None:
    """What stops a pair from working asks for the app's name first."""
    typed, name = visit.field("confirm").strip(), app.settings.api_name
    if not typed:
        raise Refused(_("Type the API Name of this app, {name}. Nothing was changed.").format(name=name), "confirm")
    if typed != name:
        said = _("{typed!r:.80} is not the API Name of this app, {name}. Nothing was changed.")
        raise Refused(said.format(typed=typed, name=name), "confirm")


def _by(visit: Visit) -> dict[str, Any]:
    return {"actor": visit.session.user.id, "now_ms": visit.site.clock.now_ms()}


async def _page(
    visit: Visit, app: ExternalClientApp, *, fresh: Fresh | None = None, errors: dict[str, str] | None = None
) -> Response:
    now = visit.site.clock.now()
    pairs = await visit.site.store.read(credentials.of_app, visit.org.id, app.id, now)
    return visit.page(
        "credentials.html",
        title=_("Consumer Key and Secret"),
        status=422 if errors else 200,
        app=app,
        fresh=fresh,
        errors=errors or {},
        typed=visit.field("confirm"),
        can_edit=visit.access.may(MANAGE_APPS),
        needed=LABELS[MANAGE_APPS],
        is_verified=visit.session.is_verified(now),
        verified_until=visit.session.verified_at + VERIFIED_FOR,
        demands=settings.demanding_a_secret(app.settings),
        may_hold=settings.may_hold_a_secret(app.settings),
        has_keys=bool(app.settings.public_keys),
        has_secret=any(pair.secret_digest for pair in pairs if pair.expires_at is None),
        staged=next((pair for pair in pairs if pair.expires_at is not None), None),
        pairs=[_row(pair) for pair in pairs],
    )


def _row(pair: Credential) -> dict[str, object]:
    return {
        "client_id": pair.client_id,
        "has_secret": bool(pair.secret_digest),
        "made": pair.made_at,
        "made_by": pair.made_by,
        "used": pair.last_used_at,
        "until": pair.expires_at,
    }
