"""A whole run, good and bad, of which nothing secret is found again: not in what was logged, and not on the disk."""

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx2
import pytest

from tests.gateway.relay.standing import everything
from tests.people import OAuthClient, Person, call_tool, form, form_token, tools_list
from tests.requirements import requirement
from tests.running import Dev, running_dev
from tests.upstreams.issuing import Upstream as Issuer

CALLBACK = "http://127.0.0.1/callback"
HEADER, CLIENT = "the-fixed-header-of-this-upstream", "the-client-secret-for-this-issuer"
ARGUMENT, MISTYPED = "what-the-user-told-the-tool", "a-password-that-was-mistyped"


class Run:
    """What happens, and every secret that was part of it, by what it is."""

    def __init__(self, dev: Dev, http: httpx2.Client) -> None:
        self.dev, self.http = dev, http
        self.secrets: dict[str, str] = {"argument": ARGUMENT, "mistyped": MISTYPED, "header": HEADER, "client": CLIENT}
        user = dev.user(0)
        self.person = Person(http, user["username"], user["password"])
        self.secrets["password"] = user["password"]

    def everything(self, upstream: str, issuer: Issuer) -> None:
        self.sign_in()
        self.secret_app()
        client = OAuthClient(
            front=self.http, issuer=self.dev.issuer, client_id=self.dev.key("codex"), redirect_uri=CALLBACK
        )
        access = self.tokens(client)
        self.servers(upstream, issuer)
        self.calls(client)
        self.mistakes(client, access)

    def sign_in(self) -> None:
        page = self.http.get(f"{self.dev.issuer}/login")
        wrong = form(page, "/login") | {"username": self.person.username, "password": MISTYPED}
        self.http.post(f"{self.dev.issuer}/login", data=wrong)
        page = self.http.get(f"{self.dev.issuer}/login")
        right = form(page, "/login") | {"username": self.person.username, "password": self.person.password}
        assert self.http.post(f"{self.dev.issuer}/login", data=right).status_code == 303
        home = self.http.get(f"{self.dev.issuer}/setup")
        self.secrets["form token"] = form_token(self.person.go(str(home.url)))
        for cookie in self.http.cookies.jar:
            self.secrets[f"cookie {cookie.name}"] = str(cookie.value)

    def secret_app(self) -> None:
        """An app that must show its secret, which it does rightly and wrongly."""
        made = self.dev.tell(
            "app", "create", "--name", "Desk", "--api-name", "Desk", "--email", "it@acme.example",
            "--callback", "https://desk.example/callback", "--scope", "mcp_api", "--scope", "refresh_token",
            "--require-secret-for-web-server-flow",
        )  # fmt: skip
        page = self.http.get(f"{self.dev.issuer}/setup/apps/{made['id']}/credentials")
        action = f"/setup/apps/{made['id']}/credentials"
        shown = self.http.post(str(page.url), data=form(page, action) | {"act": "make"}).text
        self.secrets["consumer secret"] = secret = re.search(r"\b[0-9A-F]{64}\b", shown)[0]
        for given in (secret, secret[:-1] + "x"):
            self.http.post(
                f"{self.dev.issuer}/services/oauth2/token", auth=(made["consumer_key"], given),
                data={"grant_type": "authorization_code", "code": "none", "redirect_uri": "https://desk.example/callback"},
            )  # fmt: skip

    def tokens(self, client: OAuthClient) -> str:
        """A code, used twice; tokens, refreshed, replayed, looked into and revoked."""
        first = self.person.allow(client.authorize_url(resource=self.dev.mcp_url))
        given = client.redeem(first["code"], resource=self.dev.mcp_url).json()
        again = client.refresh(given["refresh_token"]).json()
        client.refresh(given["refresh_token"] + "x")
        client.redeem(first["code"])
        second = self.person.allow(client.authorize_url(resource=self.dev.mcp_url))
        kept = client.redeem(second["code"], resource=self.dev.mcp_url).json()
        revoked = {"token": kept["refresh_token"], "client_id": client.client_id}
        self.http.post(f"{self.dev.issuer}/services/oauth2/revoke", data=revoked)
        client.refresh(kept["refresh_token"])
        for n, each in enumerate((given, again, kept)):
            self.secrets[f"access token {n}"], self.secrets[f"refresh token {n}"] = (
                each["access_token"],
                each["refresh_token"],
            )
        self.secrets |= {"code": first["code"], "second code": second["code"], "verifier": client.verifier}
        return str(again["access_token"])

    def servers(self, upstream: str, issuer: Issuer) -> None:
        """Upstreams with a secret each."""
        for name in ("headed", "issued"):
            self.dev.tell("server", "create", name, "--source", upstream, "--allow-private-addresses")
        self.dev.tell("server", "set", "headed", "credential=header", "header_name=X-Api-Key")
        self.dev.tell("server", "set-secret", "headed", stdin=HEADER)
        self.dev.tell(
            "server",
            "set",
            "issued",
            "credential=client_credentials",
            f"token_url={issuer.origin}/token",
            "client_id=us",
        )
        self.dev.tell("server", "set-secret", "issued", "--kind", "client_secret", stdin=CLIENT)
        for name in ("headed", "issued"):
            self.dev.tell("server", "tools", name, "--on", "test_simple_text", "--on", "test_error_handling")
            self.dev.tell("server", "activate", name)

    def calls(self, client: OAuthClient) -> None:
        for name in ("headed", "issued"):
            url = f"{self.dev.issuer}/mcp/{name}"
            code = self.person.allow(client.authorize_url(resource=url))["code"]
            access = client.redeem(code, resource=url).json()["access_token"]
            self.secrets |= {f"access token for {name}": access, f"code for {name}": code}
            called = call_tool(self.http, url, access, "test_simple_text", {"text": ARGUMENT})
            assert called.status_code == 200, called.text
            call_tool(self.http, url, access, "test_error_handling", {"text": ARGUMENT})
            call_tool(self.http, url, access, "unheard", {"text": ARGUMENT})
            begun = self.http.post(
                url, headers={"Authorization": f"Bearer {access}", "Accept": "application/json, text/event-stream"},
                json={"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
                    "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}},
            )  # fmt: skip
            self.secrets[f"session at {name}"] = begun.headers["mcp-session-id"]

    def mistakes(self, client: OAuthClient, access: str) -> None:
        """What clients do wrong with what they have."""
        mcp, issuer = self.dev.mcp_url, self.dev.issuer
        tools_list(self.http, mcp, access)
        tools_list(self.http, mcp, access[:-2])
        self.http.get(f"{mcp}?access_token={access}")
        self.http.get(f"{issuer}/nowhere/{access}?code={self.secrets['code']}")
        self.http.post(f"{issuer}/services/oauth2/token?client_secret={self.secrets['consumer secret']}", data={})
        self.http.post(f"{issuer}/services/oauth2/token", content=f"{{{access}".encode())
        self.http.post(mcp, headers={"Authorization": f"Basic {access}"}, content=b"\xff" + access.encode())
        self.http.get(f"{issuer}/services/oauth2/userinfo", headers={"Authorization": f"Bearer {access}"})
        self.http.get(client.authorize_url(redirect_uri="https://evil.example/elsewhere"))
        self.http.get(f"{issuer}/setup/apps?search={self.secrets['password']}")


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer() as made:
        yield made


def spellings(secret: str) -> set[bytes]:
    """A secret as somebody might have written it down."""
    plain = secret.encode()
    return {plain, quote(secret, safe="").encode(), base64.b64encode(plain).rstrip(b"="), plain.hex().encode()}


@pytest.mark.slow
@requirement("web:nothing-leaks")
def test_after_a_whole_run_no_secret_is_found_in_the_log_or_on_the_disk(tmp_path: Path, issuer: Issuer):
    log, data = tmp_path / "log", tmp_path / "data"
    with everything("dual") as upstream, running_dev(data, log=log) as dev, httpx2.Client(timeout=30) as http:
        run = Run(dev, http)
        run.everything(upstream, issuer)
        found = found_in(run.secrets, log, data)
    found |= found_in(run.secrets, log, data)  # what is written at the end
    assert len(run.secrets) > 20 and issuer.given
    assert found == set()


def found_in(secrets: dict[str, str], log: Path, data: Path) -> set[tuple[str, str]]:
    """Which secret stands in which file, the one that holds the keys apart."""
    files = [log, *(file for file in data.rglob("*") if file.is_file() and file.name != "master.key")]
    return {
        (what, file.name)
        for file in files
        for what, secret in secrets.items()
        if any(each in file.read_bytes() for each in spellings(secret))
    }
