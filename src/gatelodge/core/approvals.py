"""Calls that wait for a person: bound to org, user, app, server, tool and the exact arguments; good once, for a time."""

import msgspec

from gatelodge.core import approval_rules, audit
from gatelodge.core.approval_rules import USER, Rule
from gatelodge.core.errors import Refused
from gatelodge.core.operation import Operation, announce, execute, many, number, one, remove_some, text
from gatelodge.core.permissions import Access

PURPOSE = "approval"
"""Of the key under which arguments are sealed, and of the MAC that is their digest."""
WAITING, APPROVED, DECLINED, WITHDRAWN = "waiting", "approved", "declined", "withdrawn"
MOST_WAITING = 50
"""Questions of one user through one app that may wait at once: nobody reads more."""
KEPT_FOR = 90 * 86_400
A_PAGE = 50


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """What an approval is bound to."""

    org_id: str
    user_id: str
    app_id: str
    server_id: str
    tool: str
    digest: str


class Approval(Call, frozen=True, kw_only=True):
    """A question, and what became of it. ``seconds`` is how long a yes is good; times are in epoch seconds, 0: not yet."""

    id: str
    client_id: str
    server: str
    sealed: bytes
    approvers: str
    four_eyes: bool
    seconds: int
    state: str = WAITING
    is_open: bool = True
    created_at: int
    expires_at: int
    decided_by: str = ""
    decided_at: int = 0
    used_at: int = 0

    def state_at(self, now: int) -> str:
        """The state for people: a question or a yes whose time is over has expired, and a yes may be used."""
        if self.used_at:
            return "used"
        if self.state in (WAITING, APPROVED) and (self.expires_at <= now or not self.is_open):
            return "expired"
        return self.state


def approval(*, four_eyes: int, is_open: int, **columns: object) -> Approval:
    """An ``Approval`` from its row."""
    return Approval(four_eyes=bool(four_eyes), is_open=bool(is_open), **columns)  # type: ignore[arg-type]


COLUMNS = (
    "id, org_id, user_id, app_id, client_id, server_id, server, tool, sealed, digest, approvers, four_eyes, seconds,"
    " state, is_open, created_at, expires_at, decided_by, decided_at, used_at"
)
OF_CALL = (
    "org_id = :org_id AND user_id = :user_id AND app_id = :app_id AND server_id = :server_id AND tool = :tool"
    " AND digest = :digest AND is_open = 1"
)


def row_name(org_id: str, approval_id: str) -> str:
    """What sealed arguments are bound to."""
    return f"{org_id}/{approval_id}"


def use(call: Call, now: int) -> Operation[str]:
    """Let this very call through: the id of its approval for exactly one caller, "" for all others."""
    used = yield from one(
        f"UPDATE approvals SET used_at = :now, is_open = 0 WHERE {OF_CALL} AND state = 'approved' AND expires_at > :now"
        " RETURNING id AS value",
        text,
        now=now,
        **_of(call),
    )
    return used or ""


def ask(made: Approval, now: int) -> Operation[Approval]:
    """The question about this call: the one that stands (waiting, or declined a short while ago), or this new one.

    Raises ``Refused`` when too many of this user's wait.
    """
    yield from execute(f"UPDATE approvals SET is_open = 0 WHERE {OF_CALL} AND expires_at <= :now", now=now, **_of(made))
    standing = yield from _open(made)
    if standing is not None:
        return standing
    waiting = yield from one(
        "SELECT COUNT(*) AS n FROM approvals WHERE org_id = :org_id AND user_id = :user_id AND app_id = :app_id"
        " AND is_open = 1 AND state = 'waiting' AND expires_at > :now",
        number,
        org_id=made.org_id,
        user_id=made.user_id,
        app_id=made.app_id,
        now=now,
    )
    if (waiting or 0) >= MOST_WAITING:
        raise Refused(f"{waiting} calls of this user through this app wait for approval already; decide some first")
    row = {name: int(v) if isinstance(v, bool) else v for name, v in msgspec.structs.asdict(made).items()}
    yield from execute(
        f"INSERT INTO approvals ({COLUMNS}) VALUES (:{COLUMNS.replace(', ', ', :')}) ON CONFLICT (org_id, user_id,"
        " app_id, server_id, tool, digest) WHERE is_open = 1 DO NOTHING",
        **row,
    )
    yield from announce(made.org_id, "approval", made.id)
    return (yield from _open(made)) or made


def _open(call: Call) -> Operation[Approval | None]:
    return (yield from one(f"SELECT {COLUMNS} FROM approvals WHERE {OF_CALL}", approval, **_of(call)))


def _of(call: Call) -> dict[str, str]:
    return {name: getattr(call, name) for name in Call.__struct_fields__}


def find(org_id: str, approval_id: str) -> Operation[Approval | None]:
    """The approval with this id."""
    return (
        yield from one(
            f"SELECT {COLUMNS} FROM approvals WHERE org_id = :org_id AND id = :id",
            approval,
            org_id=org_id,
            id=approval_id,
        )
    )


def may_decide(asked: Approval, user_id: str, access: Access) -> bool:
    """Whether this person may say yes or no: the user where the user is asked, else an approver, who is somebody else
    where four eyes are wanted.
    """
    if asked.approvers == USER:
        return asked.user_id == user_id
    return approval_rules.may_approve(asked.approvers, access) and not (asked.four_eyes and asked.user_id == user_id)


def decide(asked: Approval, *, is_yes: bool, by: str, actor: str, now_ms: int) -> Operation[bool]:
    """Say yes or no to a question. True for exactly one decision, and only while it waits.

    ``by`` is the name that the client is told, ``actor`` the user's id.
    A yes is good for the rule's time from now on; a no answers the same call until the question's time is over.
    """
    now = now_ms // 1000
    decided = yield from one(
        "UPDATE approvals SET state = :state, decided_by = :by, decided_at = :now, expires_at = :expires_at"
        " WHERE org_id = :org_id AND id = :id AND state = 'waiting' AND is_open = 1 AND expires_at > :now"
        " RETURNING id AS value",
        text,
        org_id=asked.org_id,
        id=asked.id,
        state=APPROVED if is_yes else DECLINED,
        by=by,
        now=now,
        expires_at=now + asked.seconds,
    )
    if decided is None:
        return False
    told: dict[str, object] = {
        "user": asked.user_id,
        "app": asked.app_id,
        "server": asked.server,
        "tool": asked.tool,
        "arguments": asked.digest,
    }
    yield from audit.record(
        asked.org_id, now_ms, actor, f"approval:call:{'approve' if is_yes else 'decline'}", asked.id, told
    )
    yield from announce(asked.org_id, "approval", asked.id)
    return True


def withdraw(org_id: str, approval_id: str, user_id: str) -> Operation[bool]:
    """The user doesn't want the call any more."""
    gone = yield from one(
        "UPDATE approvals SET state = 'withdrawn', is_open = 0 WHERE org_id = :org_id AND id = :id"
        " AND user_id = :user_id AND is_open = 1 RETURNING id AS value",
        text,
        org_id=org_id,
        id=approval_id,
        user_id=user_id,
    )
    return gone is not None


def newest(org_id: str, *, user_id: str = "", before: int = 1 << 40, limit: int = A_PAGE) -> Operation[list[Approval]]:
    """Approvals of the org, or of one user, the newest first."""
    whose = " AND user_id = :user_id" if user_id else ""
    values = {"user_id": user_id} if user_id else {}
    return (
        yield from many(
            f"SELECT {COLUMNS} FROM approvals WHERE org_id = :org_id{whose} AND created_at < :before"
            " ORDER BY created_at DESC, id LIMIT :limit",
            approval,
            org_id=org_id,
            before=before,
            limit=limit,
            **values,
        )
    )


def count_waiting(org_id: str, now: int) -> Operation[int]:
    """How many calls of the org wait for a person."""
    sql = (
        "SELECT COUNT(*) AS n FROM approvals WHERE org_id = :org_id AND state = 'waiting' AND is_open = 1"
        " AND expires_at > :now"
    )
    return (yield from one(sql, number, org_id=org_id, now=now)) or 0


def fresh(call: Call, rule: Rule, *, id: str, client_id: str, server: str, sealed: bytes, now: int) -> Approval:
    """A new question about a call, by the rule of its tool."""
    return Approval(
        org_id=call.org_id,
        user_id=call.user_id,
        app_id=call.app_id,
        server_id=call.server_id,
        tool=call.tool,
        digest=call.digest,
        id=id,
        client_id=client_id,
        server=server,
        sealed=sealed,
        approvers=rule.approvers,
        four_eyes=rule.four_eyes,
        seconds=rule.seconds,
        created_at=now,
        expires_at=now + rule.seconds,
    )


def forget_old(now: int) -> Operation[bool]:
    """Remove some of what nobody needs any more; the audit keeps the decisions. True: there may be more."""
    return (
        yield from remove_some(
            "DELETE FROM approvals WHERE id IN (SELECT id FROM approvals WHERE expires_at < :then"
            " ORDER BY expires_at LIMIT :limit) RETURNING id",
            then=now - KEPT_FOR,
        )
    )
