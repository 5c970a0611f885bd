"""An upstream MCP server with its authorization server on a real port: strict, and made to lie by the tests."""

import base64
import hashlib
import json
import secrets
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

ACCESS_LIFETIME = 600


class Upstream:
    """``heard`` is every request: path, Authorization, and the form. Each refresh token is good once; using one again ends
    the grant, as a strict issuer does.
    """

    def __init__(self, path: str = "") -> None:
        self.path = path
        self.be_honest()
        upstream = self

        class Answers(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                upstream.answer(self, "")

            def do_POST(self) -> None:
                upstream.answer(self, self.rfile.read(int(self.headers.get("content-length", 0))).decode())

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self.origin = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.issuer = f"{self.origin}{path}"
        self.url = f"{self.origin}/mcp"

    def __enter__(self) -> "Upstream":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def be_honest(self) -> None:
        self.heard: list[tuple[str, str, dict[str, str]]] = []
        self.resource: dict[str, Any] = {}
        self.metadata: dict[str, Any] = {}
        self.challenge: str | None = None
        self.returned: dict[str, str | None] = {}
        self.token: dict[str, Any] | tuple[int, dict[str, Any]] = {}
        self.secret = ""
        self.codes: dict[str, dict[str, str]] = {}
        self.refreshing: dict[str, bool] = {}
        self.given: list[str] = []
        self.lock = threading.Lock()

    def asked(self, path: str) -> list[dict[str, str]]:
        """The forms that came to one path."""
        return [form for at, _, form in self.heard if at == path]

    # --- what it answers ----------------------------------------------------------------------------------------

    def answer(self, to: BaseHTTPRequestHandler, body: str) -> None:
        parts = urlsplit(to.path)
        is_json = to.headers.get("content-type", "") == "application/json"
        form = json.loads(body) if is_json else {name: v[0] for name, v in parse_qs(body or parts.query).items()}
        with self.lock:
            self.heard.append((parts.path, to.headers.get("authorization", ""), form))
            status, said, headers = self._answered(parts.path, form)
        raw = json.dumps(said).encode()
        to.send_response(status)
        for name, value in (headers | {"Content-Type": "application/json", "Content-Length": str(len(raw))}).items():
            to.send_header(name, value)
        to.end_headers()
        to.wfile.write(raw)

    def _answered(self, path: str, form: dict[str, str]) -> tuple[int, Any, dict[str, str]]:
        match path:
            case "/mcp":
                where = f'Bearer resource_metadata="{self.origin}/.well-known/oauth-protected-resource/mcp"'
                challenge = where if self.challenge is None else self.challenge
                return 401, {}, {"WWW-Authenticate": challenge} if challenge else {}
            case "/.well-known/oauth-protected-resource/mcp":
                document = {"resource": self.url, "authorization_servers": [self.issuer], "scopes_supported": ["read"]}
                return 200, document | self.resource, {}
            case "/register":
                return 201, {"client_id": f"registered-{len(self.asked('/register'))}", **form}, {}
            case "/authorize":
                return self._authorize(form)
            case "/token":
                return (*self._token(form), {})
            case _ if path == f"/.well-known/oauth-authorization-server{self.path}":
                return 200, {k: v for k, v in (self._metadata() | self.metadata).items() if v is not None}, {}
            case _:
                return (200, {}, {}) if path == "/revoke" else (404, {}, {})

    def _metadata(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.origin}/authorize",
            "token_endpoint": f"{self.origin}/token",
            "registration_endpoint": f"{self.origin}/register",
            "revocation_endpoint": f"{self.origin}/revoke",
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
            "token_endpoint_auth_methods_supported": ["none", "client_secret_basic"],
            "scopes_supported": ["read", "offline_access"],
        }

    def _authorize(self, form: dict[str, str]) -> tuple[int, Any, dict[str, str]]:
        code = secrets.token_urlsafe(16)
        self.codes[code] = form
        said = {"code": code, "state": form["state"], "iss": self.issuer} | self.returned
        kept = {name: value for name, value in said.items() if value is not None}
        return 302, {}, {"Location": f"{form['redirect_uri']}?{urlencode(kept)}"}

    def _token(self, form: dict[str, str]) -> tuple[int, Any]:
        if isinstance(self.token, tuple):
            return self.token
        match form.get("grant_type"):
            case "authorization_code":
                asked = self.codes.pop(form.get("code", ""), None)
                digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
                challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
                if asked is None or asked["code_challenge"] != challenge or asked["resource"] != form["resource"]:
                    return 400, {"error": "invalid_grant"}
            case "refresh_token":
                if not self.refreshing.pop(form["refresh_token"], False):
                    self.refreshing.clear()
                    return 400, {"error": "invalid_grant", "error_description": "used before"}
            case _:
                return 200, self._given() | self.token
        fresh = secrets.token_urlsafe(16)
        self.refreshing[fresh] = True
        return 200, self._given() | {"refresh_token": fresh} | self.token

    def _given(self) -> dict[str, Any]:
        self.given.append(f"given-{len(self.given) + 1}")
        return {"access_token": self.given[-1], "token_type": "Bearer", "expires_in": ACCESS_LIFETIME}
