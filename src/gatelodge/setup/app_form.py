"""New External Client App, and editing one: the form made from the fields of Settings, kept as typed when refused."""

from typing import Any

import msgspec
from starlette.responses import Response

from gatelodge.core import propagation, scopes, secrets
from gatelodge.core.apps import as_command, callbacks, policies, presets, readiness, registry, settings
from gatelodge.core.apps.presets import Preset
from gatelodge.core.apps.registry import ExternalClientApp
from gatelodge.core.apps.settings import API, FIELDS, FLOWS, SECURITY, Settings
from gatelodge.core.errors import Invalid, Refused
from gatelodge.core.ids import APP
from gatelodge.core.scopes import MCP_API, REFRESH_TOKEN
from gatelodge.metadata import writing
from gatelodge.setup import reviewing
from gatelodge.setup.frame import Visit
from gatelodge.web import forms
from gatelodge.words import _

KNOWN_CALLBACKS = tuple(url for preset in presets.PRESETS for url in preset.callback_urls)
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
    if (redrawn := _redrawn(visit, typed)) is not None:
        return await _show(visit, redrawn, preset=preset)
    if not typed.api_name:
        typed = msgspec.structs.replace(typed, api_name=settings.api_name_from(typed.label))
    if errors := _unpasted(preset, typed):
        return await _show(visit, typed, preset=preset, errors=errors)
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
        await site.store.run(
            propagation.create_app, made, actor=visit.session.user.id, now_ms=now_ms, delay=site.config.delay
        )
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
    if (redrawn := _redrawn(visit, typed)) is not None:
        return await _show(visit, reviewing.taken(visit, redrawn, app.settings), preset=preset_of(app), app=app)
    if revision_of(visit) != app.revision:
        return await _show(visit, typed, preset=preset_of(app), app=app, is_contested=True)
    try:
        settings.check(typed, visit.org.custom_scopes)
        review = await reviewing.of_settings(visit, app, typed)
        if review.effects and not visit.field("confirmed"):
            return reviewing.ask(visit, app, review, action=f"/setup/apps/{app.id}/edit")
        await visit.site.store.run(
            propagation.change_app,
            app,
            revision=revision_of(visit),
            settings=typed,
            policies=app.policies,
            actor=visit.session.user.id,
            now_ms=visit.site.clock.now_ms(),
            delay=visit.site.config.delay,
        )
    except Invalid as invalid:
        return await _show(visit, typed, preset=preset_of(app), app=app, errors=invalid.errors)
    except Refused as refused:
        if refused.field:
            return await _show(visit, typed, preset=preset_of(app), app=app, errors={refused.field: refused.message})
        newest = await visit.site.store.read(registry.find, app.org_id, app.id)  # somebody was faster by a moment
        return await _show(visit, typed, preset=preset_of(app), app=newest or app, is_contested=True)
    return visit.go(f"/setup/apps/{app.id}")


def _redrawn(visit: Visit, typed: Settings) -> Settings | None:
    """The form as a button of its own leaves it; None when it was none of them that was pressed."""
    if visit.field("move"):
        return _moved(visit, typed)
    if number := visit.field("remove_callback"):
        kept = tuple(url for n, url in enumerate(visit.all("callback_urls"), 1) if str(n) != number and url.strip())
        return msgspec.structs.replace(typed, callback_urls=kept)
    if any(visit.field(name) for name in ("check", "add_callback", "take")):
        return typed
    return None


def _unpasted(preset: Preset, typed: Settings) -> dict[str, str]:
    """Why an app for this client can't be made yet: what only the client knows is missing."""
    if not typed.oauth_enabled or not presets.lacks_pasted_url(preset, typed.callback_urls):
        return {}
    said = _("{client} shows a callback URL of its own in its settings; paste it here. It begins with {url}.")
    return {"callback_urls": said.format(client=preset.label, url=preset.pasted[0])}


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
        chosen = (
            *typed.scopes,
            *(name for name in visit.all("available") if name in scopes.known(visit.org.custom_scopes)),
        )
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
    is_contested: bool = False,
) -> Response:
    base = visit.org.path
    return visit.page(
        "app_form.html",
        title=_("Edit {app}").format(app=app.settings.label) if app else _("New External Client App"),
        status=409 if is_contested else 422 if errors else 200,
        app=app,
        action=f"{base}/setup/apps/{app.id}/edit" if app else f"{base}/setup/apps/new",
        cancel=f"{base}/setup/apps/{app.id}" if app else f"{base}/setup/apps",
        submit=_("Save") if app else _("Create"),
        revision=app.revision if app and (is_contested or not revision_of(visit)) else revision_of(visit) or 1,
        values=msgspec.structs.asdict(values),
        callbacks=_callbacks(visit, values),
        field={field.name: field for field in FIELDS},
        of_api=[field for field in FIELDS if field.section == API and field.kind == "flag"][1:],
        security=[field for field in FIELDS if field.section == SECURITY],
        chosen=[field.name for field in FIELDS if field.kind == "flag" and getattr(values, field.name)],
        flows=[field for field in FIELDS if field.section == FLOWS],
        presets=presets.PRESETS,
        preset=preset,
        scopes=(*scopes.SCOPES, *visit.org.custom_scopes),
        errors=errors or {},
        theirs=reviewing.differences(values, app.settings, FIELDS) if app and is_contested else [],
        is_contested=is_contested,
        is_open=bool(visit.fields) or values.oauth_enabled,
        delay=visit.site.config.delay,
        checks=await checks_of(visit, values, app),
        written=writing.write(_named(values), app.policies if app else policies.Policies()),
        command=as_command.as_command(_named(values), preset=app.preset if app else preset.name, org=visit.org.name),
    )


def _named(values: Settings) -> Settings:
    """The same under the API Name that it would get."""
    return msgspec.structs.replace(values, api_name=values.api_name or settings.api_name_from(values.label) or "My_App")


def _callbacks(visit: Visit, values: Settings) -> list[dict[str, str]]:
    """The callback URLs as the form lists them, each with what is to be said of it; an empty line for one more."""
    rows = [_callback(url, values.callback_urls) for url in values.callback_urls]
    return [*rows, _callback("", ())] if not rows or visit.field("add_callback") else rows


def _callback(url: str, all_of_them: tuple[str, ...]) -> dict[str, str]:
    if doubt := callbacks.doubt(url, all_of_them, KNOWN_CALLBACKS):
        return {"url": url, "doubt": doubt, "kind": "warn", "symbol": "warn", "word": _("Look again")}
    if url in KNOWN_CALLBACKS:
        owner = next(each.label for each in presets.PRESETS if url in each.callback_urls)
        return {"url": url, "doubt": "", "kind": "ok", "symbol": "check", "word": owner}
    word = _("Loopback") if callbacks.is_loopback(url) else ""
    return {"url": url, "doubt": "", "kind": "", "symbol": "screen", "word": word}


async def checks_of(visit: Visit, values: Settings, app: ExternalClientApp | None) -> tuple[readiness.Check, ...]:
    """The readiness list for these settings."""
    active = tuple(await visit.site.live.servers(visit.org.id))
    return readiness.checks(values, app.policies if app else policies.Policies(), active)
