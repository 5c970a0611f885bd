"""What is said with one child: which of its messages belongs to whom. Its ids are ours, so that no two calls share one."""

import asyncio
import contextlib
from collections.abc import Callable

import msgspec
import structlog
from msgspec import Raw

from gatelodge.gateway.caller import Caller
from gatelodge.gateway.relay import words
from gatelodge.gateway.relay.events import TooLarge
from gatelodge.gateway.relay.inbound import Spans
from gatelodge.gateway.stdio.answers import Inbox
from gatelodge.gateway.stdio.child import Child, TooLong

log = structlog.get_logger()
MOST_NONSENSE = 1000
"""Lines of no meaning after which a command is ended."""
EMPTY = Raw(b"{}")
_spans = msgspec.json.Decoder(Spans)
_number = msgspec.json.Decoder(int)
_string = msgspec.json.Decoder(str)


class Call(msgspec.Struct, kw_only=True, eq=False):
    """A request that waits for its answer: the client's own id and token, and where its messages go."""

    id: Raw
    token: Raw | None
    inbox: Inbox
    is_listening: bool


class Talk:
    """One child and the calls that wait for it. ``session_id`` is "" where the child knows no sessions; ``callers`` are
    who has called it, by their connection.
    """

    def __init__(
        self, child: Child, *, owner: str, session_id: str, largest: int, ended: Callable[["Talk"], None]
    ) -> None:
        self.child, self.owner, self.session_id = child, owner, session_id
        self.used_at = asyncio.get_running_loop().time()
        self.is_over = self.was_told = False
        self.stream: Inbox | None = None
        self.callers: dict[str, Caller] = {}
        self._largest, self._ended = largest, ended
        self._calls: dict[int, Call] = {}
        self._last = self._nonsense = 0
        self._telling: set[asyncio.Task[None]] = set()
        self._listening = asyncio.create_task(self._listen())

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits for it."""
        return not self._calls and self.stream is None

    async def ask(self, top: Spans) -> tuple[int, Inbox]:
        """Send a request; where its messages will be, the answer last. Raises ``ConnectionError``."""
        self._last += 1
        number = self._last
        call = Call(
            id=top["id"],
            token=None,
            inbox=Inbox(self._largest),
            is_listening=top.get("method") == Raw(b'"subscriptions/listen"'),
        )
        params = _spans.decode(top["params"]) if "params" in top else {}
        meta = _spans.decode(params["_meta"]) if "_meta" in params else {}
        if "progressToken" in meta:
            call.token = meta["progressToken"]
            params["_meta"] = _raw({**meta, "progressToken": number})
            top = {**top, "params": _raw(params)}
        self._calls[number] = call
        try:
            await self._tell({**top, "id": number})
        except BaseException:
            del self._calls[number]
            raise
        return number, call.inbox

    async def say(self, top: Spans) -> None:
        """Send a notification, or an answer to what the child wanted to know. Raises ``ConnectionError``."""
        if top.get("method") == Raw(b'"notifications/cancelled"'):
            params = _spans.decode(top.get("params", EMPTY))
            wanted = bytes(params.get("requestId", EMPTY))
            number = next((each for each, call in self._calls.items() if bytes(call.id) == wanted), None)
            if number is None:
                return
            top = {**top, "params": _raw({**params, "requestId": number})}
        await self._tell(top)

    def call_off(self, number: int) -> None:
        """Nobody waits for this call's answer any more; where it is still to come, the child is told."""
        if self._calls.pop(number, None) is not None:
            told = {"jsonrpc": "2.0", "method": words.CANCELLED, "params": {"requestId": number}}
            self._tell_later(told)

    def end(self) -> asyncio.Task[None]:
        """End the child, and every call that waits for it."""
        if not self.is_over:
            self.was_told = True
            self._over(ConnectionResetError())
        return self.child.end()

    async def _tell(self, top: object) -> None:
        self.used_at = asyncio.get_running_loop().time()
        if self.is_over:
            raise BrokenPipeError
        await self.child.tell(msgspec.json.encode(top))

    def _tell_later(self, top: object) -> None:
        async def tell() -> None:
            with contextlib.suppress(ConnectionError):
                await self._tell(top)

        if not self.is_over:
            task = asyncio.create_task(tell())
            self._telling.add(task)
            task.add_done_callback(self._telling.discard)

    async def _listen(self) -> None:
        error: Exception = ConnectionResetError()
        try:
            await self.child.listen(self._heard, self._largest)
        except TooLong:
            error = TooLarge()
        except Exception:  # a bug here must not leave a child that nobody listens to
            log.exception("command.failed")
        self._over(error)
        await self.child.read_out()

    def _over(self, error: Exception) -> None:
        if self.is_over:
            return
        self.is_over = True
        for call in self._calls.values():
            call.inbox.fail(error)
        if self.stream is not None:
            self.stream.fail()
        self._ended(self)
        self._calls.clear()

    def _heard(self, line: bytes) -> None:
        if self.is_over:
            return  # its last words
        try:
            top = _spans.decode(line)
            if "method" not in top:
                self._answered(top, line)
            elif "id" in top:
                self._asked(top)
            else:
                self._told(top)
        except (msgspec.DecodeError, RecursionError, KeyError):
            self._nonsense += 1
            self.child.note("stdout", line)
            if self._nonsense > MOST_NONSENSE:
                raise TooLong from None

    def _answered(self, top: Spans, line: bytes) -> None:
        """An answer, to whoever asked. Nobody else gets it, whichever id it bears."""
        call = self._calls.pop(_number.decode(top["id"]), None)
        if call is None:
            self.child.note("stdout", line)
            return
        self.used_at = asyncio.get_running_loop().time()
        call.inbox.put(msgspec.json.encode({**top, "id": call.id}), is_last=True)

    def _told(self, top: Spans) -> None:
        params = _spans.decode(top["params"]) if "params" in top else {}
        meta = _spans.decode(params["_meta"]) if "_meta" in params else {}
        if "progressToken" in params:
            call = self._calls.get(_number.decode(params["progressToken"]))
            if call is not None and call.token is not None:
                call.inbox.put(msgspec.json.encode({**top, "params": {**params, "progressToken": call.token}}))
        elif words.SUBSCRIPTION_KEY in meta:
            call = self._calls.get(_number.decode(meta[words.SUBSCRIPTION_KEY]))
            if call is not None:
                own = {**params, "_meta": {**meta, words.SUBSCRIPTION_KEY: call.id}}
                call.inbox.put(msgspec.json.encode({**top, "params": own}))
        elif (inbox := self._inbox(_string.decode(top["method"]))) is not None:
            inbox.put(msgspec.json.encode(top))

    def _inbox(self, method: str) -> Inbox | None:
        """Where a message goes that doesn't say which call it belongs to: the one call that there is; else the stream of
        the session, else the newest call. News of lists and resources belong to no call.
        """
        waiting = [call.inbox for call in self._calls.values() if not call.is_listening]
        if not self.session_id:
            return waiting[0] if len(waiting) == 1 else None
        if method.endswith(("/list_changed", "/updated")):
            return self.stream
        return waiting[0] if len(waiting) == 1 else self.stream or (waiting[-1] if waiting else None)

    def _asked(self, top: Spans) -> None:
        """The child wants to know something: of us whether we are there, of the client everything else."""
        method = _string.decode(top["method"])
        inbox = self._inbox(method) if self.session_id and method != "ping" else None
        if inbox is not None:
            inbox.put(msgspec.json.encode(top))
            return
        head: dict[str, object] = {"jsonrpc": "2.0", "id": top["id"]}
        none = {"code": words.METHOD_NOT_FOUND, "message": "nobody is there who could answer"}
        self._tell_later(head | ({"result": {}} if method == "ping" else {"error": none}))


def _raw(value: object) -> Raw:
    return Raw(msgspec.json.encode(value))
