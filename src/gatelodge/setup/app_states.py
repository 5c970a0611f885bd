"""An app's state in a word, with a shape and a colour, and why."""

import msgspec

from gatelodge.core.apps import readiness
from gatelodge.core.apps.readiness import Check
from gatelodge.core.apps.registry import ExternalClientApp
from gatelodge.words import _, mark


class Status(msgspec.Struct, frozen=True):
    """A word, its colour (``kind``: "ok", "warn" or "") and its shape; and why, as a sentence."""

    kind: str
    symbol: str
    word: str
    why: str = ""


WORDS = {
    readiness.READY: Status("ok", "check", mark("Ready")),
    readiness.ATTENTION: Status("warn", "warn", mark("Needs attention")),
    readiness.UNREADY: Status("warn", "warn", mark("Not ready for MCP")),
    readiness.DISABLED: Status("", "pause", mark("Disabled")),
}
"""One row for each state that an app by itself can be in."""


def of_checks(app: ExternalClientApp, checks: tuple[Check, ...], *, is_propagating: bool) -> Status:
    """Ready, or what keeps the app from it."""
    if not app.policies.is_enabled:
        return _said(readiness.DISABLED)
    if is_propagating:
        return Status("warn", "clock", _("Propagating"))
    unmet = [check for check in checks if not check.is_met]
    if needed := next((check for check in unmet if check.is_needed), None):
        return _said(readiness.UNREADY, needed.unmet)
    return _said(readiness.ATTENTION, unmet[0].unmet) if unmet else _said(readiness.READY)


def _said(state: str, why: str = "") -> Status:
    return Status(WORDS[state].kind, WORDS[state].symbol, _(WORDS[state].word), why)
