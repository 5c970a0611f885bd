"""External Client App Settings: what holds for every app of the org, whatever its own Settings and Policies say."""

from typing import Any

import msgspec
from starlette.responses import Response

from gatelodge.core import orgs
from gatelodge.core.apps.fields import from_text
from gatelodge.core.errors import Refused
from gatelodge.core.org_options import APP_RULES, AppRules
from gatelodge.core.orgs import SCRATCH
from gatelodge.core.permissions import MANAGE_ORG
from gatelodge.setup.frame import Answer, Visit
from gatelodge.setup.org_settings import changed_by, stored_org
from gatelodge.setup.permission_sets import revision_of
from gatelodge.words import _, mark

PATH = "/setup/app-settings"

ELSEWHERE = (
    (
        mark("Opt in to External Client Apps"),
        mark("Every org has them, and there are no others: a Connected App is imported as one."),
    ),
    (
        mark("Allow access to External Client App consumer secrets via REST API"),
        mark("Nobody can: a secret is shown once and kept as a digest. A lost one is replaced by a staged rotation."),
    ),
    (mark("Allow Access to OAuth Consumer Secrets via Metadata API"), mark("The same: no file has a secret in it.")),
    (
        mark("Who may create apps"),
        mark("Not a switch: the permission to create, edit and delete External Client Apps, in a permission set."),
    ),
)
"""What the original's page asks and this one doesn't (META ExternalClientAppSettings), and why not."""


async def show(visit: Visit) -> Response:
    """GET /setup/app-settings."""
    org = await stored_org(visit)
    return _page(visit, org, msgspec.structs.asdict(org.app_rules), org.revision, {})


async def save(visit: Visit) -> Response:
    """POST /setup/app-settings."""
    org = await stored_org(visit)
    values: dict[str, Any] = {}
    try:
        for field in APP_RULES:
            values[field.name] = from_text(field, visit.all(field.name) or ("",))
        changed = msgspec.structs.replace(org, app_rules=AppRules(**values), revision=revision_of(visit))
        actor, now_ms = visit.session.user.id, visit.site.clock.now_ms()
        await visit.site.store.run(changed_by, org, changed, None, actor=actor, now_ms=now_ms)
    except Refused as refused:
        shown = {field.name: visit.field(field.name) == "on" for field in APP_RULES}
        return _page(visit, org, shown, revision_of(visit), {refused.field: refused.message})
    return visit.go(f"{PATH}?saved=1")


def where_apps_are_made(answer: Answer) -> Answer:
    """A page that makes apps, where this org's Setup makes any: a scratch org gets its apps from a package."""

    async def asked(visit: Visit) -> Response:
        if visit.org.kind == SCRATCH and not visit.org.app_rules.creates_in_scratch_orgs:
            return visit.page(
                "scratch.html",
                title=_("Create it in a developer hub"),
                status=403,
                sees_rules=visit.access.may(MANAGE_ORG),
            )
        return await answer(visit)

    return asked


def _page(visit: Visit, org: orgs.Org, values: dict[str, Any], revision: int, errors: dict[str, str]) -> Response:
    return visit.page(
        "app_rules.html",
        title=_("External Client App Settings"),
        status=422 if errors else 200,
        fields=APP_RULES,
        values=values,
        revision=revision,
        errors=errors,
        kind=org.kind,
        elsewhere=[(_(what), _(why)) for what, why in ELSEWHERE],
        was_saved=visit.request.scope["query_string"] == b"saved=1",
    )
