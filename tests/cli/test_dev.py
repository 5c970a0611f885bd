"""``gatelodge dev`` as a process."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from gatelodge.config import ConfigRefused, load
from tests.people import OAuthClient, Person
from tests.requirements import requirement
from tests.running import Dev, environment, free_port, running, running_dev, status

pytestmark = pytest.mark.slow
Gatelodge = Callable[..., subprocess.CompletedProcess[str]]
PRESETS = ["claude-code", "codex", "cursor", "mcp-inspector", "postman", "vscode"]


@requirement("cli:dev-json", "cli:dev-first-start")
def test_the_first_line_is_one_json_object_with_everything_to_connect(dev: Dev):
    told = dev.told
    assert list(told) == ["issuer", "setup_url", "mcp_servers", "users", "apps"]
    assert told["setup_url"] == f"{told['issuer']}/setup"
    assert told["mcp_servers"] == [{"name": "sobject-reads", "url": f"{told['issuer']}/mcp/sobject-reads"}]
    assert [sorted(user) for user in told["users"]] == [["password", "role", "username"]] * 3
    assert ["administrator" in told["users"][0]["role"], "no access" in told["users"][2]["role"]] == [True, True]
    assert [sorted(app) for app in told["apps"]] == [["api_name", "consumer_key", "preset"]] * 6
    assert sorted(app["preset"] for app in told["apps"]) == PRESETS
    assert {len(app["consumer_key"]) for app in told["apps"]} == {85}


@requirement("cli:dev-first-start", "keys:file-is-private")
def test_the_first_start_makes_the_folder_and_the_key_for_its_owner(dev: Dev):
    assert dev.data.stat().st_mode & 0o077 == 0
    assert (dev.data / "master.key").stat().st_mode & 0o777 == 0o600
    assert (dev.data / "gatelodge.db").exists()
    kept = b"".join(each.read_bytes() for each in dev.data.iterdir() if each.is_file())
    for user in dev.told["users"]:
        assert user["password"].encode() not in kept


@requirement("cli:dev-loopback-only")
def test_it_listens_on_loopback_alone(dev: Dev):
    port = int(dev.issuer.rpartition(":")[2])
    assert status(f"http://127.0.0.1:{port}/livez") == 200
    assert status(f"http://[::1]:{port}/livez") == 200
    listening = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            local, state = line.split()[1], line.split()[3]
            address, _, hexport = local.partition(":")
            if state == "0A" and int(hexport, 16) == port:
                listening.add(address)
    assert listening == {"0100007F", "0" * 24 + "01000000"}


@requirement("web:wrong-host")
def test_127_0_0_1_leads_pages_to_localhost_and_refuses_endpoints(dev: Dev):
    other = dev.issuer.replace("localhost", "127.0.0.1")
    page = httpx2.get(f"{other}/login")
    assert (page.status_code, page.headers["location"]) == (307, f"{dev.issuer}/login")
    refused = httpx2.get(f"{other}/.well-known/oauth-authorization-server")
    assert refused.status_code == 421
    assert f"{dev.issuer}/.well-known/oauth-authorization-server" in refused.text


@requirement("cli:dev-again")
def test_a_second_start_prints_the_same_until_an_owner_changes_a_password(tmp_path: Path):
    with running_dev(tmp_path / "data") as first:
        told = first.told
        user = first.user(1)
        with httpx2.Client(base_url=first.issuer) as front:
            person = Person(front, user["username"], user["password"])
            assert person.sign_in_to_setup().status_code == 303
            page = front.get("/setup/password")
            token = page.text.split('name="form_token" value="', 1)[1].split('"', 1)[0]
            fields = {"form_token": token, "current": user["password"], "fresh": "a password of my own"}
            changed = front.post("/setup/password", data=fields | {"again": "a password of my own"})
            assert changed.status_code == 200, changed.text
    assert first.process.returncode == 0
    with running_dev(tmp_path / "data") as second:
        assert second.told["apps"] == told["apps"]
        now = [(user["username"], user["password"]) for user in second.told["users"]]
        before = [(user["username"], user["password"]) for user in told["users"]]
        assert [now[0], now[2]] == [before[0], before[2]]
        assert now[1] == (user["username"], "(set by its owner)")
        with httpx2.Client(base_url=second.issuer) as front:
            assert Person(front, user["username"], user["password"]).sign_in_to_setup().status_code == 400
            assert Person(front, user["username"], "a password of my own").sign_in_to_setup().status_code == 303


@requirement("cli:dev-text")
def test_without_json_it_prints_what_a_person_needs(tmp_path: Path):
    port = free_port()
    command = ["dev", "--port", str(port), "--data", str(tmp_path / "data")]
    with running(command, f"http://localhost:{port}/readyz") as (process, first):
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        said = first + process.stdout.read()
    for wanted in (
        f"http://localhost:{port}/setup", f"http://localhost:{port}/mcp/sobject-reads", "robin@acme.example",
        "claude mcp add --transport http --client-id 3MVG9", "codex mcp add", "Cursor", "VS Code", "Postman",
    ):  # fmt: skip
        assert wanted in said


@requirement("cli:dev-options")
def test_a_path_in_the_public_url_is_part_of_the_issuer(tmp_path: Path):
    with running_dev(tmp_path / "data", path="/gate/one") as dev:
        assert dev.issuer.endswith("/gate/one")
        origin = dev.issuer.removesuffix("/gate/one")
        metadata = httpx2.get(f"{origin}/.well-known/oauth-authorization-server/gate/one").json()
        assert metadata["issuer"] == dev.issuer
        assert metadata["token_endpoint"] == f"{dev.issuer}/services/oauth2/token"
        assert httpx2.get(f"{origin}/login").status_code == 404


@requirement("cli:dev-options")
def test_the_port_follows_the_public_url_and_the_other_way_round():
    assert load({"is_development": True, "port": 9001}, {}).public_url == "http://localhost:9001"
    assert load({"is_development": True, "public_url": "http://localhost:9002/gate"}, {}).port == 9002
    assert load({"is_development": True}, {"GATELODGE_PORT": "9003"}).public_url == "http://localhost:9003"
    both = load({"is_development": True, "public_url": "http://localhost:9004", "port": 9005}, {})
    assert (both.public_url, both.port) == ("http://localhost:9004", 9005)


@requirement("cli:dev-options")
def test_refresh_grace_0_is_strict_rotation_and_the_delay_holds_back_a_new_app(tmp_path: Path, gatelodge: Gatelodge):
    flags = ("--refresh-grace", "0", "--propagation-delay", "1h")
    with running_dev(tmp_path / "data", *flags) as dev, httpx2.Client(base_url=dev.issuer) as front:
        redirect_uri = "http://localhost:8080/callback"
        client = OAuthClient(
            front=front, issuer=dev.issuer, client_id=dev.key("claude-code"), redirect_uri=redirect_uri
        )
        code = Person(front, dev.user(0)["username"], dev.user(0)["password"]).allow(client.authorize_url())["code"]
        refresh = client.redeem(code).json()["refresh_token"]
        assert client.refresh(refresh).status_code == 200
        assert client.refresh(refresh).json()["error"] == "invalid_grant"
        made = gatelodge(
            "app", "create", "--name", "Later", "--email", "a@b.example", "--callback", "https://later.example/cb",
            "--data", str(dev.data), "--json",
        )  # fmt: skip
        assert made.returncode == 0, made.stderr
        page = front.get(f"/services/oauth2/authorize?client_id={json.loads(made.stdout)['consumer_key']}")
        assert "live yet" in page.text


@requirement("cli:port-in-use")
def test_a_port_in_use_and_a_folder_in_use_are_named(tmp_path: Path, gatelodge: Gatelodge, dev: Dev):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = gatelodge("dev", "--port", str(port), "--data", str(tmp_path / "data"))
    assert refused.returncode == 1
    where = f"127.0.0.1 port {port}"
    why = "Address already in use; stop what does, or choose another with --port"
    assert refused.stderr == f"gatelodge: can't listen on {where}: {why}\n"
    refused = gatelodge("dev", "--port", str(free_port()), "--data", str(dev.data))
    assert refused.returncode == 1
    assert f"{dev.data} is in use by process {dev.process.pid}; stop it, or choose another --data" in refused.stderr


@requirement("cli:unknown-option")
@pytest.mark.parametrize(
    ("environ", "toml", "said"),
    [
        ({"GATELODGE_PROT": "1"}, "", "the environment variable GATELODGE_PROT: there is no option prot; did you mean port?"),
        ({"GATELODGE_IS_DEVELOPMENT": "1"}, "", "there is no option is_development"),
        ({}, "refresh_grase = '1s'", "there is no option refresh_grase; did you mean refresh_grace?"),
        ({}, "colour = 'red'", "there is no option colour; the options are public_url"),
        ({}, "port = = 1", "can't be read"),
    ],
)  # fmt: skip
def test_an_option_that_nobody_knows_refuses_to_start(tmp_path: Path, environ: dict[str, str], toml: str, said: str):
    (tmp_path / "gatelodge.toml").write_text(toml)
    with pytest.raises(ConfigRefused) as refused:
        load({}, environ, tmp_path / "gatelodge.toml" if toml else None)
    assert said in str(refused.value)
    started = subprocess.run(
        [sys.executable, "-m", "gatelodge", "dev"],
        env=environment() | environ, cwd=tmp_path, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert (started.returncode, started.stdout) == (1, "")
    assert said in started.stderr
    assert sorted(each.name for each in tmp_path.iterdir()) == ["gatelodge.toml"]


@requirement("cli:bad-option")
@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--port", "0"], "--port 0 must be 1 to 65535"),
        (["--port", "70000"], "--port 70000 must be 1 to 65535"),
        (["--refresh-grace", "121s"], "--refresh-grace '121s' must be 0 to 120 seconds"),
        (["--refresh-grace", "soon"], "--refresh-grace 'soon' is not a duration; write 30s, 10m or 12h"),
        (["--propagation-delay", "-1"], "--propagation-delay '-1' is not a duration"),
        (["--public-url", "https://gate.example.com"], "gatelodge dev is for this machine alone"),
        (["--public-url", "http://localhost:80"], "leave out :80"),
        (["--public-url", "http://localhost:99999"], "--port 99999 must be 1 to 65535"),
        (["--public-url", "http://localhost:8765/"], "without a slash at its end"),
        (["--public-url", "http://LOCALHOST:8765"], "in lower case"),
        (["--public-url", "http://user@localhost:8765"], "must be a URL such as"),
        (["--public-url", "http://localhost:8765/a?b=c"], "must be a URL such as"),
        (["--public-url", "localhost:8765"], "must be a URL such as"),
    ],
)
def test_a_value_that_an_option_can_not_have_is_named(
    tmp_path: Path, gatelodge: Gatelodge, flags: list[str], said: str
):
    refused = gatelodge("dev", "--data", str(tmp_path / "data"), *flags)
    assert refused.returncode in (1, 2)
    assert said in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "data").exists()


@requirement("cli:stops-gently")
def test_ctrl_c_ends_it_at_once_with_code_0(tmp_path: Path):
    with running_dev(tmp_path / "data") as dev:
        dev.process.send_signal(signal.SIGINT)
        assert dev.process.wait(10) == 0
    assert not (dev.data / "control.sock").exists()
