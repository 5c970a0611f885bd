"""The registry of External Client Apps as they are being edited. OAuth and the gateway never read it: they see an app
only as it is live (``propagation``, decision 0004).
"""

from typing import Any, Literal

import msgspec

from gatelodge.core.apps import readiness, words
from gatelodge.core.apps.policies import Policies
from gatelodge.core.apps.settings import Settings
from gatelodge.core.errors import Refused
from gatelodge.core.operation import Operation, Value, execute, many, one, text
from gatelodge.words import _

INDEX_RULES = 1
"""Which rules ``state`` and the words of an app were last made by. Another number has every app indexed anew."""
INDEXED_AT_ONCE = 200

Sort = Literal["label", "created", "users", "calls", "used"]
SORTED_BY = {
    "label": "label_key",
    "created": "created_at",
    "users": "counted_users",
    "calls": "counted_calls",
    "used": "counted_use",
}
"""The column of each order. Each has an index that holds what the list is filtered by."""
FILTERS = ("state", "preset", "distribution", "created_by")

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
    page_link: int = 0

    @property
    def has_page(self) -> bool:
        """Whether a link leads its users to how it is connected (decision 0044)."""
        return self.page_link > 0


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which apps a list shows, and in which order. A filter that is "" lets everything pass."""

    search: str = ""
    state: str = ""
    preset: str = ""
    distribution: str = ""
    created_by: str = ""
    sort: Sort = "label"
    is_descending: bool = False


class Listed(msgspec.Struct, frozen=True):
    """An app of a list, and what it stands there by: the value of the order's column."""

    app: ExternalClientApp
    by: str | int


class Counted(msgspec.Struct, frozen=True):
    """What an app is listed by besides its name and date: users, calls of 12 days, the last use (epoch seconds)."""

    app_id: str
    users: int
    calls: int
    used: int


COLUMNS = (
    "id, org_id, consumer_key, revision, settings, policies, preset, created_by, created_at, updated_at, page_link"
)


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
        f"INSERT INTO apps ({COLUMNS}, api_name_key, label_key, state, distribution, indexed) VALUES (:id, :org_id,"
        " :consumer_key, :revision, :settings, :policies, :preset, :created_by, :created_at, :updated_at, :page_link,"
        " :api_name_key, :label_key, :state, :distribution, :indexed)"
        f" ON CONFLICT (org_id, api_name_key) DO NOTHING RETURNING {COLUMNS}",
        app,
        **{name: getattr(made, name) for name in COLUMNS.split(", ") if name not in ("settings", "policies")},
        settings=_json(made.settings),
        policies=_json(made.policies),
        api_name_key=made.settings.api_name.lower(),
        **_indexed(made.settings, made.policies),
    )
    if stored is None:
        raise Refused(
            _("The API Name {api_name!r} is taken in this org; choose another.").format(
                api_name=made.settings.api_name
            ),
            "api_name",
        )
    yield from words.index(made.org_id, made.id, made.settings)
    return stored


def _indexed(settings: Settings, policies: Policies) -> dict[str, Value]:
    """What the list knows an app by."""
    return {
        "label_key": settings.label.lower(),
        "state": readiness.state(settings, policies),
        "distribution": settings.distribution_state,
        "indexed": INDEX_RULES,
    }


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


def wanted(
    org_id: str, which: Wanted, *, after: tuple[Value, str] | None = None, limit: int
) -> Operation[list[Listed]]:
    """A page of the apps that are wanted, behind the place ``after``: what the last one before stands by, and its id."""
    found, values = words.found_sql(which.search)
    column, further, way = SORTED_BY[which.sort], ">", "ASC"
    if which.is_descending:
        further, way = "<", "DESC"
    conditions = ["org_id = :org_id", *([found] if found else [])]
    for name in FILTERS:
        if value := getattr(which, name):
            conditions.append(f"{name} = :{name}")
            values[name] = value
    if after is not None:
        conditions.append(f"({column}, id) {further} (:after, :after_id)")
        values |= {"after": after[0], "after_id": after[1]}
    return (
        yield from many(
            f"SELECT {COLUMNS}, {column} AS listed_by FROM apps WHERE {' AND '.join(conditions)}"
            f" ORDER BY {column} {way}, id {way} LIMIT :limit",
            _listed,
            org_id=org_id,
            limit=limit,
            **values,
        )
    )


def _listed(*, listed_by: str | int, **columns: Any) -> Listed:
    return Listed(app(**columns), listed_by)


def ids_in_order(org_id: str, *, after: str, limit: int) -> Operation[list[tuple[str, str]]]:
    """The ids of a page of the org's apps, each with its place: behind which one the next page begins."""
    return (
        yield from many(
            "SELECT id AS app_id, api_name_key FROM apps WHERE org_id = :org_id AND api_name_key > :after"
            " ORDER BY api_name_key LIMIT :limit",
            _place,
            org_id=org_id,
            after=after,
            limit=limit,
        )
    )


def _place(app_id: str, api_name_key: str) -> tuple[str, str]:
    return app_id, api_name_key


def counted(org_id: str, app_ids: tuple[str, ...]) -> Operation[list[Counted]]:
    """What those of these apps that there are stand in the list by."""
    values: dict[str, Value] = {f"app{n}": app_id for n, app_id in enumerate(app_ids)}
    names = ", ".join(f":{name}" for name in values) or "''"
    return (
        yield from many(
            "SELECT id AS app_id, counted_users AS users, counted_calls AS calls, counted_use AS used FROM apps"
            f" WHERE org_id = :org_id AND id IN ({names}) LIMIT :limit",
            Counted,
            org_id=org_id,
            limit=max(1, len(values)),
            **values,
        )
    )


def set_counted(org_id: str, found: Counted) -> Operation[None]:
    """List an app by these figures."""
    yield from execute(
        "UPDATE apps SET counted_users = :users, counted_calls = :calls, counted_use = :used"
        " WHERE org_id = :org_id AND id = :app_id",
        org_id=org_id,
        **msgspec.structs.asdict(found),
    )


def count_by_state(org_id: str) -> Operation[dict[str, int]]:
    """How many apps are in each state; a state without any is left out."""
    found = yield from many(
        "SELECT state, COUNT(*) AS n FROM apps WHERE org_id = :org_id GROUP BY state ORDER BY state LIMIT :limit",
        _counted,
        org_id=org_id,
        limit=len(readiness.STATES) + 1,
    )
    return dict(found)


def _counted(state: str, n: int) -> tuple[str, int]:
    return state, n


def index_some(now: int) -> Operation[bool]:
    """Index a batch of the apps that were last indexed by other rules. True: there may be more."""
    stale = yield from many(
        f"SELECT {COLUMNS} FROM apps WHERE indexed < :rules ORDER BY indexed LIMIT :limit",
        app,
        rules=INDEX_RULES,
        limit=INDEXED_AT_ONCE,
    )
    for each in stale:
        yield from execute(
            "UPDATE apps SET label_key = :label_key, state = :state, distribution = :distribution, indexed = :indexed"
            " WHERE org_id = :org_id AND id = :id",
            org_id=each.org_id,
            id=each.id,
            **_indexed(each.settings, each.policies),
        )
        yield from words.index(each.org_id, each.id, each.settings)
    return len(stale) == INDEXED_AT_ONCE


def remove(org_id: str, app_id: str, revision: int) -> Operation[bool]:
    """Take an app out of the registry. True for exactly one caller, and only while it is as it was read."""
    removed = yield from one(
        "DELETE FROM apps WHERE org_id = :org_id AND id = :app_id AND revision = :revision RETURNING id AS value",
        text,
        org_id=org_id,
        app_id=app_id,
        revision=revision,
    )
    return removed is not None


def set_page_link(org_id: str, app_id: str, page_link: int) -> Operation[None]:
    """Which link leads to the app's page for its users; not above 0 for none."""
    yield from execute(
        "UPDATE apps SET page_link = :page_link WHERE org_id = :org_id AND id = :app_id",
        page_link=page_link,
        org_id=org_id,
        app_id=app_id,
    )


def save(
    org_id: str, app_id: str, *, revision: int, settings: Settings, policies: Policies, now: int
) -> Operation[ExternalClientApp]:
    """Write the next revision of an app. One UPDATE decides between two editors.

    Raises ``Refused`` when the app is gone, or was changed since the caller read ``revision``.
    """
    saved = yield from one(
        "UPDATE apps SET settings = :settings, policies = :policies, label_key = :label_key, state = :state,"
        " distribution = :distribution, indexed = :indexed, updated_at = :now, revision = revision + 1"
        f" WHERE org_id = :org_id AND id = :app_id AND revision = :revision RETURNING {COLUMNS}",
        app,
        settings=_json(settings),
        policies=_json(policies),
        **_indexed(settings, policies),
        now=now,
        org_id=org_id,
        app_id=app_id,
        revision=revision,
    )
    if saved is None:
        raise Refused(_("This app was changed by someone else since you opened it. Reload to see their version."))
    yield from words.index(org_id, app_id, settings)
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
        raise Refused(_("This app is gone."))
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
