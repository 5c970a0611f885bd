"""Deleted apps: out of everybody's reach at once, and back within 30 days if somebody asks for it (decision 0043)."""

import msgspec

from gatelodge.core import audit, authorizations, credentials, propagation
from gatelodge.core.apps import registry
from gatelodge.core.apps.registry import ExternalClientApp
from gatelodge.core.credentials import Credential
from gatelodge.core.errors import Refused
from gatelodge.core.operation import Operation, execute, many, one, remove_some
from gatelodge.words import _

KEPT_FOR = 30 * 86_400
"""Seconds that a deleted app can be restored."""
MOST_SHOWN = 200


class Deleted(msgspec.Struct, frozen=True, kw_only=True):
    """An app as it was, with its consumer keys and the digests of their secrets."""

    app: ExternalClientApp
    pairs: list[Credential]
    deleted_by: str
    deleted_at: int

    @property
    def until(self) -> int:
        """When it is gone for good (epoch seconds)."""
        return self.deleted_at + KEPT_FOR


class _Document(msgspec.Struct, frozen=True):
    app: ExternalClientApp
    pairs: list[Credential]


def _deleted(document: str, deleted_by: str, deleted_at: int) -> Deleted:
    kept = msgspec.json.decode(document, type=_Document)
    return Deleted(app=kept.app, pairs=kept.pairs, deleted_by=deleted_by, deleted_at=deleted_at)


def delete(app: ExternalClientApp, *, actor: str, now_ms: int) -> Operation[None]:
    """Delete an app: no consumer key of it works any more, on any node. What users let it do is ended by
    ``end_access``, a page at a time; nothing of that can be used meanwhile. Raises ``Refused`` when it was changed or
    deleted since it was read.
    """
    pairs = yield from credentials.take_all(app.org_id, app.id)
    if not (yield from registry.remove(app.org_id, app.id, app.revision)):
        raise Refused(_("This app was changed or deleted by someone else since you opened it. Nothing was deleted."))
    yield from execute(
        "INSERT INTO deleted_apps (id, org_id, api_name_key, document, deleted_by, deleted_at)"
        " VALUES (:id, :org_id, :api_name_key, :document, :actor, :now)",
        id=app.id,
        org_id=app.org_id,
        api_name_key=app.settings.api_name.lower(),
        document=msgspec.json.encode(_Document(app, pairs)).decode(),
        actor=actor,
        now=now_ms // 1000,
    )
    for pair in pairs:
        yield from propagation.withdraw(app.org_id, pair.client_id)
    yield from audit.record(
        app.org_id, now_ms, actor, "app:settings:delete", app.id, {"api_name": app.settings.api_name}
    )


def end_access(org_id: str, app_id: str, now: int) -> Operation[bool]:
    """End a page of what users let a deleted app do. True: call again, there may be more."""
    return (yield from authorizations.end_of_app(org_id, app_id, now))


def restore(gone: Deleted, *, actor: str, now_ms: int) -> Operation[ExternalClientApp]:
    """Bring an app back with its keys and secrets. Its users connect anew: call ``end_access`` until nothing is left,
    before this. Raises ``Refused`` when its API Name is taken by now, or it was restored or purged already.
    """
    taken = yield from one(
        "DELETE FROM deleted_apps WHERE org_id = :org_id AND id = :id RETURNING document, deleted_by, deleted_at",
        _deleted,
        org_id=gone.app.org_id,
        id=gone.app.id,
    )
    if taken is None:
        raise Refused(_("This app is not among the deleted ones: it was restored already, or its 30 days are over."))
    # A link that was sent round before is not good again by itself.
    kept = msgspec.structs.replace(taken.app, revision=taken.app.revision + 1, page_link=-abs(taken.app.page_link))
    restored = yield from registry.create(kept)
    for pair in taken.pairs:
        if pair.expires_at is None or pair.expires_at > now_ms // 1000:
            yield from credentials.add(pair)
    yield from audit.record(
        kept.org_id, now_ms, actor, "app:settings:restore", kept.id, {"api_name": kept.settings.api_name}
    )
    yield from propagation.release_app(restored, now_ms=now_ms, delay=0)
    return restored


def find(org_id: str, app_id: str) -> Operation[Deleted | None]:
    """The deleted app with this id."""
    return (
        yield from one(
            "SELECT document, deleted_by, deleted_at FROM deleted_apps WHERE org_id = :org_id AND id = :id",
            _deleted,
            org_id=org_id,
            id=app_id,
        )
    )


def find_by_api_name(org_id: str, api_name: str) -> Operation[Deleted | None]:
    """The app of this API Name that was deleted last, in any case."""
    found = yield from many(
        "SELECT document, deleted_by, deleted_at FROM deleted_apps WHERE org_id = :org_id AND api_name_key = :key"
        " ORDER BY deleted_at DESC LIMIT :limit",
        _deleted,
        org_id=org_id,
        key=api_name.lower(),
        limit=1,
    )
    return found[0] if found else None


def of_org(org_id: str) -> Operation[list[Deleted]]:
    """The org's deleted apps, the last one first."""
    return (
        yield from many(
            "SELECT document, deleted_by, deleted_at FROM deleted_apps WHERE org_id = :org_id"
            " ORDER BY deleted_at DESC, id DESC LIMIT :limit",
            _deleted,
            org_id=org_id,
            limit=MOST_SHOWN,
        )
    )


def forget_old(now: int) -> Operation[bool]:
    """Remove some of the apps whose 30 days are over. True: there may be more."""
    return (
        yield from remove_some(
            "DELETE FROM deleted_apps WHERE id IN (SELECT id FROM deleted_apps WHERE deleted_at <= :then"
            " ORDER BY deleted_at LIMIT :limit) RETURNING id",
            then=now - KEPT_FOR,
        )
    )
