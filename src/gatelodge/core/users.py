"""Named users: who signs in. What they may do is the sum of their permission sets (``permissions``)."""

import re
from typing import Literal, TypeAlias

import msgspec

from gatelodge.core import permissions, second_factors
from gatelodge.core.errors import Refused
from gatelodge.core.operation import Operation, Value, announce, execute, many, number, one, text
from gatelodge.words import _

USERNAME_SHAPE = re.compile(r"[^\s@\x00-\x1f\x7f]{1,64}@[A-Za-z0-9.-]{1,63}")


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A person with a name of their own. ``password_is_seeded``: the password was derived, its owner never set one.

    ``time_zone`` is IANA's name; ``language`` (BCP 47) and ``theme`` ("light", "dark") are "" where the browser decides.
    ``has_shortcuts``: single keys of the keyboard act on Setup's pages (WCAG 2.1.4).
    """

    id: str
    org_id: str
    username: str
    name: str
    email: str
    time_zone: str
    is_active: bool
    password_is_seeded: bool
    created_at: int
    language: str = ""
    theme: str = ""
    has_shortcuts: bool = True


class Credential(msgspec.Struct, frozen=True):
    """What sign-in compares: never shown, never logged."""

    user_id: str
    password_hash: str
    is_active: bool

    def __repr__(self) -> str:
        return f"Credential({self.user_id})"


COLUMNS = (
    "id, org_id, username, name, email, time_zone, is_active, password_is_seeded, created_at, language, theme,"
    " has_shortcuts"
)


def user(*, is_active: int, password_is_seeded: int, has_shortcuts: int, **columns: object) -> User:
    """A ``User`` from its row."""
    flags = {
        "is_active": bool(is_active),
        "password_is_seeded": bool(password_is_seeded),
        "has_shortcuts": bool(has_shortcuts),
    }
    return msgspec.convert({**columns, **flags}, User)


def credential(id: str, password_hash: str, is_active: int) -> Credential:
    """A ``Credential`` from its row."""
    return Credential(id, password_hash, bool(is_active))


def create(
    *,
    id: str,
    org_id: str,
    username: str,
    name: str,
    email: str,
    password_hash: str,
    permission_sets: tuple[str, ...],
    now: int,
    time_zone: str = "UTC",
    language: str = "",
    password_is_seeded: bool = False,
) -> Operation[User]:
    """Make a user with these permission sets (by API name). Raises ``Refused`` when the username is taken or malformed."""
    _check_shape(username)
    made = yield from one(
        "INSERT INTO users (id, org_id, username, username_key, name, email, time_zone, language, password_hash,"
        " is_active, password_is_seeded, created_at) VALUES (:id, :org_id, :username, :username_key, :name, :email, :time_zone,"
        f" :language, :password_hash, 1, :seeded, :now) ON CONFLICT (org_id, username_key) DO NOTHING RETURNING {COLUMNS}",
        user,
        id=id,
        org_id=org_id,
        username=username,
        username_key=username.lower(),
        name=name,
        email=email,
        time_zone=time_zone,
        language=language,
        password_hash=password_hash,
        seeded=int(password_is_seeded),
        now=now,
    )
    if made is None:
        raise _taken(username)
    for api_name in permission_sets:
        yield from permissions.assign(org_id, id, api_name)
    return made


def _taken(username: str) -> Refused:
    return Refused(
        _("the username {username!r} is taken in this org; choose another").format(username=username), "username"
    )


def _check_shape(username: str) -> None:
    if not USERNAME_SHAPE.fullmatch(username):
        raise Refused(
            _("the username {username!r} must have the form of an e-mail address").format(username=username),
            "username",
        )


def find(org_id: str, user_id: str) -> Operation[User | None]:
    """The user with this id."""
    return (
        yield from one(
            f"SELECT {COLUMNS} FROM users WHERE org_id = :org_id AND id = :user_id",
            user,
            org_id=org_id,
            user_id=user_id,
        )
    )


def find_by_username(org_id: str, username: str) -> Operation[User | None]:
    """The user with this username, in any case."""
    return (
        yield from one(
            f"SELECT {COLUMNS} FROM users WHERE org_id = :org_id AND username_key = :key",
            user,
            org_id=org_id,
            key=username.lower(),
        )
    )


def find_credential(org_id: str, username: str) -> Operation[Credential | None]:
    """What a sign-in under this username (any case) is compared with."""
    return (
        yield from one(
            "SELECT id, password_hash, is_active FROM users WHERE org_id = :org_id AND username_key = :key",
            credential,
            org_id=org_id,
            key=username.lower(),
        )
    )


def in_order(org_id: str, *, after: str = "", limit: int = 200) -> Operation[list[User]]:
    """The org's users by username, the page after the username given."""
    return (
        yield from many(
            f"SELECT {COLUMNS} FROM users WHERE org_id = :org_id AND username_key > :after"
            " ORDER BY username_key LIMIT :limit",
            user,
            org_id=org_id,
            after=after.lower(),
            limit=limit,
        )
    )


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which users a list shows, and in which order. ``text`` stands in the username, name or e-mail address in any case;
    None and "" leave a question open.
    """

    text: str = ""
    is_active: bool | None = None
    permission_set: str = ""
    has_factor: bool | None = None
    order: Literal["username", "name", "newest"] = "username"


ORDERS = {"username": ("username_key", ">", ""), "name": ("name", ">", ""), "newest": ("created_at", "<", " DESC")}
"""The column of each order, how what comes after compares, and its direction. Beside it, the id keeps places apart."""


def listed(org_id: str, wanted: Wanted, *, after: tuple[str | int, str] | None, limit: int) -> Operation[list[User]]:
    """A page of the users that are wanted, after the place given: the order's value and the id of the user before."""
    column, beyond, direction = ORDERS[wanted.order]
    conditions, values = ["org_id = :org_id"], dict[str, Value]()
    if after is not None:
        conditions.append(f"({column}, id) {beyond} (:after, :after_id)")
        values |= {"after": after[0], "after_id": after[1]}
    if wanted.text:
        parts = " OR ".join(f"LOWER({each}) LIKE :text ESCAPE '!'" for each in ("username_key", "name", "email"))
        conditions.append(f"({parts})")
        escaped = wanted.text.lower().replace("!", "!!").replace("%", "!%").replace("_", "!_")
        values["text"] = f"%{escaped}%"
    if wanted.is_active is not None:
        conditions.append("is_active = :is_active")
        values["is_active"] = int(wanted.is_active)
    if wanted.permission_set:
        condition, named = permissions.holds_any_sql("users.id", 0, (wanted.permission_set,))
        conditions.append(condition)
        values |= named
    if wanted.has_factor is not None:
        conditions.append(("" if wanted.has_factor else "NOT ") + second_factors.has_any_sql("users.id"))
    return (
        yield from many(
            f"SELECT {COLUMNS} FROM users WHERE {' AND '.join(conditions)} ORDER BY {column}{direction}, id{direction}"
            " LIMIT :limit",
            user,
            org_id=org_id,
            limit=limit,
            **values,
        )
    )


def by_id(org_id: str, user_ids: tuple[str, ...]) -> Operation[dict[str, User]]:
    """These users of the org, by their ids."""
    values: dict[str, Value] = {f"user_{n}": user_id for n, user_id in enumerate(user_ids)}
    found = yield from many(
        f"SELECT {COLUMNS} FROM users WHERE org_id = :org_id AND id IN"
        f" ({', '.join(f':{name}' for name in values) or 'NULL'}) LIMIT :limit",
        user,
        org_id=org_id,
        limit=max(1, len(values)),
        **values,
    )
    return {each.id: each for each in found}


def change(org_id: str, user_id: str, *, name: str, email: str, language: str, time_zone: str) -> Operation[None]:
    """What an administrator writes about a person; the username stays, since apps and providers know the user by it."""
    yield from execute(
        "UPDATE users SET name = :name, email = :email, language = :language, time_zone = :time_zone"
        " WHERE org_id = :org_id AND id = :user_id",
        name=name,
        email=email,
        language=language,
        time_zone=time_zone,
        org_id=org_id,
        user_id=user_id,
    )
    yield from announce(org_id, "user", user_id)


Groups: TypeAlias = tuple[tuple[str, ...], ...]
"""Permission sets by API name: one of each group is held."""


def who_hold(org_id: str, groups: Groups, *, after: str = "", limit: int = 200) -> Operation[list[User]]:
    """The active users who hold a permission set of every group, by username, the page after the username given."""
    condition, values = _holding(groups)
    return (
        yield from many(
            f"SELECT {COLUMNS} FROM users WHERE org_id = :org_id AND username_key > :after AND {condition}"
            " ORDER BY username_key LIMIT :limit",
            user,
            org_id=org_id,
            after=after.lower(),
            limit=limit,
            **values,
        )
    )


def count_who_hold(org_id: str, groups: Groups) -> Operation[int]:
    """How many active users hold a permission set of every group."""
    condition, values = _holding(groups)
    sql = f"SELECT COUNT(*) AS n FROM users WHERE org_id = :org_id AND {condition}"
    return (yield from one(sql, number, org_id=org_id, **values)) or 0


def _holding(groups: Groups) -> tuple[str, dict[str, Value]]:
    conditions, values = ["is_active = 1"], dict[str, Value]()
    for n, group in enumerate(groups):
        condition, named = permissions.holds_any_sql("users.id", n, group)
        conditions.append(condition)
        values |= named
    return " AND ".join(conditions), values


def set_password(org_id: str, user_id: str, password_hash: str) -> Operation[None]:
    """A password chosen by its owner takes the place of the seeded one."""
    yield from execute(
        "UPDATE users SET password_hash = :password_hash, password_is_seeded = 0"
        " WHERE org_id = :org_id AND id = :user_id",
        password_hash=password_hash,
        org_id=org_id,
        user_id=user_id,
    )


def rename(org_id: str, user_id: str, name: str) -> Operation[None]:
    """The person is called otherwise now."""
    yield from execute(
        "UPDATE users SET name = :name WHERE org_id = :org_id AND id = :user_id",
        name=name,
        org_id=org_id,
        user_id=user_id,
    )
    yield from announce(org_id, "user", user_id)


def prefer(
    org_id: str, user_id: str, *, language: str, theme: str, time_zone: str, has_shortcuts: bool
) -> Operation[None]:
    """What the person chose for their own pages; "" leaves language and theme to the browser."""
    yield from execute(
        "UPDATE users SET language = :language, theme = :theme, time_zone = :time_zone, has_shortcuts = :has_shortcuts"
        " WHERE org_id = :org_id AND id = :user_id",
        language=language,
        theme=theme,
        time_zone=time_zone,
        has_shortcuts=int(has_shortcuts),
        org_id=org_id,
        user_id=user_id,
    )


def matching(org_id: str, text: str, *, limit: int) -> Operation[list[User]]:
    """The first users whose username or name holds this text, in any case, by username."""
    escaped = text.lower().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return (
        yield from many(
            f"SELECT {COLUMNS} FROM users WHERE org_id = :org_id AND (username_key LIKE :pattern ESCAPE '\\'"
            " OR lower(name) LIKE :pattern ESCAPE '\\') ORDER BY username_key LIMIT :limit",
            user,
            org_id=org_id,
            pattern=f"%{escaped}%",
            limit=limit,
        )
    )


def set_active(org_id: str, user_id: str, *, is_active: bool) -> Operation[None]:
    """The flag alone: a deactivated user's tokens are refused everywhere within a second, and would be good again
    with the flag. Whoever deactivates somebody calls ``deactivation.deactivate``.
    """
    yield from execute(
        "UPDATE users SET is_active = :is_active WHERE org_id = :org_id AND id = :user_id",
        is_active=int(is_active),
        org_id=org_id,
        user_id=user_id,
    )
    yield from announce(org_id, "user", user_id)


def remove(org_id: str, user_id: str) -> Operation[bool]:
    """Delete a user with everything that is theirs alone. False: the org has no such user."""
    removed = yield from one(
        "DELETE FROM users WHERE org_id = :org_id AND id = :user_id RETURNING id AS value",
        text,
        org_id=org_id,
        user_id=user_id,
    )
    yield from announce(org_id, "user", user_id)
    return removed is not None


def is_active_sql(column: str) -> str:
    """A condition for another module's statement: the user that this column names is active."""
    return f"EXISTS (SELECT 1 FROM users u WHERE u.id = {column} AND u.is_active = 1)"
