"""The registry of External Client Apps as they are being edited. OAuth and the gateway never read it: they see an app
only as it is live (``propagation``, decision 0004).
"""

import msgspec

from gatelodge.core.apps.policies import Policies
from gatelodge.core.apps.settings import Settings
from gatelodge.core.errors import Refused
from gatelodge.core.operation import Operation, execute, many, one

MOST_NAMED = 100


class ExternalClientApp(msgspec.Struct, frozen=True, kw_only=True):
    """An app with its Settings and Policies. ``revision`` counts its changes, so that two editors can't overwrite
    each other unseen.
    """

    id: str
    org_id: str
    consumer_key: str
    revision: int
    settings: Settings
    policies: Policies
    preset: str
    created_by: str
    created_at: int
    updated_at: int


COLUMNS = "id, org_id, consumer_key, revision, settings, policies, preset, created_by, created_at, updated_at"


def app(*, settings: str, policies: str, **columns: object) -> ExternalClientApp:
    """An ``ExternalClientApp`` from its row."""
    return ExternalClientApp(
        settings=msgspec.json.decode(settings, type=Settings),
        policies=msgspec.json.decode(policies, type=Policies),
        **columns,  # type: ignore[arg-type] - the columns of the statement
    )


def create(made: ExternalClientApp) -> Operation[ExternalClientApp]:
    """Register an app. Raises ``Refused`` when its API Name is taken in the org."""
    stored = yield from one(
        f"INSERT INTO apps ({COLUMNS}, api_name_key, label_key) VALUES (:id, :org_id, :consumer_key, 1, :settings,"
        " :policies, :preset, :created_by, :now, :now, :api_name_key, :label_key)"
        f" ON CONFLICT (org_id, api_name_key) DO NOTHING RETURNING {COLUMNS}",
        app,
        id=made.id,
        org_id=made.org_id,
        consumer_key=made.consumer_key,
        settings=_json(made.settings),
        policies=_json(made.policies),
        preset=made.preset,
        created_by=made.created_by,
        now=made.created_at,
        api_name_key=made.settings.api_name.lower(),
        label_key=made.settings.label.lower(),
    )
    if stored is None:
        raise Refused(f"The API Name {made.settings.api_name!r} is taken in this org; choose another.", "api_name")
    return stored


def find(org_id: str, app_id: str) -> Operation[ExternalClientApp | None]:
    """The app with this id."""
    sql = f"SELECT {COLUMNS} FROM apps WHERE org_id = :org_id AND id = :app_id"
    return (yield from one(sql, app, org_id=org_id, app_id=app_id))


def find_by_api_name(org_id: str, api_name: str) -> Operation[ExternalClientApp | None]:
    """The app with this API Name, in any case."""
    sql = f"SELECT {COLUMNS} FROM apps WHERE org_id = :org_id AND api_name_key = :key"
    return (yield from one(sql, app, org_id=org_id, key=api_name.lower()))


def in_order(org_id: str, *, after: str = "", limit: int = 50) -> Operation[list[ExternalClientApp]]:
    """A page of the org's apps by API Name, after the one given (a keyset, so that any page costs the same)."""
    return (
        yield from many(
            f"SELECT {COLUMNS} FROM apps WHERE org_id = :org_id AND api_name_key > :after"
            " ORDER BY api_name_key LIMIT :limit",
            app,
            org_id=org_id,
            after=after.lower(),
            limit=limit,
        )
    )


def naming_permission_set(org_id: str, api_name: str) -> Operation[list[ExternalClientApp]]:
    """The apps whose policies let somebody in by this permission set, at most ``MOST_NAMED``."""
    found = yield from many(
        f"SELECT {COLUMNS} FROM apps WHERE org_id = :org_id AND policies LIKE :quoted ESCAPE '!'"
        " ORDER BY api_name_key LIMIT :limit",
        app,
        org_id=org_id,
        quoted='%"' + api_name.replace("!", "!!").replace("%", "!%").replace("_", "!_") + '"%',
        limit=MOST_NAMED,
    )
    return [each for each in found if api_name in each.policies.permission_sets]


def save(
    org_id: str, app_id: str, *, revision: int, settings: Settings, policies: Policies, now: int
) -> Operation[ExternalClientApp]:
    """Write the next revision of an app. One UPDATE decides between two editors.

    Raises ``Refused`` when the app is gone, or was changed since the caller read ``revision``.
    """
    saved = yield from one(
        "UPDATE apps SET settings = :settings, policies = :policies, label_key = :label_key, updated_at = :now,"
        f" revision = revision + 1 WHERE org_id = :org_id AND id = :app_id AND revision = :revision RETURNING {COLUMNS}",
        app,
        settings=_json(settings),
        policies=_json(policies),
        label_key=settings.label.lower(),
        now=now,
        org_id=org_id,
        app_id=app_id,
        revision=revision,
    )
    if saved is None:
        raise Refused("This app was changed by someone else since you opened it. Reload to see their version.")
    return saved


def set_consumer_key(org_id: str, app_id: str, consumer_key: str) -> Operation[None]:
    """A staged pair was applied."""
    yield from execute(
        "UPDATE apps SET consumer_key = :consumer_key WHERE org_id = :org_id AND id = :app_id",
        consumer_key=consumer_key,
        org_id=org_id,
        app_id=app_id,
    )


def advance(org_id: str, app_id: str) -> Operation[ExternalClientApp]:
    """The next revision of an app whose secrets changed. Raises ``Refused`` when the app is gone."""
    advanced = yield from one(
        f"UPDATE apps SET revision = revision + 1 WHERE org_id = :org_id AND id = :app_id RETURNING {COLUMNS}",
        app,
        org_id=org_id,
        app_id=app_id,
    )
    if advanced is None:
        raise Refused("This app is gone.")
    return advanced


def matching(org_id: str, text: str, *, limit: int) -> Operation[list[ExternalClientApp]]:
    """The first apps whose name or API Name holds this text in any case, or whose consumer key or id it is."""
    escaped = text.lower().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return (
        yield from many(
            f"SELECT {COLUMNS} FROM apps WHERE org_id = :org_id AND (label_key LIKE :pattern ESCAPE '\\'"
            " OR api_name_key LIKE :pattern ESCAPE '\\' OR consumer_key = :text OR id = :text)"
            " ORDER BY api_name_key LIMIT :limit",
            app,
            org_id=org_id,
            pattern=f"%{escaped}%",
            text=text,
            limit=limit,
        )
    )


def _json(value: msgspec.Struct) -> str:
    return msgspec.json.encode(value).decode()
