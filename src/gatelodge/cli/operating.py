"""The operator's verbs: signing keys, users who leave, Connected Apps, and revoking by time."""

from datetime import UTC, datetime
from typing import Any

from gatelodge.cli.verb import ACTOR, NotFound, Verb, run_audited
from gatelodge.core import connected_apps, deactivation, keys, orgs, revoking, users
from gatelodge.core.connected_apps import ConnectedApp
from gatelodge.core.errors import Refused
from gatelodge.core.keys import SigningKey
from gatelodge.core.orgs import Org
from gatelodge.core.users import User
from gatelodge.setup.signing_keys import rotate
from gatelodge.web.site import Site


async def keys_list(site: Site, org: Org, arguments: dict[str, Any]) -> object:
    """The org's published keys, with what each of them does now."""
    now = site.clock.now()
    found = await site.store.read(keys.of_org, org.id, now)
    signing = keys.signing(found, now).kid if found else ""
    return [_key(key, signing, now) for key in found]


async def keys_rotate(site: Site, org: Org, arguments: dict[str, Any]) -> object:
    """Publish a fresh key. It signs once no cache can lack it, or at once. Raises ``Refused``."""
    algorithm = arguments["algorithm"] or org.signing_algorithm
    if algorithm not in keys.ALGORITHMS:
        raise Refused(f"{algorithm!r} is not one of {', '.join(keys.ALGORITHMS)}", "algorithm")
    fresh = await rotate(site, org, algorithm, is_at_once=arguments["now"], actor=ACTOR)
    return _key(fresh, fresh.kid if arguments["now"] else "", fresh.created_at)


def _key(key: SigningKey, signing: str, now: int) -> dict[str, Any]:
    state = "signs" if key.kid == signing else "is next" if key.signs_from > now else "verifies"
    return {
        "kid": key.kid,
        "algorithm": key.algorithm,
        "state": state,
        "signs_from": in_words(key.signs_from),
        "gone_at": in_words(key.gone_at) if key.gone_at else "",
    }


async def user_deactivate(site: Site, org: Org, arguments: dict[str, Any]) -> object:
    """Nobody signs in as this user, and all that works in their name ends. Raises ``NotFound``."""
    user = await _user_named(site, org, arguments["username"])
    await site.store.run(deactivation.deactivate, org.id, user.id, actor=ACTOR, now_ms=site.clock.now_ms())
    return {"id": user.id, "username": user.username, "is_active": False}


async def user_activate(site: Site, org: Org, arguments: dict[str, Any]) -> object:
    """The user may sign in again. Raises ``NotFound``."""
    user = await _user_named(site, org, arguments["username"])
    await site.store.run(deactivation.activate, org.id, user.id, actor=ACTOR, now_ms=site.clock.now_ms())
    return {"id": user.id, "username": user.username, "is_active": True}


async def user_delete(site: Site, org: Org, arguments: dict[str, Any]) -> object:
    """Remove a user for good. Raises ``NotFound``."""
    user = await _user_named(site, org, arguments["username"])
    _ = await site.store.run(deactivation.delete, org.id, user.id, actor=ACTOR, now_ms=site.clock.now_ms())
    return {"id": user.id, "username": user.username, "is_deleted": True}


async def _user_named(site: Site, org: Org, username: str) -> User:
    user = await site.store.read(users.find_by_username, org.id, username)
    if user is None:
        raise NotFound(f"this org has no user named {username!r}; gatelodge user list shows them")
    return user


async def app_import_connected(site: Site, org: Org, arguments: dict[str, Any]) -> object:
    """Know a Connected App by its key, so that its refusal can say what it is. Raises ``Refused``."""
    imported = ConnectedApp(
        org_id=org.id,
        client_id=arguments["consumer_key"],
        name=arguments["name"],
        imported_at=site.clock.now(),
    )
    said: dict[str, object] = {"name": imported.name}
    remember, key = connected_apps.remember, imported.client_id
    await run_audited(site, org, "app:connected_app:import", key, said, remember, imported)
    return {"name": imported.name, "consumer_key": imported.client_id}


async def revoke(site: Site, org: Org, arguments: dict[str, Any]) -> object:
    """End all that was let in before a time, in this org or in every one. Raises ``Refused``."""
    now = site.clock.now()
    before = moment(arguments["before"])
    if before > now:
        raise Refused(f"--before {arguments['before']} lies ahead: it is {in_words(now)} now", "before")
    every = await site.store.read(orgs.all_orgs, site.config.public_url) if arguments["every_org"] else [org]
    for each in every:
        while await site.store.run(revoking.revoke_before, each.id, before, actor=ACTOR, now_ms=site.clock.now_ms()):
            pass
    return [{"org": each.name or "(first)", "label": each.label, "revoked_before": in_words(before)} for each in every]


def moment(text: str) -> int:
    """A time such as 2026-11-24T10:00:00Z in epoch seconds. Raises ``Refused``."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise Refused(f"{text!r:.60} is not a time with its zone; write for example 2026-11-24T10:00:00Z", "before")
    return int(found.timestamp())


def in_words(seconds: int) -> str:
    """Epoch seconds as ``moment`` reads them."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


VERBS: dict[str, Verb] = {
    "app import-connected": app_import_connected,
    "keys list": keys_list,
    "keys rotate": keys_rotate,
    "revoke": revoke,
    "user activate": user_activate,
    "user deactivate": user_deactivate,
    "user delete": user_delete,
}
