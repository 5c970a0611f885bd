"""The bytes of requests and answers: generated, cut anywhere, and read by another parser."""

import asyncio
from typing import Any

import httptools
from hypothesis import given
from hypothesis import strategies as st

from gatelodge.gateway.relay.wire import NotWritten, Times, place_of
from gatelodge.gateway.relay.wire.connection import Connection
from gatelodge.gateway.relay.wire.writing import written
from tests.generated import MANY
from tests.requirements import requirement

TIMES = Times(5, 5, 5)
LIKELY = st.one_of(
    st.sampled_from(["Accept", "X-A", "Mcp-Name", "Host", "Content-Length", "Transfer-Encoding"]), st.text()
)
VALUES = st.one_of(st.text(), st.text(alphabet="a\r\n\0: \t\x0b\u010d", max_size=8))


class Read:
    """What a server would make of a request."""

    def __init__(self, raw: bytes) -> None:
        self.headers: list[tuple[str, str]] = []
        self.target, self.body, self.requests = b"", b"", 0
        httptools.HttpRequestParser(self).feed_data(raw)

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.decode("latin-1"), value.decode("latin-1")))

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.requests += 1


@MANY
@given(
    method=st.sampled_from(["POST", "GET", "DELETE"]), target=st.one_of(st.just("/mcp?a=b"), st.text()),
    headers=st.dictionaries(LIKELY, VALUES, max_size=4), body=st.one_of(st.none(), st.binary(max_size=40)),
)  # fmt: skip
@requirement("wire:requests")
def test_what_is_sent_is_one_request_with_just_these_headers_or_nothing(
    method: str, target: str, headers: dict[str, str], body: bytes | None
):
    try:
        raw = written(method, target, "up.example", headers, body)
    except NotWritten:
        return
    read = Read(raw)
    assert read.requests == 1 and read.target.decode() == target and read.body == (body or b"")
    own = [("Host", "up.example")] + [(name, value.strip(" \t")) for name, value in headers.items()]
    if body is not None or method == "POST":
        own.append(("Content-Length", str(len(body or b""))))
    assert [(name, value.strip(" \t")) for name, value in read.headers] == own


@MANY
@given(path=st.text(), query=st.text())
@requirement("wire:requests")
def test_a_url_never_ends_its_own_request_line(path: str, query: str):
    try:
        target = place_of(f"https://up.example/{path}?{query}").target
    except ValueError:
        return
    assert (
        target.isascii() and target.startswith("/") and not any(letter <= " " or letter == "\x7f" for letter in target)
    )


class Wire(asyncio.Transport):
    """A transport that sends nowhere, so that a test says in which pieces an answer comes."""

    def __init__(self) -> None:
        super().__init__()
        self.is_over = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.is_over

    def abort(self) -> None:
        self.is_over = True

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


async def read(pieces: list[bytes], *, ends: bool) -> tuple[Any, ...]:
    """What a connection makes of an answer in these pieces; whether it may be used again."""
    free: list[Connection] = []
    made = Connection(is_tls=False, free=free.append, gone=lambda _: None)
    wire = Wire()
    made.connection_made(wire)
    answer = made.ask(b"GET / HTTP/1.1\r\n\r\n", TIMES, is_bodiless=False)
    for piece in pieces:
        if not wire.is_over:
            made.data_received(piece)
    if ends or wire.is_over:
        made.connection_lost(None)
    try:
        await asyncio.wait_for(answer.begun, 1)
        body = b"".join([piece async for piece in answer.pieces()])
    except (ConnectionError, TimeoutError) as error:
        return type(error), str(error)
    finally:
        answer.close()
        made.connection_lost(None)
    return answer.status, answer.headers, answer.content_length, body, bool(free) and not wire.is_over


def chunked(body: bytes, sizes: list[int]) -> bytes:
    out, at = b"", 0
    for size in sizes:
        part = body[at : at + size]
        out += b"%x\r\n%s\r\n" % (len(part), part) if part else b""
        at += size
    rest = body[at:]
    return out + (b"%x\r\n%s\r\n" % (len(rest), rest) if rest else b"") + b"0\r\n\r\n"


@MANY
@given(data=st.data(), body=st.binary(max_size=200), framing=st.sampled_from(["length", "chunks", "close"]))
@requirement("wire:answers")
def test_an_answer_cut_at_any_byte_is_the_same_answer(data: Any, body: bytes, framing: str):
    status = data.draw(st.sampled_from([b"200 OK", b"404 ", b"503 Down"]))
    head = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nX-Twice: a\r\nx-twice: b\r\n" % status
    interim = data.draw(
        st.sampled_from([b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Hints\r\nX-Early: y\r\n\r\n"])
    )
    if framing == "length":
        raw = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    elif framing == "chunks":
        sizes = data.draw(st.lists(st.integers(1, 50), max_size=6))
        raw = head + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(body, sizes)
    else:
        raw = head + b"\r\n" + body
    raw = interim + raw
    cuts = sorted(data.draw(st.sets(st.integers(1, len(raw) - 1), max_size=12)))
    pieces = [raw[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    at_once = asyncio.run(read([raw], ends=framing == "close"))
    assert at_once == asyncio.run(read(pieces, ends=framing == "close"))
    assert at_once[3] == body and at_once[1]["x-twice"] == "a, b" and "x-early" not in at_once[1]
    assert at_once[4] == (framing != "close")


@MANY
@given(raw=st.binary(max_size=300), cut=st.integers(0, 300))
@requirement("wire:refused")
def test_whatever_comes_an_answer_ends_or_is_refused(raw: bytes, cut: int):
    raw = b"HTTP/1.1 200 OK\r\n" + raw
    got = asyncio.run(read([raw[:cut], raw[cut:]], ends=True))
    assert len(got) == 5 or issubclass(got[0], ConnectionError)


@requirement("wire:answers")
def test_an_answer_without_a_body_has_none_whatever_it_says():
    async def head() -> tuple[int, bytes, bool]:
        made = Connection(is_tls=False, free=lambda _: None, gone=lambda _: None)
        wire = Wire()
        made.connection_made(wire)
        answer = made.ask(b"HEAD / HTTP/1.1\r\n\r\n", TIMES, is_bodiless=True)
        made.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
        await answer.begun
        got = answer.status, b"".join([piece async for piece in answer.pieces()]), wire.is_over
        made.connection_lost(None)
        return got

    assert asyncio.run(head()) == (200, b"", True)
    for status in (b"204 No Content", b"304 Not Modified"):
        got = asyncio.run(read([b"HTTP/1.1 %s\r\nContent-Length: 5\r\n\r\n" % status], ends=False))
        assert got[0] == int(status[:3]) and got[3] == b"" and got[4]
