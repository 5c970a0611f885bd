"""Org Settings: name, sessions, trusted IP ranges, refresh window, and the algorithm that the org's tokens are signed with."""

import asyncio
from typing import Any

import msgspec
from starlette.responses import Response

from gatelodge.core import audit, keys, org_options, orgs, tokens
from gatelodge.core.errors import Invalid, Refused
from gatelodge.core.keys import ALGORITHMS, PUBLISHED_BEFORE, SigningKey
from gatelodge.core.operation import Operation
from gatelodge.core.org_options import PREFERENCES, Preferences
from gatelodge.core.orgs import LONGEST_WINDOW, Org
from gatelodge.setup.frame import Visit
from gatelodge.web import forms, moments
from gatelodge.words import _

OWN = ("label", "refresh_window", "trusted_ranges", "signing_algorithm")
WRITTEN = (*OWN, "preferences", "app_rules")


async def show(visit: Visit) -> Response:
    """GET /setup/org."""
    org = await stored_org(visit)
    values = {
        "label": org.label,
        "refresh_window": str(org.refresh_window),
        "trusted_ranges": "\n".join(org.trusted_ranges),
        "signing_algorithm": org.signing_algorithm,
        **{name: str(value) for name, value in msgspec.structs.asdict(org.preferences).items()},
    }
    return await _page(visit, org, values, org.revision, {})


async def save(visit: Visit) -> Response:
    """POST /setup/org. Another algorithm publishes a fresh key, which signs once no cache can lack it."""
    before = await stored_org(visit)
    names = (*OWN, *(field.name for field in PREFERENCES))
    values = {name: visit.field(name) for name in names}
    revision = forms.number(visit.field("revision"), 0)
    changed = _typed(before, values, revision)
    errors: dict[str, str] = {}
    for check in (_checked, orgs.check):
        try:
            check(changed)
        except Invalid as invalid:
            errors |= invalid.errors
    if errors:
        return await _page(visit, before, values, revision, errors)
    try:
        fresh = await _fresh_key(visit, changed) if changed.signing_algorithm != before.signing_algorithm else None
        await visit.site.store.run(
            changed_by, before, changed, fresh, actor=visit.session.user.id, now_ms=visit.site.clock.now_ms()
        )
    except Refused as refused:
        return await _page(visit, before, values, revision, {refused.field: refused.message})
    return visit.go("/setup/org")


def _typed(before: Org, values: dict[str, str], revision: int) -> Org:
    return msgspec.structs.replace(
        before,
        label=values["label"].strip(),
        refresh_window=forms.number(values["refresh_window"], -1),
        trusted_ranges=tuple(dict.fromkeys(filter(None, map(str.strip, values["trusted_ranges"].splitlines())))),
        signing_algorithm=values["signing_algorithm"],
        preferences=Preferences(
            session_hours=forms.number(values["session_hours"], 0),
            idle_minutes=forms.number(values["idle_minutes"], 0),
            time_zone=values["time_zone"].strip(),
        ),
        revision=revision,
    )


def _checked(changed: Org) -> None:
    org_options.check(changed.preferences, moments.zones())


def changed_by(before: Org, changed: Org, fresh: SigningKey | None, *, actor: str, now_ms: int) -> Operation[None]:
    """Write the settings, and down what they were. ``fresh`` is the key that will sign with the new algorithm. Where
    nothing differs nothing is written. Raises ``Refused`` when they were changed since ``changed.revision``.
    """
    details: dict[str, object] = {
        name: {"from": msgspec.to_builtins(getattr(before, name)), "to": msgspec.to_builtins(getattr(changed, name))}
        for name in WRITTEN
        if getattr(before, name) != getattr(changed, name)
    }
    if not details and before.revision == changed.revision:
        return
    yield from orgs.change(changed)
    if fresh is not None:
        yield from orgs.rotate_key(changed, fresh, longest_token=tokens.KEY_OUTLIVES, actor=actor, now_ms=now_ms)
    yield from audit.record(changed.id, now_ms, actor, "org:settings:change", changed.id, details)


async def stored_org(visit: Visit) -> Org:
    """The org as it is written: what was saved a moment ago is shown, though this node has yet to hear of it."""
    found = await visit.site.store.read(orgs.all_orgs, visit.site.config.public_url)
    return next((org for org in found if org.id == visit.org.id), visit.org)


async def _fresh_key(visit: Visit, org: Org) -> SigningKey:
    now = visit.site.clock.now()
    # Making an RSA key takes as long as a hundred requests.
    return await asyncio.to_thread(
        keys.generate,
        visit.site.ring,
        org_id=org.id,
        algorithm=org.signing_algorithm,
        now=now,
        signs_from=now + PUBLISHED_BEFORE,
    )


async def _page(visit: Visit, org: Org, values: dict[str, Any], revision: int, errors: dict[str, str]) -> Response:
    now = visit.site.clock.now()
    published = await visit.site.store.read(keys.of_org, visit.org.id, now)
    signing = keys.signing(published, now)
    return visit.page(
        "org_settings.html",
        title=_("Org Settings"),
        status=422 if errors else 200,
        stored=org,
        values=values,
        revision=revision,
        errors=errors,
        fields={field.name: field for field in PREFERENCES},
        zones=moments.zones(),
        algorithms=ALGORITHMS,
        longest_window=LONGEST_WINDOW,
        minutes=PUBLISHED_BEFORE // 60,
        signs_now=signing.algorithm,
        coming=next((key for key in published if key.signs_from > now and key.gone_at is None), None),
    )
