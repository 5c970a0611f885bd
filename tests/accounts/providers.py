"""Providers of the tests of upstream sign-in: what both kinds share, and one that lies when it is told to."""

import base64
import http.server
import threading
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import msgspec
from joserfc import jwt
from joserfc.jwk import ECKey

from gatelodge.cli.verbs import perform
from gatelodge.core import users
from tests.factors import is_signed_in
from tests.house import House
from tests.people import Person

SECRET = "the secret of gatelodge & = + %"


def add_provider(house: House, issuer: str, **changes: Any) -> dict[str, Any]:
    """What an operator types."""
    arguments = {
        "name": "corp", "label": "Corp", "issuer": issuer, "client_id": "gatelodge", "client_secret": SECRET,
        "scope": ["profile", "email", "groups"], "username_claim": "email", "groups_claim": "groups",
        "map": ["admins=Administrator"], "permission_sets": ["Standard_User"], "link_by_username": False,
        "allow_private_addresses": True,
    }  # fmt: skip
    return house.run(perform(house.site, "identity-provider add", arguments | changes))


def visit_provider(url: str, who: str) -> str:
    """The browser at the provider, until it is sent back: the URL that it is sent to."""
    with httpx2.Client(cookies={"who": who}, follow_redirects=False) as browser:
        for _ in range(12):
            answer = browser.get(url)
            assert answer.is_redirect, (answer.status_code, answer.text[:500])
            url = str(httpx2.URL(url).join(answer.headers["location"]))
            if url.startswith("http://localhost:8765"):
                return url
    raise AssertionError("the provider never came to an end")


def sign_in_as(front, who: str, begin: str = "/login/upstream/corp"):
    """The whole way there and back."""
    away = front.get(begin)
    assert away.status_code == 303, away.text
    return front.get(visit_provider(away.headers["location"], who))


def today(house: House) -> None:
    """The provider lives in the present, and so must the house."""
    house.later(max(0.0, time.time() - house.site.clock.exact()))


def stranger(house: House) -> Person:
    return Person(house.client(), "", "")


def users_of(org_id: str) -> Any:
    """The org's users."""
    return (yield from users.in_order(org_id))


class Liar:
    """An OpenID provider in a thread whose every answer a test can change."""

    def __init__(self) -> None:
        self.be_honest()

    def be_honest(self) -> None:
        """Answer as a good provider does, until a test changes something."""
        self.key = ECKey.generate_key("P-256", {"kid": "one", "alg": "ES256", "use": "sig"})
        self.metadata: dict[str, Any] = {}
        self.claims: dict[str, Any] = {}
        self.header: dict[str, Any] = {"alg": "ES256", "kid": "one"}
        self.signs_with: Any = self.key
        self.jwks: list[dict[str, Any]] = [self.key.as_dict(private=False)]
        self.token: dict[str, Any] = {}
        self.userinfo: dict[str, Any] | None = None
        self.heard: list[tuple[str, str, str]] = []
        self.nonce = ""
        self.status, self.body = 200, b""

    def __enter__(self) -> "Liar":
        liar = self

        class Answers(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.answer(b"")

            def do_POST(self) -> None:
                self.answer(self.rfile.read(int(self.headers["content-length"])))

            def answer(self, body: bytes) -> None:
                liar.heard.append((self.path, self.headers.get("authorization", ""), body.decode()))
                status, text = liar.answer(self.path)
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", f"{liar.issuer}/jwks")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self.issuer = f"http://localhost:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, path: str) -> tuple[int, bytes]:
        if self.body and path in self.body_at:
            return self.status, self.body
        if path == "/.well-known/openid-configuration":
            told = {"issuer": self.issuer, "authorization_endpoint": f"{self.issuer}/auth",
                    "token_endpoint": f"{self.issuer}/token", "jwks_uri": f"{self.issuer}/jwks"} | self.metadata  # fmt: skip
            if self.userinfo is not None:
                told["userinfo_endpoint"] = f"{self.issuer}/userinfo"
            return 200, msgspec.json.encode(told)
        if path == "/jwks":
            return 200, msgspec.json.encode({"keys": self.jwks})
        if path == "/userinfo":
            return 200, msgspec.json.encode(self.userinfo)
        return 200, msgspec.json.encode(
            {"access_token": "at", "token_type": "Bearer", "id_token": self.id_token()} | self.token
        )

    body_at: tuple[str, ...] = ()

    def id_token(self) -> str:
        now = int(self.now())
        claims = {"iss": self.issuer, "aud": "gatelodge", "sub": "ada", "iat": now, "exp": now + 300,
                  "nonce": self.nonce, "email": "ada@corp.example", "name": "Ada"} | self.claims  # fmt: skip
        kept = {name: value for name, value in claims.items() if value is not None}
        if self.header["alg"] == "none":
            parts = [msgspec.json.encode(self.header), msgspec.json.encode(kept)]
            return ".".join(base64.urlsafe_b64encode(each).rstrip(b"=").decode() for each in parts) + "."
        return jwt.encode(self.header, kept, self.signs_with, algorithms=[self.header["alg"]])

    def now(self) -> float:
        return 1_790_000_000.0


def come_back(house: House, liar: Liar, **changes: str | None):
    """A browser that went to the provider and is sent back with a code: what it is answered."""
    who = stranger(house)
    away = who.front.get("/login/upstream/corp")
    assert away.status_code == 303, away.text
    asked = {name: values[0] for name, values in parse_qs(urlsplit(away.headers["location"]).query).items()}
    liar.nonce = asked["nonce"]
    sent = {"code": "the code", "state": asked["state"]} | changes
    answer = who.front.get("/login/callback", params={name: value for name, value in sent.items() if value is not None})
    assert is_signed_in(who) is (answer.status_code == 303)
    return answer, asked
