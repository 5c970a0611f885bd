"""New External Client App, and editing one: the form made from the fields of Settings, kept as typed when refused."""

from typing import Any

import msgspec
from starlette.responses import Response

from gatelodge.core import propagation, scopes, secrets
from gatelodge.core.apps import policies, presets, readiness, settings
from gatelodge.core.apps.presets import Preset
from gatelodge.core.apps.registry import ExternalClientApp
from gatelodge.core.apps.settings import FIELDS, FLOWS, SECURITY, Settings
from gatelodge.core.errors import Invalid, Refused
from gatelodge.core.ids import APP
from gatelodge.core.scopes import MCP_API, REFRESH_TOKEN
from gatelodge.setup.frame import Visit
from gatelodge.web import forms

BLANK = Settings(oauth_enabled=False)  # as in the original, OAuth is enabled by a click of one's own


async def new(visit: Visit) -> Response:
    """The empty form, or with ``?preset=`` one that a client has filled in."""
    name = dict(forms.parse(visit.request.scope["query_string"])).get("preset", "")
    preset = presets.BY_NAME.get(name, presets.BY_NAME["other"])
    filled = _use(preset, msgspec.structs.replace(BLANK, contact_email=visit.session.user.email))
    return await _show(visit, filled, preset=preset)


async def create(visit: Visit) -> Response:
    """Create the app, or redraw the form when a button of the form itself was pressed."""
    typed = read(visit)
    preset = presets.BY_NAME.get(visit.field("preset"), presets.BY_NAME["other"])
    if visit.field("use_preset"):
        return await _show(visit, _use(preset, typed), preset=preset)
    if visit.field("move"):
        return await _show(visit, _moved(visit, typed), preset=preset)
    if visit.field("check"):
        return await _show(visit, typed, preset=preset)
    if not typed.api_name:
        typed = msgspec.structs.replace(typed, api_name=settings.api_name_from(typed.label))
    site, now_ms = visit.site, visit.site.clock.now_ms()
    made = ExternalClientApp(
        id=secrets.new_id(APP),
        org_id=visit.org.id,
        consumer_key=secrets.new_consumer_key(),
        revision=1,
        settings=typed,
        policies=policies.Policies(),
        preset=preset.name,
        created_by=visit.session.user.username,
        created_at=now_ms // 1000,
        updated_at=now_ms // 1000,
    )
    try:
        await site.store.run(propagation.create_app, made, now_ms=now_ms, delay=site.config.delay)
    except Invalid as invalid:
        return await _show(visit, typed, preset=preset, errors=invalid.errors)
    except Refused as refused:
        return await _show(visit, typed, preset=preset, errors={refused.field: refused.message})
    return visit.go(f"/setup/apps/{made.id}")


async def edit(visit: Visit, app: ExternalClientApp) -> Response:
    """The form of an app as it is."""
    return await _show(visit, app.settings, preset=preset_of(app), app=app)


async def save(visit: Visit, app: ExternalClientApp) -> Response:
    """Save the next revision, unless someone else was faster."""
    typed = read(visit)
    if visit.field("move"):
        return await _show(visit, _moved(visit, typed), preset=preset_of(app), app=app)
    if visit.field("check"):
        return await _show(visit, typed, preset=preset_of(app), app=app)
    try:
        await visit.site.store.run(
            propagation.change_app,
            app,
            revision=revision_of(visit),
            settings=typed,
            policies=app.policies,
            actor=visit.session.user.username,
            now_ms=visit.site.clock.now_ms(),
            delay=visit.site.config.delay,
        )
    except Invalid as invalid:
        return await _show(visit, typed, preset=preset_of(app), app=app, errors=invalid.errors)
    except Refused as refused:
        return await _show(visit, typed, preset=preset_of(app), app=app, errors={refused.field: refused.message})
    return visit.go(f"/setup/apps/{app.id}")


def preset_of(app: ExternalClientApp) -> Preset:
    """The client that the app was made for."""
    return presets.BY_NAME.get(app.preset, presets.BY_NAME["other"])


def revision_of(visit: Visit) -> int:
    """The revision that the person was looking at."""
    typed = visit.field("revision")
    return int(typed) if typed.isascii() and typed.isdigit() and len(typed) < 12 else 0  # noqa: PLR2004 - digits


def read(visit: Visit) -> Settings:
    """The settings that the form says, by the kind of each field."""
    values: dict[str, Any] = {}
    for field in FIELDS:
        match field.kind:
            case "flag":
                values[field.name] = bool(visit.field(field.name))
            case "list":
                lines = [line.strip() for value in visit.all(field.name) for line in value.splitlines()]
                values[field.name] = tuple(dict.fromkeys(line for line in lines if line))
            case "choice":
                typed = visit.field(field.name)
                values[field.name] = typed if typed in dict(field.choices) else field.default
            case "number":
                values[field.name] = forms.number(visit.field(field.name), field.default)
            case "text" | "long":
                values[field.name] = visit.field(field.name).replace("\r\n", "\n").strip()
    return Settings(**values)


def _use(preset: Preset, typed: Settings) -> Settings:
    """What a client fills in. "Other" fills in nothing and takes nothing away."""
    if preset.name == "other":
        return typed
    return msgspec.structs.replace(
        typed,
        label=typed.label or preset.label,
        api_name=typed.api_name or settings.api_name_from(typed.label or preset.label),
        oauth_enabled=True,
        callback_urls=preset.callback_urls,
        scopes=(MCP_API, REFRESH_TOKEN),
        jwt_access_tokens=True,
        require_pkce=True,
    )


def _moved(visit: Visit, typed: Settings) -> Settings:
    """The dual list without script: the marked scopes change sides."""
    if visit.field("move") == "add":
        chosen = (*typed.scopes, *(name for name in visit.all("available") if name in scopes.BY_NAME))
    else:
        chosen = tuple(name for name in typed.scopes if name not in visit.all("selected"))
    return msgspec.structs.replace(typed, scopes=tuple(dict.fromkeys(chosen)))


async def _show(
    visit: Visit,
    values: Settings,
    *,
    preset: Preset,
    app: ExternalClientApp | None = None,
    errors: dict[str, str] | None = None,
) -> Response:
    base = visit.org.path
    return visit.page(
        "app_form.html",
        title=f"Edit {app.settings.label}" if app else "New External Client App",
        status=422 if errors else 200,
        app=app,
        action=f"{base}/setup/apps/{app.id}/edit" if app else f"{base}/setup/apps/new",
        cancel=f"{base}/setup/apps/{app.id}" if app else f"{base}/setup/apps",
        submit="Save" if app else "Create",
        revision=revision_of(visit) or app.revision if app else 1,
        values=msgspec.structs.asdict(values),
        field={field.name: field for field in FIELDS},
        security=[field for field in FIELDS if field.section == SECURITY],
        flows=[field for field in FIELDS if field.section == FLOWS],
        presets=presets.PRESETS,
        preset=preset,
        scopes=scopes.SCOPES,
        errors=errors or {},
        is_open=bool(visit.fields) or values.oauth_enabled,
        delay=visit.site.config.delay,
        checks=await checks_of(visit, values, app),
    )


async def checks_of(visit: Visit, values: Settings, app: ExternalClientApp | None) -> tuple[readiness.Check, ...]:
    """The readiness list for these settings."""
    active = tuple(await visit.site.live.servers(visit.org.id))
    return readiness.checks(values, app.policies if app else policies.Policies(), active)
