"""``gatelodge app | user | org``: beside a running server and without one."""

import asyncio
import json
import os
import socket
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest

from gatelodge.cli.arguments import parser
from gatelodge.config import options
from gatelodge.core.errors import Refused
from gatelodge.store import control
from gatelodge.store.control import ControlRefused, NotListening
from tests.requirements import requirement
from tests.running import Dev, eventually, free_port, running_dev, running_node

pytestmark = pytest.mark.slow
Gatelodge = Callable[..., subprocess.CompletedProcess[str]]
Command = Callable[..., Any]


class Deployment(msgspec.Struct):
    """Where it is, as the command line says it, and the server's issuer while one runs."""

    flags: tuple[str, ...]
    issuer: str = ""


@pytest.fixture(params=["sqlite beside a server", "sqlite alone", "postgresql beside a server"])
def deployment(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Deployment]:
    """A production org: with its node running, and with nothing running."""
    database = str(tmp_path / "gatelodge.db")
    if "postgresql" in request.param:
        database = request.getfixturevalue("postgres_server").fresh_database()
    port, key = free_port(), tmp_path / "master.key"
    flags = ("--database", database, "--master-key-file", str(key))
    public_url = f"http://localhost:{port}"
    with running_node(database, key, public_url, port):
        if "alone" not in request.param:
            yield Deployment(flags, public_url)
            return
    yield Deployment(flags)


@requirement("cli:commands", "cli:exit-codes")
def test_apps_users_and_orgs_are_made_listed_and_shown(deployment: Deployment, gatelodge: Gatelodge):
    def answer(*arguments: str) -> Any:
        done = gatelodge(*arguments, "--json", *deployment.flags)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.count("\n") == 1
        return json.loads(done.stdout)

    made = answer(
        "app", "create", "--name", "My Client", "--email", "dev@x.example", "--callback", "https://my.example/cb",
        "--preset", "claude-code",
    )  # fmt: skip
    assert made["api_name"] == "My_Client"
    assert len(made["consumer_key"]) == 85
    assert made["callback_urls"][-1] == "https://my.example/cb"
    assert made["scopes"] == ["mcp_api", "refresh_token"]
    assert [app["consumer_key"] for app in answer("app", "list")] == [made["consumer_key"]]
    shown = answer("app", "display", "my_client")
    assert {name: shown[name] for name in made} == made
    if deployment.issuer:  # a new app works at first use on a running node
        asked = httpx2.get(f"{deployment.issuer}/services/oauth2/authorize?client_id={made['consumer_key']}")
        assert "No app has this consumer key" not in asked.text
    user = answer("user", "create", "--username", "eve@x.example", "--name", "Eve")
    assert user["password"]
    assert answer("user", "list") == [{name: user[name] for name in ("id", "username", "name", "is_active")}]
    org = answer("org", "create", "--name", "acme", "--label", "Acme")
    assert org["path"] == "/o/acme"
    assert [each["name"] for each in answer("org", "list")] == ["", "acme"]
    assert answer("app", "list", "--org", "acme") == []
    if deployment.issuer:
        metadata = f"{deployment.issuer}/o/acme/.well-known/openid-configuration"
        assert eventually(lambda: httpx2.get(metadata).status_code == 200)
        issuer = httpx2.get(metadata).json()["issuer"]
        # Only the server knows its public URL; beside PostgreSQL the command works without it, and doesn't guess.
        assert org.get("issuer") == (None if "postgresql" in deployment.flags[1] else issuer)


@requirement("cli:exit-codes")
def test_each_failure_has_its_exit_code_and_its_sentence(deployment: Deployment, gatelodge: Gatelodge):
    def refused(*arguments: str, stdin: str = "") -> tuple[int, str]:
        done = gatelodge(*arguments, *deployment.flags, stdin=stdin)
        assert done.stdout == ""
        assert "Traceback" not in done.stderr
        return done.returncode, done.stderr

    assert refused("app", "display", "Nobody") == (
        3, "gatelodge: this org has no app named 'Nobody'; gatelodge app list shows them\n",
    )  # fmt: skip
    assert refused("user", "list", "--org", "none")[0] == 3
    code, said = refused("user", "create", "--username", "not an address")
    assert (code, "must have the form of an e-mail address" in said) == (1, True)
    code, said = refused("user", "create", "--username", "a@b.example", "--password-stdin", stdin="short\n")
    assert (code, "at least 12 are needed" in said) == (1, True)
    code, said = refused("app", "create", "--name", "X", "--email", "a@b.example", "--callback", "http://evil.example/")
    assert (code, "is not encrypted" in said) == (1, True)
    code, said = refused("app", "create", "--name", "X", "--email", "a@b.example", "--preset", "nope")
    assert (code, "there is no preset 'nope'; choose from" in said) == (1, True)
    assert gatelodge("org", "create", "--name", "acme", *deployment.flags).returncode == 0
    code, said = refused("org", "create", "--name", "acme")
    assert (code, "an org named 'acme' exists already" in said) == (1, True)


@requirement("cli:exit-codes")
@pytest.mark.parametrize("arguments", [[], ["app"], ["app", "create"], ["app", "lst"], ["dev", "--nope"], ["fly"]])
def test_wrong_usage_is_2_with_the_usage(gatelodge: Gatelodge, arguments: list[str]):
    done = gatelodge(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "usage: gatelodge" in done.stderr


@requirement("cli:exit-codes")
def test_where_there_is_no_deployment_nothing_is_made(tmp_path: Path, gatelodge: Gatelodge):
    done = gatelodge("app", "list", "--data", str(tmp_path / "nowhere"))
    assert done.returncode == 3
    assert "there is no deployment at" in done.stderr
    assert "start gatelodge dev or gatelodge serve once" in done.stderr
    assert list(tmp_path.iterdir()) == []


@requirement("cli:commands")
def test_lists_are_read_by_people_too(dev: Dev, gatelodge: Gatelodge):
    apps = gatelodge("app", "list", "--data", str(dev.data)).stdout
    assert apps.count("3MVG9") == 6
    assert "robin@acme.example" in gatelodge("user", "list", "--data", str(dev.data)).stdout


@requirement("cli:commands")
def test_commands_at_the_same_time_wait_for_one_another(tmp_path: Path, gatelodge: Gatelodge):
    import sys
    import threading

    with running_dev(tmp_path / "data"):
        pass
    done: list[subprocess.CompletedProcess[str]] = []

    def make(n: int) -> None:
        arguments = ("user", "create", "--username", f"u{n}@x.example", "--data", str(tmp_path / "data"))
        done.append(gatelodge(*arguments))

    threads = [threading.Thread(target=make, args=[n]) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [each.returncode for each in done] == [0] * 4, [each.stderr for each in done] + [sys.executable]
    listed = json.loads(gatelodge("user", "list", "--json", "--data", str(tmp_path / "data")).stdout)
    assert {f"u{n}@x.example" for n in range(4)} <= {user["username"] for user in listed}


@requirement("cli:commands")
def test_every_option_has_a_help_that_the_command_line_shows():
    said = parser().format_help()
    assert "dev" in said
    assert "serve" in said
    for each in options():
        assert each.help.endswith("."), each.name
        assert len(each.help) > 20, each.name


@requirement("cli:control-socket")
def test_the_socket_is_its_owners_alone(dev: Dev):
    mode = (dev.data / "control.sock").stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert mode & 0o777 == 0o600


@requirement("cli:control-socket")
def test_another_user_is_refused_even_through_an_open_socket(tmp_path: Path, run_async: Callable[..., Any]):
    """The kernel says who is at the other end, whatever the file's mode."""
    folder = tmp_path / "open"
    folder.mkdir()

    async def story() -> list[tuple[bool, bytes]]:
        async def answer(verb: str, arguments: dict[str, Any]) -> object:
            return verb

        async with control.serve(folder, answer):
            for each in (folder, *(up for up in folder.parents if len(up.parts) > 2), folder / control.NAME):
                each.chmod(0o777)
            told = []
            for is_other in (False, True):
                process = await asyncio.create_subprocess_exec(
                    *([*AS_NOBODY] if is_other else []), "/usr/bin/python3", "-c", LISTEN if is_other else SPEAK, str(folder / control.NAME),
                    stdout=asyncio.subprocess.PIPE,
                )  # fmt: skip
                told.append((is_other, (await process.communicate())[0]))
            return told

    if os.getuid() == 0:
        mine, others = run_async(story())
        assert json.loads(mine[1]) == {"result": "app list"}
        assert json.loads(others[1])["error"] == "only the user who started the server may command it"


AS_NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
LISTEN = """
import socket, sys
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); print(s.makefile().readline())
"""
SPEAK = LISTEN.replace("print", """s.sendall(b'{"verb": "app list", "arguments": {}}\\n'); print""")


@requirement("cli:control-socket")
def test_a_folder_of_any_depth_will_do(tmp_path: Path, gatelodge: Gatelodge):
    data = tmp_path / ("deep" * 20) / ("er" * 40)
    with running_dev(data) as dev:
        assert len(str(data / "control.sock")) > 107
        done = gatelodge("app", "list", "--json", "--data", str(data))
        assert (done.returncode, len(json.loads(done.stdout))) == (0, 6), done.stderr
    assert dev.process.returncode == 0


@requirement("cli:control-socket")
def test_what_comes_back_over_the_socket(tmp_path: Path, run_async: Callable[..., Any]):
    async def answer(verb: str, arguments: dict[str, Any]) -> object:
        if verb == "refuse":
            raise Refused("because", "field")
        return {"verb": verb, **arguments}

    async def raw(line: bytes) -> dict[str, Any]:
        reader, writer = await asyncio.open_unix_connection(tmp_path / control.NAME)
        writer.write(line)
        writer.write_eof()
        told = json.loads(await reader.readline())
        writer.close()
        return told

    async def story() -> None:
        with pytest.raises(NotListening):
            await control.ask(tmp_path, "early", {})
        async with control.serve(tmp_path, answer):
            assert await control.ask(tmp_path, "app list", {"org": ""}) == {"verb": "app list", "org": ""}
            with pytest.raises(ControlRefused, match="because") as refused:
                await control.ask(tmp_path, "refuse", {})
            assert refused.value.kind == "Refused"
            for nonsense in (b"", b"{}\n", b"not json\n", b'{"verb": 1}\n', b"no end"):
                assert (await raw(nonsense))["kind"] == "ValidationError"
        with pytest.raises(NotListening):
            await control.ask(tmp_path, "late", {})
        assert not (tmp_path / control.NAME).exists()

    run_async(story())


@requirement("cli:control-socket")
def test_a_socket_left_behind_by_a_killed_server_is_no_obstacle(tmp_path: Path, gatelodge: Gatelodge):
    data = tmp_path / "data"
    with running_dev(data) as dev:
        dev.process.kill()
        dev.process.wait(10)
    assert (data / "control.sock").exists()
    assert gatelodge("app", "list", "--data", str(data)).returncode == 0
    with running_dev(data):
        assert gatelodge("app", "list", "--data", str(data)).returncode == 0
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(f"/proc/self/fd/{os.open(data, os.O_RDONLY)}/control.sock")
