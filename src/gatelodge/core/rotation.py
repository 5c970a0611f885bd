"""Making, staging and applying consumer secrets: every change is a revision that the nodes are handed at once."""

import msgspec

from gatelodge.core import audit, credentials, propagation
from gatelodge.core.apps import registry
from gatelodge.core.apps.registry import ExternalClientApp
from gatelodge.core.credentials import Credential
from gatelodge.core.operation import Operation


def make_secret(app: ExternalClientApp, secret_digest: str, *, actor: str, now_ms: int) -> Operation[None]:
    """Give the app's own key its first secret. Raises ``Refused`` when it has one."""
    advanced = yield from registry.advance(app.org_id, app.id)
    yield from credentials.set_secret(app.org_id, app.consumer_key, secret_digest, now_ms // 1000)
    yield from _write_down(app, "make", actor, now_ms)
    yield from _release(advanced, now_ms)


def stage(app: ExternalClientApp, staged: Credential, *, actor: str, now_ms: int) -> Operation[None]:
    """Make a second pair work beside the app's own. Raises ``Refused`` when one is staged already."""
    # The app's row comes first and is locked: of two pairs staged at once, the second finds the first.
    advanced = yield from registry.advance(app.org_id, app.id)
    yield from credentials.stage(staged, now_ms // 1000)
    yield from _write_down(app, "stage", actor, now_ms)
    yield from _release(advanced, now_ms)


def apply_staged(app: ExternalClientApp, *, actor: str, now_ms: int) -> Operation[ExternalClientApp]:
    """The staged pair becomes the app's own, and the old one stops working. Raises ``Refused`` when none is staged."""
    # Read again, since ``app`` may be older than the last rotation: the key to withdraw is the one it has now.
    before = yield from registry.advance(app.org_id, app.id)
    applied = yield from credentials.apply_staged(app.org_id, app.id, now_ms // 1000)
    rotated = msgspec.structs.replace(before, consumer_key=applied.client_id)
    yield from registry.set_consumer_key(app.org_id, app.id, applied.client_id)
    yield from _write_down(app, "apply", actor, now_ms)
    yield from propagation.withdraw(app.org_id, before.consumer_key)
    yield from _release(rotated, now_ms)
    return rotated


def discard_staged(app: ExternalClientApp, *, actor: str, now_ms: int) -> Operation[None]:
    """The staged pair stops working."""
    discarded = yield from credentials.discard_staged(app.org_id, app.id)
    if discarded is not None:
        yield from _write_down(app, "discard", actor, now_ms)
        yield from propagation.withdraw(app.org_id, discarded)


def _release(app: ExternalClientApp, now_ms: int) -> Operation[None]:
    """A secret bites at once, whatever the delay: it is no setting."""
    yield from propagation.release_app(app, now_ms=now_ms, delay=0)


def _write_down(app: ExternalClientApp, action: str, actor: str, now_ms: int) -> Operation[None]:
    yield from audit.record(app.org_id, now_ms, actor, f"app:secret:{action}", app.id, {})
