"""What a change of an app's Settings or Policies does to those who use it now: asked before it is saved."""

import msgspec

from gatelodge.core import authorizations, connections, permissions, users
from gatelodge.core.apps import admission
from gatelodge.core.apps.policies import AT_ONCE, RELAX, UNTIL_REVOKED, Policies
from gatelodge.core.apps.registry import ExternalClientApp
from gatelodge.core.apps.settings import Settings
from gatelodge.core.operation import Operation

FOREVER = 2**40
"""Seconds; longer than any refresh token lasts."""


class Consequences(msgspec.Struct, frozen=True, kw_only=True):
    """What follows from one change. ``users`` have authorized the app and ``connections`` are live; the rest is empty
    where nothing follows.
    """

    users: int = 0
    connections: int = 0
    signed_out: bool = False
    lost_scopes: dict[str, int] = {}
    lost_callbacks: tuple[str, ...] = ()
    need_secret: bool = False
    lose_mcp: bool = False
    may_use_before: int = 0
    may_use_after: int = 0
    lost_servers: tuple[str, ...] = ()
    lost_tools: tuple[str, ...] = ()
    is_read_only: bool = False
    refresh_ends_sooner: bool = False
    narrower_addresses: bool = False
    run_as_ends: str = ""


def of_settings(app: ExternalClientApp, after: Settings) -> Operation[Consequences]:
    """What follows from saving these Settings."""
    before = app.settings
    authorized = (yield from authorizations.count_by_app(app.org_id, (app.id,))).get(app.id, 0)
    live = yield from connections.count_of_app(app.org_id, app.id)
    lost = [scope for scope in before.scopes if scope not in after.scopes]
    lost_scopes: dict[str, int] = {}
    for scope in lost:
        if n := (yield from connections.count_of_app(app.org_id, app.id, scope=scope)):
            lost_scopes[scope] = n
    newly_secret = after.require_secret_for_refresh_token_flow and not before.require_secret_for_refresh_token_flow
    return Consequences(
        users=authorized,
        connections=live,
        signed_out=bool(authorized) and before.oauth_enabled and not after.oauth_enabled,
        lost_scopes=lost_scopes,
        lost_callbacks=tuple(u for u in before.callback_urls if u not in after.callback_urls) if authorized else (),
        need_secret=newly_secret and bool(live),
        lose_mcp=before.jwt_access_tokens and not after.jwt_access_tokens and bool(live),
    )


def of_policies(app: ExternalClientApp, after: Policies) -> Operation[Consequences]:
    """What follows from saving these Policies."""
    before = app.policies
    authorized = (yield from authorizations.count_by_app(app.org_id, (app.id,))).get(app.id, 0)
    live = yield from connections.count_of_app(app.org_id, app.id)
    may_use = yield from _who_may_use(app, before, after)
    ranges_narrow = before.trusted_ranges != after.trusted_ranges or before.ip_relaxation == RELAX
    return Consequences(
        users=authorized,
        connections=live,
        signed_out=bool(authorized) and before.is_enabled and not after.is_enabled,
        may_use_before=may_use[0] if authorized else 0,
        may_use_after=may_use[1] if authorized else 0,
        lost_servers=_lost(before.mcp_servers, after.mcp_servers) if live else (),
        lost_tools=_lost(before.mcp_tools, after.mcp_tools) if live else (),
        is_read_only=after.mcp_read_only and not before.mcp_read_only and bool(live),
        refresh_ends_sooner=bool(live) and _lasts(after) < _lasts(before),
        narrower_addresses=bool(live and after.trusted_ranges) and ranges_narrow and after.ip_relaxation != RELAX,
        run_as_ends=before.run_as if before.client_credentials and _works_otherwise(before, after) else "",
    )


def _who_may_use(app: ExternalClientApp, before: Policies, after: Policies) -> Operation[tuple[int, int]]:
    """How many users may use the app under each of the two."""
    if (before.permitted_users, before.permission_sets) == (after.permitted_users, after.permission_sets):
        return 0, 0
    known = yield from permissions.of_org(app.org_id)
    scopes = app.settings.scopes
    was = yield from users.count_who_hold(app.org_id, admission.groups(before, scopes, known))
    will = yield from users.count_who_hold(app.org_id, admission.groups(after, scopes, known))
    return was, will


def _lost(before: tuple[str, ...] | None, after: tuple[str, ...] | None) -> tuple[str, ...]:
    """What was allowed and is so no more; of "every one" to a choice, "every other one" is said."""
    if after is None or before == after:
        return ()
    return ("*",) if before is None else tuple(each for each in before if each not in after)


def _lasts(policies: Policies) -> int:
    """How long an unused refresh token lasts at most, in seconds."""
    if policies.refresh_token_policy == AT_ONCE:
        return 0
    return FOREVER if policies.refresh_token_policy == UNTIL_REVOKED else policies.refresh_seconds


def _works_otherwise(before: Policies, after: Policies) -> bool:
    return not after.client_credentials or before.run_as.lower() != after.run_as.lower()
