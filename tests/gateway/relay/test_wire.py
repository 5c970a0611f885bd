"""The pool's HTTP, seen from a client at the gate: what an upstream may send, what is sent to it, and whom it reaches."""

import asyncio
import json
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop

from tests.accounts.test_outbound import certificate
from tests.gateway.relay.conftest import TIMES
from tests.gateway.relay.rough import Asked, Rough, answer, rough, well
from tests.gateway.relay.standing import Gate, standing
from tests.requirements import requirement

CALL = {"name": "do", "arguments": {}}
BODY = b'{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"done"}]}}'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
SIZED = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY


@pytest.fixture(params=["asyncio", "uvloop"])
def gate(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, furnished: Path
) -> Iterator[Gate]:
    """On the loop of the tests, and on the one that a node has."""
    if request.param == "uvloop":
        monkeypatch.setattr(asyncio, "new_event_loop", uvloop.new_event_loop)
    with standing(furnished, tmp_path / "data") as made:
        yield made


def call(gate: Gate, name: str = "upstream") -> int:
    return gate.client(name).modern("tools/call", CALL).status_code


def sends(raw: bytes, *, closes: bool = False):
    """An upstream that answers every call with these bytes."""

    async def behave(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        await writer.drain()
        if closes:
            writer.close()

    return behave


@pytest.mark.parametrize(
    ("raw", "closes"),
    [
        (HEAD + b"\r\n" + BODY, True),
        (b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n" + BODY, True),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x;a=b\r\n%s\r\n0\r\nTrailer: x\r\n\r\n" % (len(BODY), BODY), False),
        (HEAD + b"Transfer-Encoding: Chunked\r\n\r\n" + b"".join(b"1\r\n%c\r\n" % each for each in BODY) + b"0\r\n\r\n", False),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nContent-Length: 7\r\nLink: <x>\r\n\r\n" + SIZED, False),
        (SIZED.replace(b"HTTP/1.1 200 OK", b"HTTP/1.1 200 "), False),
        (SIZED.replace(b"Content-Type: ", b"Content-Type:\t  "), False),
    ],
    ids=["until-it-closes", "http-1.0", "chunks-and-trailer", "chunks-of-one-byte", "interim", "no-reason", "blanks"],
)  # fmt: skip
@requirement("wire:answers")
def test_every_way_to_frame_an_answer_is_read_to_its_end(gate: Gate, upstream: Rough, raw: bytes, closes: bool):
    upstream.behave = sends(raw, closes=closes)
    for _ in range(3):
        got = gate.client().modern("tools/call", CALL)
        assert got.status_code == 200 and got.content == BODY
    assert len(upstream.calls) == 3, "each was sent once"


@pytest.mark.parametrize(
    "raw",
    [
        SIZED.replace(b"\r\nContent-Type", b"\r\nX: a\r\n b\r\nContent-Type"),
        SIZED.replace(b"application/json", b"application/json\x00"),
        SIZED.replace(b"Content-Type", b"Content Type"),
        SIZED.replace(b"Content-Type:", b"Content-Type :"),
        SIZED.replace(b"\r\n", b"\n"),
        SIZED.replace(b"\r\nContent-Length", b"\r\nContent-Length: 3\r\nContent-Length"),
        SIZED.replace(b"HTTP/1.1", b"HTTP/2.0"),
        SIZED.replace(b"HTTP/1.1 200", b"HTTP/1.1 20"),
        HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: identity\r\n\r\n" + BODY,
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n" + SIZED,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 1000 + SIZED,
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"x" * 500_000 + b"\r\n{\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"X: y\r\n" * 5000 + b"\r\n",
        HEAD + b"X: " + b"y" * 9000 + b"\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 " + b"x" * 500_000,
    ],
    ids=[
        "folded", "nul", "blank-in-name", "blank-behind-name", "bare-lf", "two-lengths", "version", "status", "coding",
        "identity", "switching", "interim-flood", "extension-flood", "trailer-flood", "long-line", "reason-flood",
    ],
)  # fmt: skip
@requirement("wire:refused")
def test_what_could_be_read_in_two_ways_or_has_no_end_is_refused(gate: Gate, upstream: Rough, raw: bytes):
    upstream.behave = sends(raw)
    got = gate.client().modern("tools/call", CALL)
    said = got.json()["error"]["message"]
    assert got.status_code == 502 and ("no HTTP" in said or "broke off" in said), got.text
    upstream.behave = well
    assert call(gate) == 200


@requirement("wire:refused")
def test_an_answer_that_ends_before_its_length_is_not_taken_for_whole(gate: Gate, upstream: Rough):
    upstream.behave = sends(SIZED[:-5], closes=True)
    got = gate.client().modern("tools/call", CALL)
    assert got.status_code == 502 and "broke off" in got.json()["error"]["message"]


@pytest.mark.parametrize(
    "behind", [b"\x00", b"junk", SIZED.replace(b"done", b"evil"), b"\r\n\r\n" + SIZED], ids=range(4)
)
@requirement("wire:unasked")
def test_what_comes_behind_an_answer_is_nobodys_answer(gate: Gate, upstream: Rough, behind: bytes):
    upstream.behave = sends(SIZED + behind)
    for _ in range(4):
        assert gate.client().modern("tools/call", CALL).content == BODY
    assert len(upstream.calls) == 4, "each was sent once, and its own answer read"


@requirement("wire:unasked")
def test_what_comes_while_nobody_asks_is_nobodys_answer(gate: Gate, upstream: Rough):
    sent = asyncio.Event()

    async def behave(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(SIZED)
        await writer.drain()
        if len(upstream.calls) == 1:
            asyncio.get_running_loop().call_later(
                0.05, lambda: (writer.write(SIZED.replace(b"done", b"evil")), sent.set())
            )

    upstream.behave = behave
    assert gate.client().modern("tools/call", CALL).content == BODY
    gate.house.run(asyncio.wait_for(sent.wait(), 5))
    assert gate.client().modern("tools/call", CALL).content == BODY


@requirement("wire:sent-again")
def test_a_kept_connection_that_was_closed_meanwhile_is_not_used(gate: Gate, upstream: Rough):
    closed: list[asyncio.StreamWriter] = []

    async def behave(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(SIZED)
        await writer.drain()
        closed.append(writer)
        asyncio.get_running_loop().call_soon(writer.close)

    upstream.behave = behave
    for _ in range(10):
        assert call(gate) == 200
    assert len(upstream.calls) == 10


@pytest.mark.parametrize(("method", "params"), [("tools/call", CALL), ("tools/list", {})])
@requirement("wire:sent-again")
def test_what_an_upstream_may_have_received_is_not_sent_again(
    gate: Gate, upstream: Rough, method: str, params: dict[str, object]
):
    async def behave(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.close()

    assert call(gate) == 200, "on a connection that is kept"
    upstream.behave = behave
    before = len(upstream.asked)
    got = gate.client().modern(method, params)
    assert got.status_code == 502 and "closed the connection" in got.json()["error"]["message"]
    assert len(upstream.asked) - before == 1


@requirement("wire:connections")
def test_calls_one_after_another_need_one_connection(gate: Gate, upstream: Rough):
    opened: set[object] = set()

    async def behave(asked: Asked, writer: asyncio.StreamWriter) -> None:
        opened.add(writer)
        await well(asked, writer)

    upstream.behave = behave
    for _ in range(20):
        assert call(gate) == 200
    assert len(opened) == 1


@requirement("wire:connections")
def test_whoever_stops_waiting_for_a_connection_takes_it_from_nobody(gate: Gate, upstream: Rough):
    """Four connections that hang until their clients leave, and one call that waits behind them."""
    full, let = asyncio.Event(), asyncio.Event()

    async def behave(asked: Asked, writer: asyncio.StreamWriter) -> None:
        if len(upstream.calls) == 4:
            full.set()
        await let.wait()
        await well(asked, writer)

    upstream.behave = behave
    client = gate.client()
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"_meta": META, **CALL}})

    async def at_once() -> list[int]:
        url, headers = client.url, client.headers | HEADERS
        sent = [asyncio.create_task(client.front._http.post(url, content=body, headers=headers)) for _ in range(12)]
        await asyncio.wait_for(full.wait(), 5)
        for task in sent[6:]:
            task.cancel()
        let.set()
        return [each.status_code for each in await asyncio.gather(*sent[:6])]

    assert gate.house.run(at_once()) == [200] * 6
    assert call(gate) == 200


META = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}
HEADERS = {
    "Content-Type": "application/json", "Accept": "application/json, text/event-stream",
    "MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": "do",
}  # fmt: skip


@requirement("wire:deadlines")
def test_an_upstream_that_takes_no_connection_is_given_up_in_time(gate: Gate):
    """A full backlog: the kernel answers nothing to one more."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf:
        at = deaf.getsockname()
        gate.register(f"http://127.0.0.1:{at[1]}/mcp", "deaf", era="modern", **TIMES)
        held = [socket.socket() for _ in range(8)]
        for each in held:
            each.setblocking(False)
            each.connect_ex(at)
        got = gate.client("deaf").modern("tools/list")
        assert got.status_code == 504 and "could not be connected to in time" in got.json()["error"]["message"]
        for each in held:
            each.close()


@requirement("wire:deadlines")
def test_interim_answers_win_an_upstream_no_time(gate: Gate, upstream: Rough):
    async def behave(asked: Asked, writer: asyncio.StreamWriter) -> None:
        for _ in range(9):
            writer.write(b"HTTP/1.1 102 Processing\r\n\r\n")
            await writer.drain()
            await asyncio.sleep(0.3)

    upstream.behave = behave
    got = gate.client().modern("tools/call", CALL)
    assert got.status_code == 504 and "did not begin to answer" in got.json()["error"]["message"]


@requirement("wire:addresses")
def test_a_name_is_looked_up_once_and_only_addresses_that_were_checked_are_connected_to(gate: Gate):
    asked: list[str] = []

    def named(*addresses: str) -> None:
        async def resolve(host: str, port: int) -> list[str]:
            asked.append(host)
            return list(addresses)

        gate.house.site.outbound._resolve = resolve

    with rough(gate.house) as (made, url):
        port = url.rpartition(":")[2]
        named("127.0.0.1")
        gate.upstream(f"http://up.example:{port}", "named", **TIMES)
        first = len(asked)
        for _ in range(5):
            assert call(gate, "named") == 200
        assert len(asked) - first == 0, "for as long as an answer is believed"
        assert made.asked[-1].headers["host"] == f"up.example:{port.partition('/')[0]}"
        named("127.0.0.1", "169.254.169.254")
        gate.register(f"http://other.example:{port}", "other", era="modern", **TIMES)
        got = gate.client("other").modern("tools/list")
        assert got.status_code == 502 and "may not be asked" in got.json()["error"]["message"]


@requirement("wire:addresses")
def test_the_next_address_is_tried_where_one_takes_no_connection(gate: Gate):
    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.9", "127.0.0.1"]

    with rough(gate.house) as (_, url):
        gate.house.site.outbound._resolve = resolve
        gate.upstream(url.replace("127.0.0.1", "up.example"), "named", **TIMES)
        assert call(gate, "named") == 200


@requirement("wire:tls")
def test_a_certificate_is_checked_for_the_name_and_the_handshake_made_once(gate: Gate, tmp_path: Path):
    server, client = certificate(tmp_path, "up.example")
    told: list[str | None] = []
    server.sni_callback = lambda _socket, name, _context: told.append(name)

    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    outbound = gate.house.site.outbound
    outbound._resolve, outbound._tls = resolve, client
    made = Rough()
    listening = gate.house.run(asyncio_server(made, server))
    port = listening.sockets[0].getsockname()[1]
    try:
        gate.upstream(f"https://up.example:{port}/mcp", "named", **TIMES)
        for _ in range(5):
            assert call(gate, "named") == 200
        assert told == ["up.example"]
        gate.register(f"https://other.example:{port}/mcp", "other", era="modern", **TIMES)
        got = gate.client("other").modern("tools/list")
        assert got.status_code == 502 and "can't be connected to" in got.json()["error"]["message"]
        outbound._tls = ssl.create_default_context()
        gate.register(f"https://up.example:{port}/mcp", "stranger", era="modern", **TIMES)
        assert gate.client("stranger").modern("tools/list").status_code == 502, "nobody we know signed it"
        assert "other.example" not in [each.headers.get("host", "") for each in made.asked]
    finally:
        gate.house.run(closed(listening, made))


async def asyncio_server(made: Rough, tls: ssl.SSLContext) -> asyncio.Server:
    return await asyncio.start_server(made, "127.0.0.1", 0, ssl=tls)


async def closed(server: asyncio.Server, made: Rough) -> None:
    server.close()
    for writer in list(made._writers):
        writer.transport.abort()


@requirement("wire:answers")
def test_an_answer_larger_than_what_is_held_comes_whole(gate: Gate):
    large = b'{"jsonrpc":"2.0","id":1,"result":{"text":"%s"}}' % (b"x" * 5_000_000)

    async def behave(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await answer(writer, large)

    with rough(gate.house) as (made, url):
        gate.upstream(url, "large", **TIMES)
        made.behave = behave
        for _ in range(3):
            got = gate.client("large").modern("tools/call", CALL)
            assert got.status_code == 200 and got.content == large
