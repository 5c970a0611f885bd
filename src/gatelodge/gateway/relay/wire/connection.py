"""One connection to an upstream: a request after another, each with one answer, and deadlines by one timer."""

import asyncio
import select
from collections.abc import Callable

import httptools

from gatelodge.gateway.relay.wire.answer import Answer, Broken, NoHttp, Times

LARGEST_HEAD = 64 * 1024
LONGEST_LINE = 8190
MOST_HEADERS = 100
"""Of an answer, with all that comes before it (1xx) and behind it (trailers)."""
MOST_INTERIM = 10
FRAMING = 16
"""How many bytes of chunk sizes and extensions one byte of a body may bring with it."""
VERSIONS = ("1.0", "1.1")
NEVER = float("inf")
HANGS_UP = getattr(select, "POLLRDHUP", select.POLLIN)


class Connection(asyncio.Protocol):
    """A connection that was made. ``free`` is called when it may be used again, ``gone`` when it never may.

    ``_unread`` are bytes that came since the last piece of a body, ``_fields`` and ``_head`` count headers and their
    bytes. An answer without a length ends with the connection (``_ends_with_it``; RFC 9112 §6.3).
    """

    def __init__(
        self, *, is_tls: bool, free: Callable[["Connection"], None], gone: Callable[["Connection"], None]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._free, self._gone = free, gone
        self._hangs_up_by = HANGS_UP if is_tls else select.POLLIN
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._poll: select.poll | None = None
        self._answer: Answer | None = None
        self._times: Times | None = None
        self._fault: NoHttp | None = None
        self._unread = self._fields = self._head = self._interim = 0
        self._is_head = self._is_interim = self._is_bodiless = self._is_done = self._is_paused = False
        self._ends_with_it = self._keeps = False
        self._until = self._whole_until = self._wakes_at = NEVER
        self._alarm: asyncio.TimerHandle | None = None
        self.kept_at = 0.0
        self.is_lost = False

    # --- for the pool ---------------------------------------------------------------------------------------------

    def ask(self, request: bytes, times: Times, *, is_bodiless: bool) -> Answer:
        """Send a request, all of it. ``is_bodiless``: the answer has no body whatever it says (HEAD)."""
        assert self._transport is not None  # it was made
        self._answer, self._times, self._is_bodiless = Answer(self, self._loop.create_future()), times, is_bodiless
        self._unread = self._fields = self._head = self._interim = 0
        self._is_head, self._is_done, self._ends_with_it, self._keeps = True, False, False, False
        self._transport.write(request)
        if times.whole is not None:
            self._whole_until = self._loop.time() + times.whole
        self._expect(times.first_byte)
        return self._answer

    def is_fit(self) -> bool:
        """Whether it can be used now: nobody has closed it, also if that wasn't read yet, and nothing came unasked."""
        return self._transport is not None and not self._transport.is_closing() and not self._hears()

    def _hears(self) -> bool:
        """Whether there is something to read, of which there should be nothing; by TLS, which talks by itself, whether the
        other side has hung up.
        """
        try:
            return bool(self._poll and self._poll.poll(0))
        except OSError:
            return True

    def close(self) -> None:
        """End it at once."""
        if self._transport is not None:
            self._transport.abort()

    # --- for its answer -------------------------------------------------------------------------------------------

    def pause(self) -> None:
        """Whoever reads the answer is slow: read no more, and expect nothing."""
        if not self._is_paused and self._transport is not None:
            self._is_paused, self._until = True, NEVER
            self._transport.pause_reading()

    def go_on(self) -> None:
        """Read on."""
        if self._is_paused and self._transport is not None and not self._transport.is_closing():
            self._is_paused = False
            self._transport.resume_reading()
            self._expect_more()

    def abandon(self) -> None:
        """Nobody wants the rest of the answer, which ends the connection: the upstream is told so by nothing else."""
        self._fail(Broken("the answer was abandoned"))

    # --- the transport --------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] - uvloop's is one in all else
        """It stands."""
        self._transport = transport
        socket = transport.get_extra_info("socket")
        if socket is not None:
            self._poll = select.poll()
            self._poll.register(socket.fileno(), self._hangs_up_by)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over, and what was awaited on it with it."""
        self.is_lost, self._poll, self._parser = True, None, None
        if self._alarm is not None:
            self._alarm.cancel()
        answer, self._answer = self._answer, None
        if answer is not None:
            if self._ends_with_it and exc is None:
                answer.end()
            else:
                answer.end(Broken("the connection was closed before the answer ended"))
        self._gone(self)

    def data_received(self, data: bytes) -> None:
        """Something came: a part of the answer, or what nobody asked for, which ends the connection."""
        if self._answer is None or self._parser is None:
            self.close()
            return
        self._unread += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._keeps = False
            if not self._is_done:
                self._fail(self._fault or NoHttp(str(error)))
                return
        if self._is_done:
            self._over()
        elif self._unread > LARGEST_HEAD:
            self._fail(NoHttp("the framing of the answer is larger than it may be"))
        elif not self._is_head and not self._is_paused:
            self._expect_more()

    # --- what the parser found: what is raised here ends the connection ---------------------------------------------

    def on_message_begin(self) -> None:
        """An answer begins, or something before it (1xx)."""
        if self._is_done:
            self._keeps = False  # another one, which nobody asked for

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer, which says nothing here (RFC 9110 §6.5.1)."""
        size = len(name) + len(value) + 4
        self._fields += 1
        self._head += size
        if self._fields > MOST_HEADERS or self._head > LARGEST_HEAD or size > LONGEST_LINE:
            self._give_up("the head of the answer is larger than it may be")
        if self._is_head and self._answer is not None:
            key, text = name.decode("latin-1").lower(), value.decode("latin-1")
            headers = self._answer.headers
            headers[key] = f"{headers[key]}, {text}" if key in headers else text

    def on_headers_complete(self) -> None:
        """The head is whole."""
        answer, parser = self._answer, self._parser
        if answer is None or parser is None or self._is_done:
            return
        status = parser.get_status_code()
        if parser.get_http_version() not in VERSIONS:
            self._give_up("the answer is of another version of HTTP")
        self._unread = 0
        if status < 200:  # noqa: PLR2004 - more comes (RFC 9110 §15.2)
            self._interim += 1
            if status == 101 or self._interim > MOST_INTERIM:  # noqa: PLR2004
                self._give_up("the answer switches to another protocol, or does not begin")
            self._is_interim = True
            answer.headers.clear()
            return
        length, coding = answer.headers.get("content-length"), answer.headers.get("transfer-encoding")
        if coding is not None and coding.lower() != "chunked":
            self._give_up("the answer's coding is unknown")
        self._is_head = False
        is_empty = self._is_bodiless or status in (204, 304)
        answer.status = status
        answer.content_length = 0 if is_empty else int(length) if length is not None else None
        self._ends_with_it = not is_empty and length is None and coding is None
        self._keeps = parser.should_keep_alive() and not self._is_bodiless
        self._is_done = self._is_bodiless
        if not answer.begun.done():
            answer.begun.set_result(None)

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._unread -= (1 + FRAMING) * len(body)
        if self._answer is not None and not self._is_done:
            self._answer.take(body)

    def on_message_complete(self) -> None:
        """The answer is whole; or what came before it."""
        if self._is_interim:
            self._is_interim = False
        else:
            self._is_done = True

    def _give_up(self, why: str) -> None:
        self._fault = NoHttp(why)
        raise self._fault

    # --- the end of an answer ---------------------------------------------------------------------------------------

    def _over(self) -> None:
        """The answer is whole. The connection may be used again where both sides say so, and the whole request has gone
        out: an answer may come before that.
        """
        answer, self._answer = self._answer, None
        self._until = self._whole_until = NEVER
        if self._is_paused and self._transport is not None:
            self._is_paused = False
            self._transport.resume_reading()
        if answer is not None:
            answer.end()
        if self._keeps and self._transport is not None and not self._transport.get_write_buffer_size():
            self._free(self)
        else:
            self.close()

    def _fail(self, error: Exception) -> None:
        answer, self._answer = self._answer, None
        self._until = self._whole_until = NEVER
        if answer is not None:
            answer.end(error)
        self.close()

    # --- deadlines --------------------------------------------------------------------------------------------------

    def _expect_more(self) -> None:
        idle = self._times.idle if self._times else None
        if idle is None:
            self._until = NEVER
        else:
            self._expect(idle)

    def _expect(self, seconds: float) -> None:
        """Something comes within so many seconds. The alarm stays where it is unless it would ring too late: one for each
        request would cost more than one that looks again.
        """
        self._until = self._loop.time() + seconds
        self._wake_before(min(self._until, self._whole_until))

    def _wake_before(self, at: float) -> None:
        if at < self._wakes_at:
            if self._alarm is not None:
                self._alarm.cancel()
            self._wakes_at, self._alarm = at, self._loop.call_at(at, self._look)

    def _look(self) -> None:
        self._wakes_at, self._alarm = NEVER, None
        until = min(self._until, self._whole_until)
        if until <= self._loop.time():
            self._fail(TimeoutError("the answer did not come in time"))
        elif until != NEVER:
            self._wake_before(until)
