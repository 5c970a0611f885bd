"""The way from a request to the org that answers it: hosts, paths, methods, addresses."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.requests import Request

from gatelodge.config import Config
from gatelodge.core.operation import Operation, many, text
from gatelodge.web.addresses import client_address
from tests.house import House
from tests.requirements import requirement
from tests.web.serving import Served, statuses

HOST = b"Host: localhost:8765\r\n"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house that these tests only look at."""
    with House(tmp_path_factory.mktemp("shared") / "data") as made:
        yield made


@pytest.fixture(scope="module")
def door(shared: House) -> Iterator[Served]:
    """The house behind real sockets."""

    async def app(scope, receive, send) -> None:
        import asyncio

        # The house lives on a loop of its own: each side's calls are made over there.
        here = asyncio.get_running_loop()

        async def there(call, *given):
            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(call(*given), here))

        answering = shared.app(scope, lambda: there(receive), lambda message: there(send, message))
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(answering, shared._loop))

    with Served(app) as made:
        yield made


METADATA = "/.well-known/oauth-authorization-server"


@requirement("limits:body-size")
@pytest.mark.parametrize(
    "framed",
    [
        b"Content-Length: 70000\r\n\r\n" + b"a=" + b"b" * 69_998,
        b"Transfer-Encoding: chunked\r\n\r\n" + (b"1000\r\n" + b"b" * 0x1000 + b"\r\n") * 17 + b"0\r\n\r\n",
    ],
)
def test_a_form_of_more_than_64_kib_is_413(door: Served, framed: bytes):
    for path in (b"/services/oauth2/token", b"/login"):
        head = b"POST " + path + b" HTTP/1.1\r\n" + HOST + b"Content-Type: application/x-www-form-urlencoded\r\n"
        with door.connect() as wire:
            assert statuses(wire.send(head + framed).until(b"65536")) == [413]


@requirement("limits:methods")
def test_head_answers_as_get_without_a_body(door: Served):
    with door.connect() as wire:
        request = f"%s {METADATA} HTTP/1.1\r\nHost: localhost:8765\r\n%s\r\n"
        got = wire.send((request % ("GET", "")).encode()).until(b"}").partition(b"\r\n\r\n")[0]
    with door.connect() as wire:
        head, _, body = wire.send((request % ("HEAD", "Connection: close\r\n")).encode()).rest().partition(b"\r\n\r\n")
    assert body == b""
    shown = {line.partition(b":")[0] for line in head.splitlines()[1:]} - {b"connection"}
    assert shown == {line.partition(b":")[0] for line in got.splitlines()[1:]}
    assert head.splitlines()[0] == got.splitlines()[0]


@requirement("limits:methods")
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "PROPFIND", "TRACE"])
@pytest.mark.parametrize("path", ["/services/oauth2/token", "/login", "/setup/apps"])
def test_a_method_that_the_path_lacks_is_405_with_those_it_has(shared: House, method: str, path: str):
    answer = shared.client().request(method, path)
    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) >= {"POST" if "token" in path else "GET"}


@requirement("limits:methods")
@pytest.mark.parametrize(("method", "status"), [("BREW", 400), ("GETS", 400)])
def test_an_unknown_method_is_refused(door: Served, method: str, status: int):
    with door.connect() as wire:
        assert statuses(wire.send(f"{method} / HTTP/1.1\r\nHost: localhost:8765\r\n\r\n".encode()).rest()) == [status]


@requirement("limits:methods")
def test_a_preflight_is_answered_where_any_origin_may_read(shared: House):
    asked = {"Origin": "https://inspector.example", "Access-Control-Request-Method": "GET"}
    answer = shared.client().request("OPTIONS", METADATA, headers=asked)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (204, "*")
    assert "access-control-allow-credentials" not in answer.headers


@requirement("web:one-path-one-place")
@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/setup%2Fapps", 400), ("/setup/apps/%00", 400), ("/setup/apps/%0d%0aX:y", 400), ("/mcp%2fsobject-reads", 400),
        ("/setup/apps/%ff", 400), ("/setup/apps/%ed%a0%80", 400), ("/%5cevil.example", 400), ("/static/..%2fmaster.key", 400),
        ("/o//login", 404), ("/o/", 404), ("/o", 404), ("//login", 404), ("/LOGIN", 404), ("/login/", 404),
        ("/./login", 404), ("/setup/../login", 404), ("/o/nobody/login", 404), ("/login", 200), ("/%6cogin", 200),
    ],
)  # fmt: skip
def test_one_path_leads_to_one_place(door: Served, path: str, status: int):
    with door.connect() as wire:
        wire.send(f"GET {path} HTTP/1.1\r\nHost: localhost:8765\r\nConnection: close\r\n\r\n".encode())
        assert statuses(wire.rest()) == [status]


@requirement("web:wrong-host")
def test_another_loopback_name_redirects_pages_and_refuses_endpoints(shared: House):
    front = shared.client()
    for alias in ("127.0.0.1:8765", "[::1]:8765"):
        page = front.get("/login?next=%2Fsetup%2Fapps", headers={"Host": alias})
        assert page.status_code == 307
        assert page.headers["location"] == "http://localhost:8765/login?next=%2Fsetup%2Fapps"
        for path in (METADATA, "/services/oauth2/authorize?client_id=x", "/mcp/sobject-reads", "/id/keys"):
            refused = front.get(path, headers={"Host": alias})
            assert refused.status_code == 421, path
            assert f"This one is at http://localhost:8765{path.partition('?')[0]}" in refused.text
        assert front.post("/login", headers={"Host": alias}).status_code == 421


@requirement("web:wrong-host")
@pytest.mark.parametrize("host", ["evil.example", "localhost", "localhost:80", "localhost:8765.evil.example", ""])
def test_any_other_host_is_refused_whatever_else_is_sent(shared: House, host: str):
    hints = {"X-Forwarded-Host": "localhost:8765", "Forwarded": "host=localhost:8765", "X-Forwarded-Proto": "https"}
    for path in ("/login", METADATA):
        answer = shared.client().get(path, headers={"Host": host, **hints})
        assert answer.status_code == 421
        assert "http://localhost:8765" in answer.text


@requirement("web:wrong-host")
def test_no_header_changes_what_the_metadata_says(shared: House):
    plain = shared.client().get(METADATA).content
    hints = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https", "Forwarded": "host=evil.example"}
    assert shared.client().get(METADATA, headers=hints).content == plain
    assert shared.client().get(METADATA, headers={"Host": "LOCALHOST:8765"}).content == plain


@requirement("web:health")
def test_health_is_answered_at_any_host(shared: House):
    for host in ("10.0.0.7:8765", "localhost:8765"):
        assert shared.client().get("/livez", headers={"Host": host}).json() == {"process": "ok"}
        ready = shared.client().get("/readyz", headers={"Host": host})
        assert (ready.status_code, ready.json()) == (200, {"database": "ok", "feed": "ok", "traffic": "ok"})
        assert ready.headers["cache-control"] == "no-store"


def address(peer: str, forwarded: list[str], *trusted: str) -> str:
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    scope = {"type": "http", "client": (peer, 1), "headers": headers}
    return client_address(Request(scope), Config(trusted_proxy=trusted))


@requirement("web:client-address")
@pytest.mark.parametrize(
    ("peer", "forwarded", "trusted", "expected"),
    [
        ("203.0.113.7", ["1.2.3.4"], (), "203.0.113.7"),
        ("203.0.113.7", ["1.2.3.4"], ("10.0.0.0/8",), "203.0.113.7"),
        ("10.0.0.1", ["1.2.3.4"], ("10.0.0.0/8",), "1.2.3.4"),
        ("10.0.0.1", ["6.6.6.6, 1.2.3.4"], ("10.0.0.0/8",), "1.2.3.4"),
        ("10.0.0.1", ["6.6.6.6", "1.2.3.4, 10.0.0.2"], ("10.0.0.0/8",), "1.2.3.4"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], ("10.0.0.0/8",), "10.0.0.3"),
        ("10.0.0.1", [], ("10.0.0.0/8",), "10.0.0.1"),
        ("10.0.0.1", [""], ("10.0.0.0/8",), "10.0.0.1"),
        ("10.0.0.1", ["<script>"], ("10.0.0.0/8",), "10.0.0.1"),
        ("10.0.0.1", ["1.2.3.4, unknown"], ("10.0.0.0/8",), "10.0.0.1"),
        ("10.0.0.1", ["1.2.3.4:5678"], ("10.0.0.0/8",), "1.2.3.4"),
        ("fd00::1", ["[2001:db8::7]:5678"], ("fd00::/8",), "2001:db8::7"),
        ("fd00::1", ["2001:db8::7"], ("fd00::/8", "10.0.0.0/8"), "2001:db8::7"),
    ],
)
def test_the_clients_address_is_believed_past_trusted_proxies_alone(
    peer: str, forwarded: list[str], trusted: tuple[str, ...], expected: str
):
    assert address(peer, forwarded, *trusted) == expected


@requirement("web:client-address")
@pytest.mark.parametrize(
    ("trusted", "expected"),
    [((), {"203.0.113.7"}), (("203.0.113.0/24",), {"192.0.2.0", "192.0.2.1"}), (("10.0.0.0/8",), {"203.0.113.7"})],
)
def test_requests_wait_under_the_address_of_their_client(tmp_path: Path, trusted: tuple[str, ...], expected: set[str]):
    with House(tmp_path / "data", trusted_proxy=trusted) as house:
        key = next(app["consumer_key"] for app in house.told.apps if app["preset"] == "postman")
        asks = f"/services/oauth2/authorize?response_type=code&client_id={key}"
        asks += f"&code_challenge={'x' * 43}&code_challenge_method=S256"
        for n in range(2):
            answer = house.client().get(asks, headers={"X-Forwarded-For": f"6.6.6.6, 192.0.2.{n}"})
            assert "/flow?request=" in answer.headers["location"]
        assert set(house.read(waiting_addresses)) == expected


def waiting_addresses() -> Operation[list[str]]:
    return (yield from many("SELECT address AS value FROM held_requests LIMIT :limit", text, limit=10))


@requirement("web:wrong-host")
def test_behind_a_path_all_of_this_holds(tmp_path: Path):
    with House(tmp_path / "data", public_url="http://localhost:8765/gate/one") as house:
        front = house.client()
        page = front.get("http://127.0.0.1:8765/gate/one/login")
        assert page.headers["location"] == "http://localhost:8765/gate/one/login"
        assert front.get("http://127.0.0.1:8765/gate/one/services/oauth2/token").status_code == 421
        assert front.get("http://localhost:8765/gate/one/login").status_code == 200
        for elsewhere in ("/login", "/gate/login", "/gate/onelogin", "/gate/one/gate/one/login"):
            assert front.get(f"http://localhost:8765{elsewhere}").status_code == 404
        assert front.get("http://localhost:8765/readyz").status_code == 200
