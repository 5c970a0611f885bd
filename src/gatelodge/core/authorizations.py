"""What one user lets one app do: one live row per org, user and app. Consent creates or widens it, ending it ends
everything under it. Also the authorization requests that wait for the user's answer.
"""

import msgspec

from gatelodge.core import audit
from gatelodge.core.errors import Refused
from gatelodge.core.operation import Operation, Value, announce, execute, many, number, one, remove_some, text

HELD_FOR = 600
"""Seconds that a request waits for its user."""
MOST_HELD_PER_ADDRESS = 200
MOST_ENDED = 1_000_000
PAGE = 500
MOST_SHOWN = 500


class Authorization(msgspec.Struct, frozen=True, kw_only=True):
    """The live authorization of an app by a user, with everything it ever covered since it began."""

    id: str
    org_id: str
    user_id: str
    app_id: str
    scopes: tuple[str, ...]
    resources: tuple[str, ...]

    def covers(self, scopes: tuple[str, ...], resource: str) -> bool:
        """Whether nothing new is asked for."""
        return set(scopes) <= set(self.scopes) and resource in self.resources

    def widened(self, scopes: tuple[str, ...], resource: str) -> "Authorization":
        """The same with these scopes and this resource ("" for none) as well."""
        return msgspec.structs.replace(
            self,
            scopes=tuple(dict.fromkeys((*self.scopes, *scopes))),
            resources=tuple(dict.fromkeys(each for each in (*self.resources, resource) if each)),
        )


class HeldRequest(msgspec.Struct, frozen=True, kw_only=True):
    """An authorization request that waits: bound to the browser that sent it by the digest of a cookie."""

    digest: str
    org_id: str
    client_id: str
    request: str
    created_at: int


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A live authorization as its user sees it."""

    id: str
    app_id: str
    scopes: tuple[str, ...]
    resources: tuple[str, ...]
    created_at: int


def shown(*, scopes: str, resources: str, **columns: object) -> Shown:
    """A ``Shown`` from its row."""
    return msgspec.convert({**columns, "scopes": scopes.split(), "resources": resources.split()}, Shown)


def authorization(*, scopes: str, resources: str, **columns: object) -> Authorization:
    """An ``Authorization`` from its row."""
    return msgspec.convert({**columns, "scopes": scopes.split(), "resources": resources.split()}, Authorization)


COLUMNS = "id, org_id, user_id, app_id, scopes, resources"


def is_live_sql(column: str) -> str:
    """A condition for another module's statement: the authorization that this column names has not ended."""
    return f"EXISTS (SELECT 1 FROM authorizations z WHERE z.id = {column} AND z.ended_at IS NULL)"


def find_live(org_id: str, user_id: str, app_id: str) -> Operation[Authorization | None]:
    """What this user lets this app do now."""
    return (
        yield from one(
            f"SELECT {COLUMNS} FROM authorizations WHERE org_id = :org_id AND user_id = :user_id"
            " AND app_id = :app_id AND ended_at IS NULL",
            authorization,
            org_id=org_id,
            user_id=user_id,
            app_id=app_id,
        )
    )


def consent(
    *,
    id: str,
    org_id: str,
    user_id: str,
    app_id: str,
    scopes: tuple[str, ...],
    resource: str,
    now: int,
    client: str = "",
) -> Operation[Authorization]:
    """The user said yes: the live authorization, made or widened. ``client``: who asked, for the audit; "": told elsewhere.
    Without scopes and resource nothing is widened: an administrator approved, and who comes to consent is still
    asked. The row is locked: two widen in turn.
    """
    held = yield from one(
        f"INSERT INTO authorizations ({COLUMNS}, created_at, updated_at)"
        " VALUES (:id, :org_id, :user_id, :app_id, '', '', :now, :now)"
        " ON CONFLICT (org_id, user_id, app_id) WHERE ended_at IS NULL DO UPDATE SET updated_at = :now"
        f" RETURNING {COLUMNS}",
        authorization,
        id=id,
        org_id=org_id,
        user_id=user_id,
        app_id=app_id,
        now=now,
    )
    assert held is not None  # an upsert always answers with its row
    widened = held.widened(scopes, resource)
    yield from execute(
        "UPDATE authorizations SET scopes = :scopes, resources = :resources WHERE org_id = :org_id AND id = :id",
        scopes=" ".join(widened.scopes),
        resources=" ".join(widened.resources),
        org_id=org_id,
        id=held.id,
    )
    if client:
        yield from _given(held, widened, {"client": client, "scopes": scopes, "resource": resource}, now)
    return widened


def _given(before: Authorization, after: Authorization, said: dict[str, object], now: int) -> Operation[None]:
    grown = audit.changes({"scopes": before.scopes}, {"scopes": after.scopes})
    yield from audit.record(
        after.org_id, now * 1000, after.user_id, "user:consent:give", after.app_id, {**said, **grown}
    )


def declined(
    org_id: str, user_id: str, app_id: str, *, client_id: str, scopes: tuple[str, ...], now: int
) -> Operation[None]:
    """Write down that the user said no to what a client asked for."""
    said: dict[str, object] = {"client": client_id, "scopes": scopes}
    yield from audit.record(org_id, now * 1000, user_id, "user:consent:decline", app_id, said)


def end(org_id: str, authorization_id: str, now: int) -> Operation[bool]:
    """End an authorization and with it every connection under it. True for exactly one caller."""
    ended = yield from one(
        "UPDATE authorizations SET ended_at = :now WHERE org_id = :org_id AND id = :id AND ended_at IS NULL"
        " RETURNING id AS value",
        text,
        now=now,
        org_id=org_id,
        id=authorization_id,
    )
    if ended is None:
        return False
    yield from announce(org_id, "authorization", authorization_id)
    return True


def end_before(org_id: str, before: int, now: int, *, unless: str) -> Operation[bool]:
    """End a page of the authorizations that were last agreed to before this time (epoch seconds), except where the
    condition ``unless`` of another module holds. True: there may be more.
    """
    page = yield from many(
        "SELECT id AS value FROM authorizations WHERE org_id = :org_id AND ended_at IS NULL"
        f" AND updated_at < :before AND NOT {unless} ORDER BY id LIMIT :limit",
        text,
        org_id=org_id,
        before=before,
        limit=PAGE,
    )
    for authorization_id in page:
        _ = yield from end(org_id, authorization_id, now)
    return len(page) == PAGE


def end_of_app(org_id: str, app_id: str, now: int) -> Operation[bool]:
    """End a page of what users let this app do. True: there may be more."""
    page = yield from many(
        "SELECT id AS value FROM authorizations WHERE org_id = :org_id AND app_id = :app_id AND ended_at IS NULL"
        " ORDER BY id LIMIT :limit",
        text,
        org_id=org_id,
        app_id=app_id,
        limit=PAGE,
    )
    for authorization_id in page:
        _ = yield from end(org_id, authorization_id, now)
    return len(page) == PAGE


def count_by_app(org_id: str, app_ids: tuple[str, ...]) -> Operation[dict[str, int]]:
    """How many users let each of these apps do something now."""
    values: dict[str, Value] = {f"app{n}": app_id for n, app_id in enumerate(app_ids)}
    if not values:
        return {}
    names = ", ".join(f":{name}" for name in values)
    sql = (
        "SELECT app_id, COUNT(*) AS n FROM authorizations WHERE org_id = :org_id AND ended_at IS NULL"
        f" AND app_id IN ({names}) GROUP BY app_id LIMIT :limit"
    )
    return dict((yield from many(sql, _counted, org_id=org_id, limit=len(app_ids), **values)))


def apps_left_since(org_id: str, then: int, *, limit: int) -> Operation[list[str]]:
    """Apps that somebody took back since then (epoch seconds) what they had allowed."""
    sql = (
        "SELECT DISTINCT app_id AS value FROM authorizations WHERE ended_at >= :then AND org_id = :org_id LIMIT :limit"
    )
    return (yield from many(sql, text, org_id=org_id, then=then, limit=limit))


def _counted(app_id: str, n: int) -> tuple[str, int]:
    return app_id, n


def of_user(org_id: str, user_id: str) -> Operation[list[Shown]]:
    """What the user lets apps do, the oldest first."""
    return (
        yield from many(
            "SELECT id, app_id, scopes, resources, created_at FROM authorizations WHERE org_id = :org_id"
            " AND user_id = :user_id AND ended_at IS NULL ORDER BY created_at, id LIMIT :limit",
            shown,
            org_id=org_id,
            user_id=user_id,
            limit=MOST_SHOWN,
        )
    )


class OfApp(msgspec.Struct, frozen=True, kw_only=True):
    """A live authorization of an app, as an administrator sees it."""

    id: str
    user_id: str
    scopes: tuple[str, ...]
    created_at: int
    updated_at: int


def of_app_row(*, scopes: str, **columns: object) -> OfApp:
    """An ``OfApp`` from its row."""
    return msgspec.convert({**columns, "scopes": scopes.split()}, OfApp)


def of_app(
    org_id: str, app_id: str, *, user_id: str = "", after: tuple[int, str] | None = None, limit: int
) -> Operation[list[OfApp]]:
    """Who lets this app act, or whether this one user does: the newest first, after the place given (when it was agreed
    to, and its id).
    """
    conditions = "" if after is None else " AND (created_at, id) < (:after, :after_id)"
    conditions += " AND user_id = :user_id" if user_id else ""
    return (
        yield from many(
            "SELECT id, user_id, scopes, created_at, updated_at FROM authorizations WHERE org_id = :org_id"
            f" AND app_id = :app_id AND ended_at IS NULL{conditions} ORDER BY created_at DESC, id DESC LIMIT :limit",
            of_app_row,
            org_id=org_id,
            app_id=app_id,
            limit=limit,
            **({"user_id": user_id} if user_id else {}),
            **({"after": after[0], "after_id": after[1]} if after else {}),
        )
    )


def _end_of(org_id: str, user_id: str, authorization_id: str, now: int) -> Operation[str | None]:
    """End what this user allowed, for exactly one caller, and say which app it was. None: there was nothing to end."""
    app_id = yield from one(
        "SELECT app_id AS value FROM authorizations WHERE org_id = :org_id AND id = :id AND user_id = :user_id",
        text,
        org_id=org_id,
        id=authorization_id,
        user_id=user_id,
    )
    return app_id if app_id is not None and (yield from end(org_id, authorization_id, now)) else None


def end_own(org_id: str, user_id: str, authorization_id: str, now: int) -> Operation[bool]:
    """The user takes back what they allowed an app. True for exactly one caller; another user's is not found."""
    app_id = yield from _end_of(org_id, user_id, authorization_id, now)
    if app_id is None:
        return False
    yield from audit.record(org_id, now * 1000, user_id, "user:authorization:end", authorization_id, {"app": app_id})
    return True


def end_by_administrator(org_id: str, user_id: str, authorization_id: str, *, actor: str, now: int) -> Operation[bool]:
    """An administrator takes back what this user allowed an app. True for exactly one caller; another user's is not
    found.
    """
    app_id = yield from _end_of(org_id, user_id, authorization_id, now)
    if app_id is None:
        return False
    details: dict[str, object] = {"user": user_id, "app": app_id}
    yield from audit.record(org_id, now * 1000, actor, "setup:authorization:end", authorization_id, details)
    return True


def ended_since(then: int) -> Operation[list[str]]:
    """The authorizations of every org that ended at or after ``then``: a node loads them before it is ready."""
    return (
        yield from many(
            "SELECT id AS value FROM authorizations WHERE ended_at >= :then ORDER BY ended_at DESC LIMIT :limit",
            text,
            then=then,
            limit=MOST_ENDED,
        )
    )


def hold(
    *, digest: str, org_id: str, client_id: str, browser: str, address: str, request: str, now: int
) -> Operation[None]:
    """Keep a request until its user answers, at most 10 minutes.

    Raises ``Refused`` when this address already has too many waiting.
    """
    _ = yield from forget_held(now)
    waiting = yield from one(
        "SELECT COUNT(*) AS n FROM held_requests WHERE org_id = :org_id AND address = :address",
        number,
        org_id=org_id,
        address=address,
    )
    if (waiting or 0) >= MOST_HELD_PER_ADDRESS:
        raise Refused(
            f"{waiting} sign-ins from this address are waiting for an answer, which is as many as are kept;"
            " finish one of them or wait 10 minutes"
        )
    yield from execute(
        "INSERT INTO held_requests (digest, org_id, client_id, browser, address, request, created_at, expires_at)"
        " VALUES (:digest, :org_id, :client_id, :browser, :address, :request, :now, :expires_at)",
        digest=digest,
        org_id=org_id,
        client_id=client_id,
        browser=browser,
        address=address,
        request=request,
        now=now,
        expires_at=now + HELD_FOR,
    )


def forget_held(now: int) -> Operation[bool]:
    """Remove some of the requests that nobody answered in time. True: there may be more."""
    return (
        yield from remove_some(
            "DELETE FROM held_requests WHERE digest IN (SELECT digest FROM held_requests WHERE expires_at <= :now"
            " ORDER BY expires_at LIMIT :limit) RETURNING digest",
            now=now,
        )
    )


def drop_held(org_id: str, before: int) -> Operation[None]:
    """Forget every request that came before this time (epoch seconds): it must be sent again."""
    yield from execute(
        "DELETE FROM held_requests WHERE org_id = :org_id AND created_at < :before", org_id=org_id, before=before
    )


def find_held(org_id: str, digest: str, browser: str, now: int) -> Operation[HeldRequest | None]:
    """The waiting request with this id, for the browser that sent it and no other."""
    return (
        yield from one(
            "SELECT digest, org_id, client_id, request, created_at FROM held_requests WHERE digest = :digest"
            " AND org_id = :org_id AND browser = :browser AND expires_at > :now",
            HeldRequest,
            digest=digest,
            org_id=org_id,
            browser=browser,
            now=now,
        )
    )


def release_held(org_id: str, digest: str, browser: str, now: int) -> Operation[bool]:
    """The user answered: the request is gone. True for exactly one caller."""
    released = yield from one(
        "DELETE FROM held_requests WHERE digest = :digest AND org_id = :org_id AND browser = :browser"
        " AND expires_at > :now RETURNING digest AS value",
        text,
        digest=digest,
        org_id=org_id,
        browser=browser,
        now=now,
    )
    return released is not None
