"""Who is asked about the calls of a tool that asks a person first: the user, or others, and then never silently the user."""

import msgspec

from gatelodge.core import audit
from gatelodge.core.errors import Refused
from gatelodge.core.operation import Operation, announce, execute, many
from gatelodge.core.permissions import APPROVE_CALLS, Access
from gatelodge.words import _

USER = ""
"""The user whose call it is."""
ANY_APPROVER = "*"
"""Whoever may approve calls; anything else is the API name of a permission set."""
SECONDS = 600
SHORTEST, LONGEST = 60, 86_400
MOST_RULES = 1000


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """``tool`` is "" for every tool of the server without a rule of its own; ``four_eyes``: the user is not their own
    approver; ``seconds`` are how long a question waits, and how long a yes is good.
    """

    tool: str = ""
    approvers: str = USER
    four_eyes: bool = True
    seconds: int = SECONDS


def rule(*, four_eyes: int, **columns: object) -> Rule:
    """A ``Rule`` from its row."""
    return msgspec.convert({**columns, "four_eyes": bool(four_eyes)}, Rule)


def of_server(org_id: str, server_id: str) -> Operation[dict[str, Rule]]:
    """The server's rules by tool."""
    found = yield from many(
        "SELECT tool, approvers, four_eyes, seconds FROM approval_rules WHERE org_id = :org_id AND"
        " server_id = :server_id ORDER BY tool LIMIT :limit",
        rule,
        org_id=org_id,
        server_id=server_id,
        limit=MOST_RULES,
    )
    return {each.tool: each for each in found}


def of_tool(org_id: str, server_id: str, tool: str) -> Operation[Rule]:
    """The rule for this tool: its own, else its server's, else the user is asked."""
    found = yield from of_server(org_id, server_id)
    return found.get(tool) or found.get("") or Rule()


def keep(org_id: str, server_id: str, made: Rule, known_sets: tuple[str, ...], *, actor: str, now_ms: int) -> Operation[None]:  # fmt: skip
    """Keep a rule in the place of the one before. Raises ``Refused`` with the field."""
    if made.approvers not in (USER, ANY_APPROVER, *known_sets):
        raise Refused(
            _("This org has no permission set {approvers!r:.60}.").format(approvers=made.approvers), "approvers"
        )
    if not SHORTEST <= made.seconds <= LONGEST:
        raise Refused(
            _("{seconds} is not allowed: choose {shortest} to {longest} seconds.").format(
                seconds=made.seconds, shortest=SHORTEST, longest=LONGEST
            ),
            "seconds",
        )
    yield from execute(
        "INSERT INTO approval_rules (org_id, server_id, tool, approvers, four_eyes, seconds) VALUES (:org_id,"
        " :server_id, :tool, :approvers, :four_eyes, :seconds) ON CONFLICT (org_id, server_id, tool) DO UPDATE SET"
        " approvers = excluded.approvers, four_eyes = excluded.four_eyes, seconds = excluded.seconds",
        org_id=org_id,
        server_id=server_id,
        tool=made.tool,
        approvers=made.approvers,
        four_eyes=int(made.four_eyes),
        seconds=made.seconds,
    )
    yield from audit.record(org_id, now_ms, actor, "approval:rule:set", server_id, msgspec.to_builtins(made))
    yield from announce(org_id, "server", server_id)


def remove(org_id: str, server_id: str, tool: str, *, actor: str, now_ms: int) -> Operation[None]:
    """The server's own rule holds for this tool from now on."""
    yield from execute(
        "DELETE FROM approval_rules WHERE org_id = :org_id AND server_id = :server_id AND tool = :tool",
        org_id=org_id,
        server_id=server_id,
        tool=tool,
    )
    yield from audit.record(org_id, now_ms, actor, "approval:rule:remove", server_id, {"tool": tool})
    yield from announce(org_id, "server", server_id)


def remove_all(org_id: str, server_id: str) -> Operation[None]:
    """The server goes."""
    yield from execute(
        "DELETE FROM approval_rules WHERE org_id = :org_id AND server_id = :server_id",
        org_id=org_id,
        server_id=server_id,
    )


def may_approve(approvers: str, access: Access) -> bool:
    """Whether somebody with this access is one of the approvers; the user of the call is another matter."""
    if approvers == ANY_APPROVER:
        return access.may(APPROVE_CALLS)
    return approvers != USER and access.has_any((approvers,))
