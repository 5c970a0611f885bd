"""Org Settings: the org's name, the refresh window, trusted IP ranges, and the algorithm its tokens are signed with."""

import asyncio

import msgspec
from starlette.responses import Response

from gatelodge.core import audit, keys, orgs, tokens
from gatelodge.core.errors import Invalid, Refused
from gatelodge.core.keys import ALGORITHMS, PUBLISHED_BEFORE, SigningKey
from gatelodge.core.operation import Operation
from gatelodge.core.orgs import LONGEST_WINDOW, Org
from gatelodge.setup.frame import Visit
from gatelodge.setup.moments import in_words
from gatelodge.web import forms


async def show(visit: Visit) -> Response:
    """GET /setup/org."""
    org = await _stored(visit)
    values = {
        "label": org.label,
        "refresh_window": str(org.refresh_window),
        "trusted_ranges": "\n".join(org.trusted_ranges),
        "signing_algorithm": org.signing_algorithm,
    }
    return await _page(visit, org, values, {})


async def save(visit: Visit) -> Response:
    """POST /setup/org. Another algorithm publishes a fresh key, which signs once no cache can lack it."""
    before = await _stored(visit)
    values = {name: visit.field(name) for name in ("label", "refresh_window", "trusted_ranges", "signing_algorithm")}
    changed = msgspec.structs.replace(
        before,
        label=values["label"].strip(),
        refresh_window=forms.number(values["refresh_window"], -1),
        trusted_ranges=tuple(dict.fromkeys(filter(None, map(str.strip, values["trusted_ranges"].splitlines())))),
        signing_algorithm=values["signing_algorithm"],
    )
    try:
        orgs.check(changed)
        fresh = await _fresh_key(visit, changed) if changed.signing_algorithm != before.signing_algorithm else None
        await visit.site.store.run(
            changed_by, before, changed, fresh, actor=visit.session.user.username, now_ms=visit.site.clock.now_ms()
        )
    except Invalid as invalid:
        return await _page(visit, before, values, invalid.errors)
    except Refused as refused:
        return await _page(visit, before, values, {refused.field or "signing_algorithm": refused.message})
    return visit.go("/setup/org")


def changed_by(before: Org, changed: Org, fresh: SigningKey | None, *, actor: str, now_ms: int) -> Operation[None]:
    """Write the settings, and down what they were. ``fresh`` is the key that will sign with the new algorithm."""
    yield from orgs.change(changed)
    if fresh is not None:
        yield from orgs.rotate_key(changed, fresh, longest_token=tokens.KEY_OUTLIVES, actor=actor, now_ms=now_ms)
    names = ("label", "refresh_window", "trusted_ranges", "signing_algorithm")
    details: dict[str, object] = {
        name: {"from": getattr(before, name), "to": getattr(changed, name)}
        for name in names
        if getattr(before, name) != getattr(changed, name)
    }
    if details:
        yield from audit.record(changed.id, now_ms, actor, "org:settings:change", changed.id, details)


async def _stored(visit: Visit) -> Org:
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


async def _page(visit: Visit, org: Org, values: dict[str, str], errors: dict[str, str]) -> Response:
    now = visit.site.clock.now()
    published = await visit.site.store.read(keys.of_org, visit.org.id, now)
    signing = keys.signing(published, now)
    coming = next((key for key in published if key.signs_from > now and key.gone_at is None), None)
    return visit.page(
        "org_settings.html",
        title="Org Settings",
        status=422 if errors else 200,
        stored=org,
        values=values,
        errors=errors,
        algorithms=ALGORITHMS,
        longest_window=LONGEST_WINDOW,
        minutes=PUBLISHED_BEFORE // 60,
        signs_now=signing.algorithm,
        coming={"algorithm": coming.algorithm, "at": in_words(coming.signs_from)} if coming else None,
    )
