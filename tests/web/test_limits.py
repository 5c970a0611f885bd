"""The HTTP server's limits, over raw sockets: the real sizes, and short times where the real ones are long."""

import contextlib
import json
from collections.abc import Iterator

import pytest

from gatelodge.web.server import Limits
from tests.requirements import requirement
from tests.running import eventually
from tests.web.serving import Served, mirror, statuses

HOST = b"Host: here\r\n"


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    """With the limits of the product."""
    with Served(mirror) as made:
        yield made


@pytest.fixture(scope="module")
def hasty() -> Iterator[Served]:
    """With times that a test can wait for."""
    with Served(mirror, Limits(header_seconds=0.3, body_seconds=0.3)) as made:
        yield made


def headers(size: int) -> bytes:
    """One header of exactly this size on the wire."""
    return b"X: " + b"v" * (size - 5) + b"\r\n"


@requirement("limits:head-size")
@pytest.mark.parametrize(("size", "status"), [(30_000, 200), (32_700, 200), (32_800, 431), (300_000, 431)])
def test_a_head_of_32_kib_passes_and_a_larger_one_is_431(served: Served, size: int, status: int):
    with served.connect() as wire:
        wire.send(b"GET / HTTP/1.1\r\n" + HOST + b"Connection: close\r\n" + headers(size - 60) + b"\r\n")
        assert statuses(wire.rest()) == [status]


@requirement("limits:head-size")
def test_a_long_target_is_a_large_head(served: Served):
    with served.connect() as wire:
        wire.send(b"GET /" + b"a" * 33_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n")
        assert statuses(wire.rest()) == [431]


@requirement("limits:head-size")
@pytest.mark.parametrize("piece", [1, 1000, 5000])
def test_a_header_without_an_end_is_431_however_it_is_cut(served: Served, piece: int):
    raw = b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"v" * 40_000
    with served.connect() as wire:
        try:
            for start in range(0, len(raw), piece):
                wire.send(raw[start : start + piece])
        except ConnectionError:
            pass  # closed while we were still sending
        assert statuses(wire.rest())[:1] in ([431], [])
    with served.connect() as wire:
        assert statuses(wire.send(raw[:39_000]).rest()) == [431]


@requirement("limits:head-size")
@pytest.mark.parametrize(("count", "status"), [(98, 200), (99, 431), (5000, 431)])
def test_more_than_a_hundred_headers_are_431(served: Served, count: int, status: int):
    with served.connect() as wire:
        many = b"".join(b"A: b\r\n" for _ in range(count))
        wire.send(b"GET / HTTP/1.1\r\n" + HOST + b"Connection: close\r\n" + many + b"\r\n")
        assert statuses(wire.rest()) == [status]


@requirement("limits:head-size", "limits:pipelining")
def test_the_second_request_of_a_connection_is_measured_as_the_first(served: Served):
    first = b"POST /first HTTP/1.1\r\n" + HOST + b"Content-Length: 300000\r\n\r\n" + b"b" * 300_000
    with served.connect() as wire:
        assert b'"size":300000' in wire.send(first).until(b"}")
        wire.send(b"GET /second HTTP/1.1\r\n" + HOST + headers(30_000) + b"\r\n")
        assert b'"path":"/second"' in wire.until(b"}")
        assert statuses(wire.send(b"GET /third HTTP/1.1\r\n" + HOST + headers(33_000) + b"\r\n").rest()) == [431]


@requirement("limits:head-time")
@pytest.mark.parametrize("begun", [b"", b"G", b"GET / HTTP/1.1\r\n" + HOST, b"\r\n\r\n\r\n"])
def test_a_head_that_is_not_whole_in_time_is_408(hasty: Served, begun: bytes):
    with hasty.connect() as wire:
        assert statuses(wire.send(begun).rest()) == [408]


@requirement("limits:head-time")
def test_a_drip_of_headers_wins_no_time(hasty: Served):
    with hasty.connect() as wire:
        wire.send(b"GET / HTTP/1.1\r\n")

        def is_closed() -> bool:
            try:
                wire.send(b"A: b\r\n")
            except ConnectionError:
                return True
            return False

        assert eventually(is_closed)


@requirement("limits:head-time", "limits:body-time")
def test_a_connection_kept_alive_may_rest_but_not_dawdle(hasty: Served):
    request = b"POST /again HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\n\r\nok"
    with hasty.connect() as wire, hasty.connect() as other:
        assert b"/again" in wire.send(request).until(b"}")
        assert statuses(other.rest()) == [408]  # the time of a head goes by
        assert b"/again" in wire.send(request).until(b"}")
        assert statuses(wire.send(request[:30]).rest()) == [408]


@requirement("limits:body-time")
@pytest.mark.parametrize(
    "begun", [b"Content-Length: 10\r\n\r\nhalf", b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", b"Content-Length: 1\r\n\r\n"]
)  # fmt: skip
def test_a_body_that_is_not_whole_in_time_is_408(hasty: Served, begun: bytes):
    with hasty.connect() as wire:
        assert statuses(wire.send(b"POST / HTTP/1.1\r\n" + HOST + begun).rest()) == [408]


@requirement("limits:framing")
def test_a_trailer_sets_nothing(served: Served):
    with served.connect() as wire:
        wire.send(b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\nTrailer: x\r\n\r\n")
        wire.send(b"2\r\nok\r\n0\r\nAuthorization: Bearer x\r\n\r\n")
        answer = json.loads(wire.until(b"}").partition(b"\r\n\r\n")[2])
        assert answer["names"] == ["host", "transfer-encoding", "trailer"]
        assert answer["size"] == 2


@requirement("limits:framing")
@pytest.mark.parametrize(
    "endless",
    [b"2;" + b"e" * 100_000 + b"\r\nok\r\n", b"2\r\nok\r\n0\r\nT: " + b"v" * 100_000, b"0\r\n" + b"T: v\r\n" * 20_000],
)
def test_chunk_extensions_and_trailers_are_bounded(served: Served, endless: bytes):
    with served.connect() as wire:
        wire.send(b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            wire.send(endless)
        assert statuses(wire.rest()) == [431]


@requirement("limits:framing")
def test_a_body_in_single_bytes_is_a_body(served: Served):
    with served.connect() as wire:
        wire.send(b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n")
        wire.send(b"1\r\nx\r\n" * 20_000 + b"0\r\n\r\n")
        assert b'"size":20000' in wire.until(b"}")


@requirement("limits:connections")
def test_an_address_has_a_bounded_number_of_connections():
    with Served(mirror, Limits(connections_per_address=3)) as served:
        held = [served.connect() for _ in range(3)]
        request = b"GET /%d HTTP/1.1\r\n" + HOST + b"\r\n"
        assert [b"200" in wire.send(request % n).until(b"}") for n, wire in enumerate(held)] == [True] * 3
        with served.connect() as fourth:
            assert fourth.rest() == b""
        held[0].socket.close()

        def is_served() -> bool:
            with served.connect() as wire:
                try:
                    return b" 200 " in wire.send(request % 4).until(b"}")
                except (AssertionError, ConnectionError):
                    return False

        assert eventually(is_served)
        for wire in held:
            wire.socket.close()


@requirement("limits:connections")
def test_a_trusted_proxy_is_not_one_address_but_all_together_are_bounded():
    limits = Limits(connections_per_address=1, connections=4)
    with Served(mirror, limits, trusted=("127.0.0.0/8",)) as served:
        held = [served.connect() for _ in range(4)]
        assert [b"200" in wire.send(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n").until(b"}") for wire in held] == [True] * 4
        with served.connect() as fifth:
            assert fifth.rest() == b""
        for wire in held:
            wire.socket.close()


@requirement("limits:slow-client-costs-nobody")
def test_hundreds_of_slow_connections_keep_nobody_from_being_served(served: Served):
    slow = [served.connect().send(b"GET / HTTP/1.1\r\nA") for _ in range(400)]
    with served.connect() as wire:
        assert b" 200 " in wire.send(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n").until(b"}")
    for each in slow:
        each.socket.close()


@requirement("limits:pipelining")
def test_pipelined_requests_are_answered_in_order(served: Served):
    many = b"".join(b"GET /%d HTTP/1.1\r\n" % n + HOST + b"\r\n" for n in range(10))
    with served.connect() as wire:
        read = wire.send(many).until(b'"/9"')
        assert [b'"path":"/%d"' % n in read for n in range(10)] == [True] * 10
        assert sorted(range(10), key=lambda n: read.index(b'"/%d"' % n)) == list(range(10))


@requirement("limits:pipelining")
def test_what_is_wrong_with_the_second_request_is_never_the_answer_to_the_first(hasty: Served):
    first = b"POST /first HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\n\r\nok"
    for second in (b"NONSENSE\r\n\r\n", b"GET / HTTP/1.1\r\n" + HOST + headers(40_000), b"GET / HTTP/1.1\r\nA"):
        with hasty.connect() as wire:
            answers = statuses(wire.send(first + second).rest())
            assert answers[:1] in ([200], []), second
            assert answers[1:] in ([], [400], [408], [431]), second


@requirement("limits:pipelining")
def test_the_queue_of_pipelined_requests_is_bounded(served: Served):
    with served.connect() as wire:
        with contextlib.suppress(ConnectionError):
            wire.send((b"GET / HTTP/1.1\r\n" + HOST + b"\r\n") * 2000)
        assert len(statuses(wire.rest())) < 2000


SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: here\r\n\r\n"


@requirement("limits:smuggling")
@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: 5\r\nContent-Length: 5\r\n",
        b"Content-Length: 5, 5\r\n",
        b"Content-Length: +5\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: 0x5\r\n",
        b"Content-Length: 5 5\r\n",
        b"Content-Length: 99999999999999999999\r\n",
        b"Content-Length : 5\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        b"X: a\r\n folded\r\n",
        b"X: a\r\n\tTransfer-Encoding: chunked\r\n",
        b" X: a\r\n",
        b"X: a\nTransfer-Encoding: chunked\r\n",
        b"X: a\rTransfer-Encoding: chunked\r\n",
        b"X: a\x00b\r\n",
        b"X\x00Y: a\r\n",
        b"X Y: a\r\n",
        b": empty\r\n",
        b"no colon\r\n",
        b"Host: elsewhere\r\n",
    ],
)
def test_a_request_that_could_be_cut_in_two_ways_is_refused(served: Served, head: bytes):
    with served.connect() as wire:
        read = wire.send(b"POST / HTTP/1.1\r\n" + HOST + head + b"\r\n0\r\n\r\n" + SMUGGLED).rest()
    assert statuses(read) == [400], read
    assert b"smuggled" not in read


@requirement("limits:smuggling")
@pytest.mark.parametrize(
    "chunks", [b"5\r\nabc\r\n0\r\n\r\n", b"0x3\r\nabc\r\n0\r\n\r\n", b"3\nabc\n0\n\n", b"-1\r\n\r\n", b"3 \r\nabcd\r\n0\r\n\r\n"]
)  # fmt: skip
def test_chunks_that_do_not_add_up_are_refused(served: Served, chunks: bytes):
    with served.connect() as wire:
        wire.send(b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + SMUGGLED)
        read = wire.rest()
    assert statuses(read) in ([400], []), read
    assert b"smuggled" not in read


@requirement("limits:smuggling")
@pytest.mark.parametrize(
    "line",
    [b"GET / HTTP/1.1\n", b"GET / HTTP/9.9\r\n", b"GET / HTTP/1.1 \r\n", b"GET /\r\n",
     b"get / HTTP/1.1\r\n", b"PRI * HTTP/2.0\r\n", b"GET \xff HTTP/1.1\r\n", b"CONNECT here:443 HTTP/1.1\r\n"],
)  # fmt: skip
def test_a_request_line_of_another_shape_is_refused(served: Served, line: bytes):
    with served.connect() as wire:
        assert statuses(wire.send(line + HOST + b"\r\n").rest())[:1] == [400]


@requirement("limits:smuggling")
def test_a_request_names_its_host_once(served: Served):
    with served.connect() as wire:
        assert statuses(wire.send(b"GET / HTTP/1.1\r\nA: b\r\n\r\n").rest()) == [400]
    with served.connect() as wire:
        assert statuses(wire.send(b"GET / HTTP/1.0\r\n\r\n").rest()) == [200]


@requirement("limits:smuggling")
def test_an_offered_upgrade_is_answered_in_http_1_1(served: Served):
    with served.connect() as wire:
        wire.send(b"GET /up HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        assert statuses(wire.until(b"}")) == [200]
