"""An app's Policies tab: what the org's administrator decides, in a form made from the fields of Policies."""

from typing import Any

import msgspec
from starlette.responses import Response

from gatelodge.core import mcp_servers, permissions, propagation, server_items
from gatelodge.core.apps import policies
from gatelodge.core.apps.fields import Field, from_text
from gatelodge.core.apps.policies import FIELDS, SECTIONS, Policies
from gatelodge.core.apps.registry import ExternalClientApp
from gatelodge.core.errors import Invalid, Refused
from gatelodge.core.mcp_servers import McpServer
from gatelodge.core.operation import Operation
from gatelodge.core.permissions import EDIT_POLICIES
from gatelodge.core.server_items import TOOL, Item, Items
from gatelodge.setup import reviewing
from gatelodge.setup.app_form import revision_of
from gatelodge.setup.apps import app_page, row_of
from gatelodge.setup.frame import LABELS, Visit
from gatelodge.words import _, mark

EVERY = {"mcp_servers": mark("Every active one"), "mcp_tools": mark("Every tool that is on")}
"""What stands for a list that was not chosen from."""
WHICH = {"mcp_servers": "which_servers", "mcp_tools": "which_tools"}
"""The form's field that says whether such a list was chosen from."""


class ToolBox(msgspec.Struct, frozen=True):
    """A tool to choose, as policies name it; None: there is no such tool any more."""

    value: str
    item: Item | None


class ToolsOf(msgspec.Struct, frozen=True):
    """The tools of one server."""

    label: str
    boxes: list[ToolBox]


async def show(visit: Visit, app: ExternalClientApp) -> Response:
    """The tab: a form for who may change policies, else a list."""
    if not visit.access.may(EDIT_POLICIES):
        sections = [{"label": section, "rows": _rows(section, app.policies)} for section in SECTIONS]
        return await app_page(
            visit, app, "app_policies_read.html", tab="policies", sections=sections, needed=LABELS[EDIT_POLICIES]
        )
    return await _form(visit, app, msgspec.structs.asdict(app.policies), {})


async def save(visit: Visit, app: ExternalClientApp) -> Response:
    """Save the app's policies. Disabling bites at once, whatever the propagation delay."""
    typed, errors = read(visit)
    if visit.field("take") or visit.field("check"):
        typed = reviewing.taken(visit, typed, app.policies)
        return await _form(visit, app, _as_typed(visit, typed, errors), {})
    if revision_of(visit) != app.revision:
        return await _form(visit, app, _as_typed(visit, typed, errors), {}, contested=typed)
    try:
        known = await visit.site.store.read(propagation.known_to, visit.org.id, typed)
        if errors or msgspec.structs.replace(typed, is_enabled=app.policies.is_enabled) != app.policies:
            policies.check(typed, known)  # what else is wrong is told with what can't be read
        if not errors:
            review = await reviewing.of_policies(visit, app, typed)
            if review.effects and not visit.field("confirmed"):
                return reviewing.ask(visit, app, review, action=f"/setup/apps/{app.id}/policies")
            await visit.site.store.run(
                propagation.change_app,
                app,
                revision=revision_of(visit),
                settings=app.settings,
                policies=typed,
                actor=visit.session.user.id,
                now_ms=visit.site.clock.now_ms(),
                delay=visit.site.config.delay,
            )
    except Invalid as invalid:
        errors = _in_order(invalid.errors | errors)
    except Refused as refused:
        errors = {refused.field: refused.message}
    if not errors:
        return visit.go(f"/setup/apps/{app.id}/policies")
    return await _form(visit, app, _as_typed(visit, typed, errors), errors)


def read(visit: Visit) -> tuple[Policies, dict[str, str]]:
    """The policies that the form says, and a sentence for each field that can't be read; such a field is as it is
    where nothing was decided.
    """
    values: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for field in FIELDS:
        sent = visit.all(field.name)
        try:
            values[field.name] = from_text(field, sent or ("",) if field.kind == "flag" else sent)
        except Refused as refused:
            errors[field.name] = refused.message
            values[field.name] = field.default
    values |= {name: None for name, which in WHICH.items() if visit.field(which) != "selected"}
    return Policies(**values), errors


def _in_order(errors: dict[str, str]) -> dict[str, str]:
    return {field.name: errors[field.name] for field in FIELDS if field.name in errors}


def _as_typed(visit: Visit, typed: Policies, errors: dict[str, str]) -> dict[str, Any]:
    """The form's values with what was typed, where it is no value of its field."""
    numbers = {field.name: visit.field(field.name) for field in FIELDS if field.kind == "number"}
    return msgspec.structs.asdict(typed) | {name: text for name, text in numbers.items() if name in errors}


async def _form(
    visit: Visit,
    app: ExternalClientApp,
    values: dict[str, Any],
    errors: dict[str, str],
    *,
    contested: Policies | None = None,
) -> Response:
    return await app_page(
        visit,
        app,
        "app_policies.html",
        tab="policies",
        status=409 if contested else 422 if errors else 200,
        revision=app.revision if contested else revision_of(visit) or app.revision,
        theirs=reviewing.differences(contested, app.policies, FIELDS) if contested else [],
        is_contested=contested is not None,
        sections=[{"label": section, "fields": [f for f in FIELDS if f.section == section]} for section in SECTIONS],
        values=values,
        errors=errors,
        offered=await _offered(visit, values),
        every=EVERY,
        which=WHICH,
        tools=await _tools(visit, values["mcp_tools"] or ()),
        delay=visit.site.config.delay,
    )


async def _offered(visit: Visit, values: dict[str, Any]) -> dict[str, list[tuple[str, str]]]:
    """What the org has to choose from, as value and label, by the field; and what was chosen and is there no more."""
    servers = await visit.site.store.read(mcp_servers.of_org, visit.org.id)
    sets = await visit.site.store.read(permissions.of_org, visit.org.id)
    found = {
        "mcp_servers": [
            (each.name, each.name if each.is_active else _("{name} (inactive)").format(name=each.name))
            for each in servers
        ],
        "permission_sets": [(each.api_name, each.label) for each in sets],
    }
    for name, known in found.items():
        known += [
            (each, _("{each} (not in this org)").format(each=each))
            for each in values[name] or ()
            if each not in dict(known)
        ]
    return found | {"default_mcp_server": found["mcp_servers"]}


async def _tools(visit: Visit, chosen: tuple[str, ...]) -> list[ToolsOf]:
    """The org's tools by server, and those that were chosen and are there no more."""
    servers, items = await visit.site.store.read(servers_with_items, visit.org.id)
    groups = [
        ToolsOf(server.label, [ToolBox(f"{server.name}/{each.name}", each) for each in items[server.id].of_kind(TOOL)])
        for server in servers
    ]
    known = {box.value for group in groups for box in group.boxes}
    lost = [ToolBox(value, None) for value in chosen if value not in known]
    return [group for group in (*groups, ToolsOf(_("Not in this org"), lost)) if group.boxes]


def servers_with_items(org_id: str) -> Operation[tuple[list[McpServer], dict[str, Items]]]:
    """Every server of the org by name, and what each offers by its id."""
    servers = yield from mcp_servers.of_org(org_id)
    stored = yield from server_items.of_org(org_id)
    return servers, {each.id: server_items.with_hosted(each, stored.get(each.id, [])) for each in servers}


def _rows(section: str, values: Policies) -> list[dict[str, Any]]:
    return [_row(field, getattr(values, field.name)) for field in FIELDS if field.section == section]


def _row(field: Field, value: Any) -> dict[str, Any]:
    row = row_of(field, value)
    return row | {"lines": (_(EVERY[field.name]),), "is_code": False} if value is None else row
