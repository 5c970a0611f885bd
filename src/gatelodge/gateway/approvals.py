"""Calls of tools that ask a person first: held until somebody who may has said yes to exactly these arguments."""

import asyncio
import contextlib
from datetime import UTC, datetime

import msgspec

from gatelodge.core import approval_rules, approvals, call_arguments, ids, secrets
from gatelodge.core.approval_rules import ANY_APPROVER, USER
from gatelodge.core.approvals import APPROVED, DECLINED, WAITING, Approval, Call
from gatelodge.core.errors import Refused
from gatelodge.core.mcp_servers import McpServer
from gatelodge.core.orgs import Org
from gatelodge.gateway.caller import Caller
from gatelodge.web.site import Site

STATE = "gl-approval."
"""How a ``requestState`` of ours begins: others are the upstream's."""
REQUEST = "approval"
"""The name of our request for input."""
HOLD = 20.0
"""Seconds that a client who comes back waits for the decision here, rather than asking again and again."""
MOST_HELD = 200
"""Calls that wait on one node at once; one more is told to come back."""


class Asking(msgspec.Struct, frozen=True, kw_only=True):
    """A call as its client sent it. ``arguments`` is the JSON text; ``state`` the echoed ``requestState``, ``action`` what
    the person at the client did with our request ("" for nothing).
    """

    tool: str
    arguments: bytes
    is_modern: bool
    opens_urls: bool = False
    state: str = ""
    action: str = ""


class Approved(msgspec.Struct, frozen=True):
    """The call goes on, by this approval, which is used up."""

    approval_id: str


class Answered(msgspec.Struct, frozen=True):
    """The call doesn't go on: the ``result`` that answers it, or the message of an error."""

    result: dict[str, object] | None = None
    error: str = ""
    approval_id: str = ""


class Approvals:
    """Asks people about calls, and lets those through that they approved. It looks again at what waits whenever
    the node applies something new.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._decided = asyncio.Event()
        self._held = 0
        site.live.on_applied(self._look_again)

    def _look_again(self) -> None:
        before, self._decided = self._decided, asyncio.Event()
        before.set()

    async def ask_first(self, org: Org, server: McpServer, caller: Caller, asking: Asking) -> Approved | Answered:
        """Let an approved call through, or say how it can be approved."""
        try:
            arguments = call_arguments.read(asking.arguments)
        except Refused as refused:
            return Answered(error=refused.message)
        text = call_arguments.canonical(arguments)
        call = self._call(org, server, caller, asking.tool, text)
        held_id = self._own_state(call, asking.state) if asking.state.startswith(STATE) else ""
        if held_id is None:
            return Answered(error="requestState was changed, or is for another call")
        if held_id and asking.action in ("decline", "cancel"):
            _ = await self._site.store.run(approvals.withdraw, org.id, held_id, caller.user_id)
            return _told("The call was called off at the client. Nothing was done.", asking)
        if used := await self._use(call, held_id):
            return Approved(used)
        return await self._asked(org, server, caller, asking, call, text)

    async def _use(self, call: Call, held_id: str) -> str:
        """The approval that lets this call through, waited for a while where its client has come back for it."""
        used = await self._site.store.run(approvals.use, call, self._site.clock.now())
        if used or not held_id or self._held >= MOST_HELD:
            return used
        self._held += 1
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HOLD):
                    await self._wait(call, held_id)
        finally:
            self._held -= 1
        return await self._site.store.run(approvals.use, call, self._site.clock.now())

    async def _wait(self, call: Call, held_id: str) -> None:
        while True:
            decided = self._decided
            found = await self._site.store.read(approvals.find, call.org_id, held_id)
            if found is None or found.state_at(self._site.clock.now()) != WAITING:
                return
            await decided.wait()

    async def _asked(
        self, org: Org, server: McpServer, caller: Caller, asking: Asking, call: Call, text: str
    ) -> Approved | Answered:
        site, now, fresh_id = self._site, self._site.clock.now(), secrets.new_id(ids.APPROVAL)
        rule = await site.store.read(approval_rules.of_tool, org.id, server.id, asking.tool)
        # Sealed as it came: the page shows the members in the client's order.
        sealed = site.ring.seal(approvals.PURPOSE, asking.arguments, approvals.row_name(org.id, fresh_id))
        made = approvals.fresh(
            call, rule, id=fresh_id, client_id=caller.client_id, server=server.name, sealed=sealed, now=now
        )
        try:
            asked = await site.store.run(approvals.ask, made, now)
        except Refused as refused:
            return _told(f"Nothing was done: {refused.message}", asking)
        if asked.state == APPROVED and (used := await site.store.run(approvals.use, call, now)):
            return Approved(used)
        if asked.state == DECLINED:
            return _told(f"This call was declined by {asked.decided_by}. Nothing was done; don't try it again.", asking)
        return _waiting(org, server, asking, asked, self._state(call, asked.id))

    def _call(self, org: Org, server: McpServer, caller: Caller, tool: str, text: str) -> Call:
        digest = self._site.ring.mac(approvals.PURPOSE, org.id, text)
        assert digest is not None  # the current key is on the ring
        return Call(
            org_id=org.id,
            user_id=caller.user_id,
            app_id=caller.app_id,
            server_id=server.id,
            tool=tool,
            digest=digest,
        )

    def _state(self, call: Call, approval_id: str) -> str:
        parts = (getattr(call, name) for name in Call.__struct_fields__)
        return f"{STATE}{approval_id}.{self._site.ring.mac('approval-state', approval_id, *parts)}"

    def _own_state(self, call: Call, state: str) -> str | None:
        """The approval that a ``requestState`` names; None for one that we didn't make for this very call."""
        approval_id = state.removeprefix(STATE).partition(".")[0]
        return approval_id if state.isascii() and secrets.are_equal(state, self._state(call, approval_id)) else None


def page_url(org: Org, asked: Approval) -> str:
    """Where the question is answered."""
    return f"{org.issuer}/setup/approvals/{asked.id}"


def _waiting(org: Org, server: McpServer, asking: Asking, asked: Approval, state: str) -> Answered:
    whom = {USER: "you", ANY_APPROVER: "an approver of this org"}.get(asked.approvers, f"a holder of {asked.approvers}")
    tool = call_arguments.visible(asking.tool)[:100]
    url, until = page_url(org, asked), datetime.fromtimestamp(asked.expires_at, UTC).strftime("%H:%M UTC")
    if asking.is_modern and asking.opens_urls:
        message = f"{tool} of {server.label} needs the approval of {whom}, by {until}. Look at its arguments first."
        request = {"method": "elicitation/create", "params": {"mode": "url", "message": message, "url": url}}
        result = {"resultType": "input_required", "inputRequests": {REQUEST: request}, "requestState": state}
        return Answered(result, approval_id=asked.id)
    return _told(
        f"Nothing was done yet: {tool} of {server.label} needs the approval of {whom}. Open {url} to decide, by {until};"
        " then make the same call again, with the same arguments.",
        asking,
        asked.id,
    )


def _told(why: str, asking: Asking, approval_id: str = "") -> Answered:
    """A tool's error, which models and people read."""
    result: dict[str, object] = {"content": [{"type": "text", "text": why}], "isError": True}
    return Answered(({"resultType": "complete"} if asking.is_modern else {}) | result, approval_id=approval_id)
