"""OpenID providers whose users may sign in here, and which user each of their subjects is.

A subject is made a user at its first sign-in. A user who was here before is never taken over because of a name alone,
unless the administrator said that this provider's names can be trusted (``links_by_username``).
"""

import re

import msgspec

from gatelodge.core import audit, permissions, sessions, users
from gatelodge.core.errors import Refused
from gatelodge.core.operation import Operation, execute, many, one, text
from gatelodge.words import _

PURPOSE = "identity-provider"
"""Of the key under which the client secret is sealed, bound to ``row_name``."""
NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
MOST_PROVIDERS = 20
LONGEST_LABEL = 80
LONGEST_SUBJECT = 255
"""OpenID Connect Core §2: sub has at most 255 characters."""


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """How a provider's claims make a user.

    ``permission_sets`` are given to a new user; ``mapping`` gives a permission set (by API name) to those whose
    ``groups_claim`` holds the value, and takes it from the others, at every sign-in.
    """

    scopes: tuple[str, ...] = ("openid", "profile", "email")
    username_claim: str = "email"
    groups_claim: str = "groups"
    mapping: dict[str, str] = {}
    permission_sets: tuple[str, ...] = ()
    links_by_username: bool = False
    allows_private_addresses: bool = False


class IdentityProvider(msgspec.Struct, frozen=True, kw_only=True):
    """One provider of an org. ``issuer`` is compared byte for byte; the client secret is kept sealed."""

    id: str
    org_id: str
    name: str
    label: str
    issuer: str
    client_id: str
    sealed: bytes
    rules: Rules
    created_at: int

    def __repr__(self) -> str:
        return f"IdentityProvider({self.name}, {self.issuer})"


class Arrived(msgspec.Struct, frozen=True, kw_only=True):
    """Whom a provider vouches for: its subject, and what its claims say of the person."""

    subject: str
    username: str
    name: str
    email: str
    groups: tuple[str, ...] = ()


def row_name(org_id: str, name: str) -> str:
    """What a sealed client secret is bound to."""
    return f"{org_id}/{name}"


def provider(*, document: str, **columns: object) -> IdentityProvider:
    """An ``IdentityProvider`` from its row."""
    return IdentityProvider(**columns, rules=msgspec.json.decode(document, type=Rules))  # type: ignore[arg-type]


COLUMNS = "id, org_id, name, label, issuer, client_id, sealed, document, created_at"


def add(made: IdentityProvider) -> Operation[None]:
    """Let a provider's users sign in. Raises ``Refused`` for a name that is taken or a permission set nobody has."""
    if not NAME.fullmatch(made.name):
        raise Refused(
            _("The name {name!r:.60} must be 1 to 40 of a-z, 0-9 and - (in between)").format(name=made.name), "name"
        )
    if not 1 <= len(made.label) <= LONGEST_LABEL:
        raise Refused(
            _("the label has {n} characters; 1 to {longest_label} are allowed").format(
                n=len(made.label), longest_label=LONGEST_LABEL
            ),
            "label",
        )
    known = [each.api_name for each in (yield from permissions.of_org(made.org_id))]
    for named in (*made.rules.permission_sets, *made.rules.mapping.values()):
        if named not in known:
            raise Refused(
                _("this org has no permission set {named!r:.60}; it has {known}").format(
                    named=named, known=", ".join(known)
                ),
                "permission_sets",
            )
    row = msgspec.structs.asdict(made) | {"document": msgspec.json.encode(made.rules).decode()}
    del row["rules"]
    added = yield from one(
        f"INSERT INTO identity_providers ({COLUMNS}) VALUES (:id, :org_id, :name, :label, :issuer, :client_id, :sealed,"
        " :document, :created_at) ON CONFLICT (org_id, name) DO NOTHING RETURNING id AS value",
        text,
        **row,
    )
    if added is None:
        raise Refused(
            _("an identity provider named {name!r} exists already; remove it first").format(name=made.name), "name"
        )


def check_issuer(made: IdentityProvider) -> None:
    """Raises ``Refused`` for an issuer that can't be one: http is for private networks that the administrator allows."""
    is_http = made.issuer.startswith("http://") and made.rules.allows_private_addresses
    if not (made.issuer.startswith("https://") or is_http) or "?" in made.issuer or "#" in made.issuer:
        raise Refused(
            _(
                "the issuer {issuer!r:.120} must be an https URL without a query (http is for this machine"
                " alone, with --allow-private-addresses)"
            ).format(issuer=made.issuer),
            "issuer",
        )


class Count(msgspec.Struct, frozen=True):
    """How many users came by a provider."""

    provider_id: str
    users: int


def counts(org_id: str) -> Operation[dict[str, int]]:
    """How many users came by each provider of the org."""
    found = yield from many(
        "SELECT provider_id, COUNT(*) AS users FROM upstream_identities WHERE org_id = :org_id GROUP BY provider_id"
        " ORDER BY provider_id LIMIT :limit",
        Count,
        org_id=org_id,
        limit=MOST_PROVIDERS,
    )
    return {each.provider_id: each.users for each in found}


def of_org(org_id: str) -> Operation[list[IdentityProvider]]:
    """The org's providers by label."""
    return (
        yield from many(
            f"SELECT {COLUMNS} FROM identity_providers WHERE org_id = :org_id ORDER BY label, name LIMIT :limit",
            provider,
            org_id=org_id,
            limit=MOST_PROVIDERS,
        )
    )


def find(org_id: str, name: str) -> Operation[IdentityProvider | None]:
    """The provider of this name."""
    return (
        yield from one(
            f"SELECT {COLUMNS} FROM identity_providers WHERE org_id = :org_id AND name = :name",
            provider,
            org_id=org_id,
            name=name,
        )
    )


def remove(org_id: str, name: str) -> Operation[bool]:
    """Let nobody sign in through this provider any more, and end the sessions of those who did. Its users stay, without
    a way in of their own; what they let apps do stays with them.
    """
    found = yield from find(org_id, name)
    if found is None:
        return False
    yield from execute(
        "DELETE FROM upstream_identities WHERE org_id = :org_id AND provider_id = :id", org_id=org_id, id=found.id
    )
    yield from execute("DELETE FROM identity_providers WHERE org_id = :org_id AND id = :id", org_id=org_id, id=found.id)
    yield from sessions.end_of_provider(org_id, found.id)
    return True


def of_user(org_id: str, user_id: str) -> Operation[list[IdentityProvider]]:
    """The providers by which this user can sign in."""
    return (
        yield from many(
            f"SELECT {COLUMNS} FROM identity_providers p WHERE p.org_id = :org_id AND EXISTS (SELECT 1 FROM"
            " upstream_identities u WHERE u.org_id = p.org_id AND u.provider_id = p.id AND u.user_id = :user_id)"
            " ORDER BY label, name LIMIT :limit",
            provider,
            org_id=org_id,
            user_id=user_id,
            limit=MOST_PROVIDERS,
        )
    )


def arrive(
    via: IdentityProvider, who: Arrived, *, fresh_id: str, now: int, time_zone: str = "UTC"
) -> Operation[users.User]:
    """The user whom this subject is: known, linked, or made now under ``fresh_id``; name and permission sets follow
    the claims. ``time_zone`` is what a new user begins with. Raises ``Refused`` for a deactivated user and for a username that another user has.
    """
    user_id = yield from one(
        "SELECT user_id AS value FROM upstream_identities WHERE org_id = :org_id AND provider_id = :provider_id"
        " AND subject = :subject",
        text,
        org_id=via.org_id,
        provider_id=via.id,
        subject=who.subject,
    )
    user = (yield from users.find(via.org_id, user_id)) if user_id else None
    if user is None:
        user = yield from _first_time(via, who, fresh_id=fresh_id, now=now, time_zone=time_zone)
    if not user.is_active:
        raise Refused(
            _("{username} is deactivated in this org; an administrator activates users").format(username=user.username)
        )
    said: dict[str, object] = {}
    if who.name and who.name != user.name:
        yield from users.rename(via.org_id, user.id, who.name)
        said |= audit.changes({"name": user.name}, {"name": who.name})
    said |= yield from _follow_groups(via, who, user)
    if said:
        followed = {"provider": via.name, **said}
        yield from audit.record(via.org_id, now * 1000, user.id, "upstream:user:follow", user.id, followed)
    return (yield from users.find(via.org_id, user.id)) or user


def _first_time(
    via: IdentityProvider, who: Arrived, *, fresh_id: str, now: int, time_zone: str
) -> Operation[users.User]:
    known = yield from users.find_by_username(via.org_id, who.username)
    if known is not None and not via.rules.links_by_username:
        raise Refused(
            _(
                "a user {username!r:.80} was here before {label} said that this is you; an administrator of"
                " this org removes that user, or adds the provider with --link-by-username"
            ).format(username=who.username, label=via.label)
        )
    user = known or (
        yield from users.create(
            id=fresh_id,
            org_id=via.org_id,
            username=who.username,
            name=who.name or who.username,
            email=who.email or who.username,
            password_hash="",
            time_zone=time_zone,
            permission_sets=via.rules.permission_sets,
            now=now,
        )
    )
    yield from execute(
        "INSERT INTO upstream_identities (org_id, provider_id, subject, user_id, created_at)"
        " VALUES (:org_id, :provider_id, :subject, :user_id, :now)",
        org_id=via.org_id,
        provider_id=via.id,
        subject=who.subject,
        user_id=user.id,
        now=now,
    )
    what = "link" if known else "create"
    yield from audit.record(via.org_id, now * 1000, user.id, f"upstream:user:{what}", user.id, {"provider": via.name})
    return user


def _follow_groups(via: IdentityProvider, who: Arrived, user: users.User) -> Operation[dict[str, object]]:
    """Give and take the permission sets that the mapping names, and touch no others. What that changed."""
    held = {each.api_name for each in (yield from permissions.access_of(via.org_id, user.id)).sets}
    meant = {via.rules.mapping[group] for group in who.groups if group in via.rules.mapping}
    for api_name in sorted(set(via.rules.mapping.values())):
        if api_name in meant and api_name not in held:
            yield from permissions.assign(via.org_id, user.id, api_name)
        if api_name in held and api_name not in meant:
            yield from permissions.unassign(via.org_id, user.id, api_name)
    after = (held | meant) - (set(via.rules.mapping.values()) - meant)
    return audit.changes({"permission_sets": sorted(held)}, {"permission_sets": sorted(after)})
