"""``gatelodge serve`` as a process: the production start, and how it ends."""

import re
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from gatelodge.core import secrets, setup_links
from gatelodge.core.operation import Operation, many, text
from gatelodge.store import open_store
from tests.house import House
from tests.people import form
from tests.postgres import Cluster
from tests.requirements import requirement
from tests.running import Node, eventually, free_port, running_node, status
from tests.web.serving import Wire, statuses

pytestmark = pytest.mark.slow
Gatelodge = Callable[..., subprocess.CompletedProcess[str]]
PASSWORD = "correct horse battery"


@pytest.fixture
def node(tmp_path: Path, database: str) -> Iterator[Node]:
    """One node on an empty database, behind https."""
    port = free_port()
    with running_node(database, tmp_path / "master.key", "https://gate.example.com", port) as made:
        yield made


def front_of(node: Node) -> httpx2.Client:
    """A browser behind the deployment's proxy, which speaks TLS and passes the Host on."""
    return httpx2.Client(base_url=node.address, headers={"Host": "gate.example.com"})


def link_of(node: Node) -> str:
    found = re.search(r"https://gate\.example\.com(/setup/first\?token=\S+)", node.said)
    assert found, node.said
    return found[1]


def first_administrator(front: httpx2.Client, path: str, username: str) -> httpx2.Response:
    page = front.get(path)
    cookies = "; ".join(part.partition(";")[0] for part in page.headers.get_list("set-cookie"))
    fields = form(page, "/setup/first") | {"name": "Ada", "username": username, "password": PASSWORD}
    return front.post("/setup/first", data=fields, headers={"Cookie": cookies})


@requirement("cli:serve", "cli:setup-link")
def test_it_starts_without_users_and_its_link_makes_the_administrator_once(node: Node):
    assert "robin@" not in node.said
    with front_of(node) as front:
        assert front.get("/.well-known/oauth-authorization-server").json()["issuer"] == "https://gate.example.com"
        path = link_of(node)
        assert front.get(path).status_code == 200  # looking uses nothing up
        made = first_administrator(front, path, "ada@gate.example.com")
        assert (made.status_code, made.headers["location"]) == (303, "https://gate.example.com/setup")
        assert all("__Host-" in each and "Secure" in each for each in made.headers.get_list("set-cookie"))
        again = front.get(path)
        assert (again.status_code, again.headers["location"]) == (303, "https://gate.example.com/login")


@requirement("cli:setup-link")
def test_the_link_is_good_for_30_minutes(house_on: House):
    link = secrets.new_token()
    house_on.write(setup_links.create, house_on.org.id, secrets.digest(link), house_on.site.clock.now())
    house_on.later(setup_links.LIFETIME - 1)
    assert house_on.client().get(f"/setup/first?token={link}").status_code == 200
    house_on.later(1)
    assert house_on.client().get(f"/setup/first?token={link}").status_code == 303


@requirement("cli:first-admin-without-browser", "cli:commands")
def test_a_command_makes_the_administrator_beside_the_running_server(
    node: Node, tmp_path: Path, database: str, gatelodge: Gatelodge
):
    where = ("--database", database, "--master-key-file", str(tmp_path / "master.key"))
    given = gatelodge(
        "user", "create", "--username", "ada@gate.example.com", "--admin", "--password-stdin", *where, stdin=f"{PASSWORD}\n"
    )  # fmt: skip
    assert given.returncode == 0, given.stderr
    assert PASSWORD not in given.stdout + given.stderr
    made = gatelodge("user", "create", "--username", "bob@gate.example.com", "--admin", *where)
    shown = re.search(r"^password\s+(\S{16,})$", made.stdout, re.MULTILINE)
    assert shown, made.stdout + made.stderr
    for username, password in (("ada@gate.example.com", PASSWORD), ("bob@gate.example.com", shown[1])):
        with front_of(node) as front:
            page = front.get("/login")
            cookies = "; ".join(part.partition(";")[0] for part in page.headers.get_list("set-cookie"))
            fields = form(page, "/login") | {"username": username, "password": password}
            signed_in = front.post("/login", data=fields, headers={"Cookie": cookies})
            assert signed_in.headers["location"] == "https://gate.example.com/setup"
            session = "; ".join(part.partition(";")[0] for part in signed_in.headers.get_list("set-cookie"))
            assert front.get("/setup/apps", headers={"Cookie": session}).status_code == 200
    listed = gatelodge("user", "list", *where)
    assert shown[1] not in listed.stdout


@requirement("cli:serve")
def test_a_second_start_prints_no_link_once_there_is_an_administrator(tmp_path: Path):
    port, database, key = free_port(), str(tmp_path / "gatelodge.db"), tmp_path / "master.key"
    public_url = f"http://localhost:{port}"
    with (
        running_node(database, key, public_url, port) as node,
        httpx2.Client(base_url=public_url) as front,
    ):
        link = re.search(r"(/setup/first\?token=\S+)", node.said)
        assert link
        assert first_administrator(front, link[1], "ada@gate.example.com").status_code == 303
    with running_node(database, key, public_url, port) as node:
        assert "/setup\n" in node.said
        assert "First step" not in node.said


@requirement("cli:bad-option")
@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "--public-url '' must be a URL such as https://gate.example.com"),
        (["--public-url", "http://gate.example.com"], "must be https; http is for localhost alone"),
        (["--public-url", "https://gate.example.com:443"], "leave out :443"),
        (["--public-url", "https://g.example", "--bind", "8765"], "--bind '8765' must be HOST:PORT"),
        (["--public-url", "https://g.example", "--bind", "0.0.0.0:99999"], "--bind '0.0.0.0:99999' must be HOST:PORT"),
        (["--public-url", "https://g.example", "--trusted-proxy", "10.0.0.1/8"], "has host bits set"),
        (["--public-url", "https://g.example", "--trusted-proxy", "proxy"], "write for example 10.0.0.0/8"),
        (["--public-url", "https://g.example", "--database", "postgresql://x/y"], "--master-key-file"),
        (["--public-url", "https://g.example", "--bind", "192.0.2.1:8765"], "can't listen on 192.0.2.1 port 8765"),
        (["--port", "1"], "unrecognized arguments"),
    ],
)
def test_a_start_that_makes_no_sense_is_refused(tmp_path: Path, gatelodge: Gatelodge, flags: list[str], said: str):
    refused = gatelodge("serve", "--data", str(tmp_path / "data"), *flags)
    assert refused.returncode in (1, 2)
    assert said in refused.stderr
    assert "Traceback" not in refused.stderr


@requirement("cli:stops-gently")
def test_sigterm_takes_readiness_first_and_finishes_what_is_in_flight(node: Node):
    body = b"grant_type=authorization_code&client_id=nobody&code=x"
    head = b"POST /services/oauth2/token HTTP/1.1\r\nHost: gate.example.com\r\nContent-Length: %d\r\n" % len(body)
    with Wire(node.port) as slow, Wire(node.port) as idle:
        slow.send(head + b"Content-Type: application/x-www-form-urlencoded\r\n\r\n" + body[:20])
        idle.send(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").until(b"}")
        node.process.send_signal(signal.SIGTERM)
        assert eventually(lambda: status(f"{node.address}/readyz") == 503)
        assert status(f"{node.address}/livez") == 200  # and everything else is still served meanwhile
        with front_of(node) as front:
            assert front.get("/login").status_code == 200
        node.process.send_signal(signal.SIGTERM)  # a second one skips the notice
        assert idle.rest() == b""
        assert eventually(lambda: status(f"{node.address}/livez") == 0)
        assert node.process.poll() is None
        answer = slow.send(body[20:]).rest()
        assert statuses(answer) == [400]
        assert b"invalid_client" in answer
    assert node.process.wait(10) == 0


@requirement("cli:stops-gently")
def test_ctrl_c_skips_the_notice(node: Node):
    node.process.send_signal(signal.SIGINT)
    assert node.process.wait(10) == 0


@requirement("cli:two-first-starts", "keys:two-first-starts")
def test_two_nodes_that_start_at_once_serve_one_org_with_one_key(
    tmp_path: Path, postgres_server: Cluster, run_async: Callable
):
    url, key = postgres_server.fresh_database(), tmp_path / "master.key"
    ports, served = [free_port(), free_port()], []

    def start(port: int) -> None:
        with running_node(url, key, "https://gate.example.com", port) as node, front_of(node) as front:
            served.append(front.get("/id/keys").json())
            both.wait(30)

    both = threading.Barrier(2)
    threads = [threading.Thread(target=start, args=[port]) for port in ports]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(served) == 2
    assert served[0] == served[1]

    async def orgs() -> list[str]:
        store = await open_store(url)
        try:
            return await store.read(all_ids)
        finally:
            await store.close()

    assert len(run_async(orgs())) == 1


def all_ids() -> Operation[list[str]]:
    return (yield from many("SELECT id AS value FROM orgs LIMIT :limit", text, limit=10))
