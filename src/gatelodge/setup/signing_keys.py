"""Keys: what the org's tokens are signed with, now and next, until when each verifies, and a fresh one."""

import asyncio

from starlette.responses import Response

from gatelodge.core import keys, orgs, tokens
from gatelodge.core.errors import Refused
from gatelodge.core.keys import ALGORITHMS, CACHED_FOR, PUBLISHED_BEFORE, SigningKey
from gatelodge.core.orgs import Org
from gatelodge.setup.frame import Visit
from gatelodge.web.errors import BadRequest
from gatelodge.web.site import Site
from gatelodge.words import _

PATH = "/setup/keys"


async def show(visit: Visit) -> Response:
    """GET /setup/keys."""
    return await _page(visit, "")


async def change(visit: Visit) -> Response:
    """Publish a fresh key: it signs once no copy of the keys can lack it, or at once."""
    act, algorithm = visit.field("act"), visit.field("algorithm") or visit.org.signing_algorithm
    if act not in ("plan", "rotate-now"):
        raise BadRequest(_("{act!r:.40} can't be done with keys").format(act=act))
    if algorithm not in ALGORITHMS:
        raise BadRequest(
            _("{algorithm!r:.40} is not one of {algorithms}").format(
                algorithm=algorithm, algorithms=", ".join(ALGORITHMS)
            )
        )
    actor = visit.session.user.id
    try:
        _fresh = await rotate(visit.site, visit.org, algorithm, is_at_once=act == "rotate-now", actor=actor)
    except Refused as refused:
        return await _page(visit, refused.message)
    return visit.go(PATH)


async def rotate(site: Site, org: Org, algorithm: str, *, is_at_once: bool, actor: str) -> SigningKey:
    """A fresh key of this algorithm, published. Raises ``Refused`` when too many are."""
    now_ms = site.clock.now_ms()
    now = now_ms // 1000
    signs_from = now if is_at_once else now + PUBLISHED_BEFORE
    # Making an RSA key takes as long as a hundred requests.
    fresh = await asyncio.to_thread(
        keys.generate, site.ring, org_id=org.id, algorithm=algorithm, now=now, signs_from=signs_from
    )
    await site.store.run(orgs.rotate_key, org, fresh, longest_token=tokens.KEY_OUTLIVES, actor=actor, now_ms=now_ms)
    return fresh


async def _page(visit: Visit, problem: str) -> Response:
    now = visit.site.clock.now()
    found = await visit.site.store.read(keys.of_org, visit.org.id, now)
    signing = keys.signing(found, now)
    return visit.page(
        "keys.html",
        title=_("Keys"),
        status=422 if problem else 200,
        problem=problem,
        rows=[{"key": each, "state": state_of(each, signing, now)} for each in reversed(found)],
        algorithms=ALGORITHMS,
        jwks=f"{visit.org.issuer}/id/keys",
        minutes=PUBLISHED_BEFORE // 60,
        cached_minutes=CACHED_FOR // 60,
    )


def state_of(key: SigningKey, signing: SigningKey, now: int) -> str:
    """What a key does now: it signs, is next, or verifies what it signed before."""
    return "signs" if key.kid == signing.kid else "next" if key.signs_from > now else "verifies"
