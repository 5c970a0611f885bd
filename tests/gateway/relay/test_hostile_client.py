"""A client that is broken, slow, endless or hostile gets what its bytes deserve; nothing of it reaches an upstream, and
everybody else is served meanwhile.
"""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from gatelodge.web.server import Limits
from tests.gateway.relay.rough import Rough, rough
from tests.gateway.relay.standing import Gate, standing
from tests.gateway.speaking import META, MODERN
from tests.requirements import requirement
from tests.web.serving import Wire, statuses

CALL = {"name": "do", "arguments": {}}
BODY = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"_meta": META, **CALL}}).encode()
SERVERS = ("upstream", "sobject-reads")


@pytest.fixture
def hasty(tmp_path: Path, furnished: Path) -> Iterator[Gate]:
    """A gate that waits for half a second where it waits for half a minute."""
    limits = Limits(header_seconds=0.5, body_seconds=0.5)
    with standing(furnished, tmp_path / "data", limits=limits) as made:
        yield made


@pytest.fixture
def behind(hasty: Gate) -> Iterator[Rough]:
    with rough(hasty.house) as (made, url):
        hasty.upstream(url)
        made.asked.clear()
        yield made


class Attacker:
    """Sends what it likes over raw sockets, with a good token."""

    def __init__(self, gate: Gate, server: str = "upstream") -> None:
        self._gate, self._server = gate, server
        self._token = gate.token(server)

    def head(self, *headers: tuple[str, str], without: tuple[str, ...] = ()) -> bytes:
        """A request's head that is good, with these headers after it."""
        good = [
            ("Host", f"localhost:{self._gate.port}"), ("Authorization", f"Bearer {self._token}"),
            ("Content-Type", "application/json"), ("Accept", "application/json, text/event-stream"),
            ("MCP-Protocol-Version", MODERN), ("Mcp-Method", "tools/call"), ("Mcp-Name", "do"),
        ]  # fmt: skip
        lines = [f"{name}: {value}" for name, value in (*good, *headers) if name not in without]
        return "\r\n".join([f"POST /mcp/{self._server} HTTP/1.1", *lines, "", ""]).encode("latin-1")

    def connect(self) -> Wire:
        return Wire(self._gate.port)

    def answered(self, raw: bytes) -> tuple[int, bytes]:
        """The status of the first answer to these bytes, and all that came until the connection was closed."""
        with self.connect() as wire:
            with contextlib.suppress(ConnectionError):  # closed while we were still sending
                wire.send(raw)
            said = wire.rest()
        return (statuses(said) or [0])[0], said


def is_served(gate: Gate) -> bool:
    """Whether somebody else is."""
    return gate.client(n=1).modern("tools/call", CALL).status_code == 200


@requirement("relay:hostile-client")
def test_a_body_without_end_is_cut_at_its_limit_and_read_no_further(gate: Gate, upstream: Rough):
    for server in SERVERS:
        attacker = Attacker(gate, server)
        with attacker.connect() as wire:
            wire.send(attacker.head(("Transfer-Encoding", "chunked")))
            sent = 0
            try:
                while sent < 64 * 1024 * 1024:
                    wire.send(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
                    sent += 0x10000
            except ConnectionError:
                pass
            assert sent < 64 * 1024 * 1024, "it was let go on"
            assert statuses(wire.rest()) in ([413], []), "a reset may outrun the answer"
        status, _ = attacker.answered(attacker.head(("Content-Length", "1073741824"), ("Connection", "close")))
        assert status == 413, "what says that it is a gigabyte is not begun"
    assert upstream.calls == [] and is_served(gate)


@requirement("relay:hostile-client", "limits:slow-client-costs-nobody")
def test_bodies_that_never_become_whole_cost_their_senders_alone(hasty: Gate, behind: Rough):
    attacker = Attacker(hasty)
    head = attacker.head(("Content-Length", str(len(BODY))))
    wires = [attacker.connect().send(head + BODY[:20]) for _ in range(100)]
    try:
        assert is_served(hasty)
        assert [statuses(wire.rest()) for wire in wires] == [[408]] * len(wires)
    finally:
        for wire in wires:
            wire.socket.close()
    assert len(behind.calls) == 1


@pytest.mark.parametrize("headers", [
    [("X-Long", "v" * 33_000)],
    [(f"X-{n}", "v") for n in range(200)],
    [("Mcp-Param-Region", "v" * 40_000)],
], ids=["long", "many", "parameter"])  # fmt: skip
@requirement("relay:hostile-client", "limits:head-size")
def test_a_head_that_is_too_large_is_refused_before_its_token_is_looked_at(
    hasty: Gate, behind: Rough, headers: list[tuple[str, str]]
):
    attacker = Attacker(hasty)
    status, _ = attacker.answered(attacker.head(*headers, ("Content-Length", str(len(BODY)))) + BODY)
    assert status == 431 and behind.calls == [] and is_served(hasty)


TWICE = (
    ("Authorization", "Bearer a.b.c", 400),
    ("Content-Length", "0", 400),
    ("Content-Length", "{length}", 400),
    ("Content-Type", "application/json", 400),
    ("Content-Type", "text/plain", 400),
    ("Host", "evil.example", 400),
    ("Origin", "{origin}", 400),
    ("Origin", "https://evil.example", 403),
    ("MCP-Protocol-Version", MODERN, 400),
    ("MCP-Protocol-Version", "2025-11-25", 400),
    ("Mcp-Method", "tools/list", 400),
    ("Mcp-Name", "another", 400),
    ("Mcp-Session-Id", "one", 400),
    ("Mcp-Param-Region", "one", 400),
)
"""A header, what it says the second time, and the status of the answer."""


@pytest.mark.parametrize(("name", "value", "status"), TWICE)
@requirement("gateway:one-header-one-meaning")
def test_a_header_that_says_one_thing_may_stand_there_once(
    hasty: Gate, behind: Rough, name: str, value: str, status: int
):
    for server in SERVERS:
        attacker = Attacker(hasty, server)
        value = value.format(length=len(BODY), origin=hasty.url)
        more = [("Content-Length", str(len(BODY))), ("Connection", "close"), (name, value)]
        if name in ("Origin", "Mcp-Session-Id", "Mcp-Param-Region"):
            more.append((name, hasty.url if name == "Origin" else "one"))
        for order in (more, more[::-1]):
            got, said = attacker.answered(attacker.head(*order) + BODY)
            assert got == status, (server, name, value, said)
    assert behind.calls == []


@requirement("gateway:one-header-one-meaning")
def test_a_header_that_is_a_list_may_be_written_as_several(hasty: Gate, behind: Rough):
    attacker = Attacker(hasty)
    more = [("Content-Length", str(len(BODY))), ("Connection", "close"), ("Accept", "text/html"), ("X-Any", "a")]
    status, _ = attacker.answered(attacker.head(*more, ("X-Any", "b")) + BODY)
    assert status == 200 and len(behind.calls) == 1
