"""Those who come to the gate: a person in a browser, and an OAuth client. Both use only what a stranger could."""

import hashlib
import secrets
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

import httpx2
import msgspec

from gatelodge.core.secrets import base64url


class Form(HTMLParser):
    """The forms of a page with the fields that a browser would send."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.forms: list[tuple[str, dict[str, str]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "form":
            self.forms.append((given.get("action") or "", {}))
        elif tag == "input" and self.forms and given.get("name") and given.get("type") not in ("checkbox", "radio"):
            self.forms[-1][1][str(given["name"])] = given.get("value") or ""


def form(page: httpx2.Response, action: str) -> dict[str, str]:
    """The fields of the page's form with this action."""
    return next(fields for target, fields in Form(page.text).forms if urlsplit(target).path.endswith(action))


def form_token(page: httpx2.Response) -> str:
    """What every form of this page carries."""
    return next(fields["form_token"] for _, fields in Form(page.text).forms if "form_token" in fields)


class Person:
    """Somebody with a browser, a name and a password."""

    def __init__(self, front: Any, username: str, password: str) -> None:
        self.front, self.username, self.password = front, username, password

    def sign_in_to_setup(self) -> httpx2.Response:
        page = self.front.get("/login")
        fields = form(page, "/login") | {"username": self.username, "password": self.password}
        return self.front.post("/login", data=fields)

    def go(self, url: str) -> httpx2.Response:
        """Follow redirects inside the house, as a browser does; stop at the way out."""
        answer = self.front.get(url)
        while answer.status_code in (302, 303, 307) and self._is_ours(answer):
            answer = self.front.get(urljoin(str(answer.url), answer.headers["location"]))
        return answer

    def _is_ours(self, answer: httpx2.Response) -> bool:
        target = urlsplit(urljoin(str(answer.url), answer.headers["location"]))
        return target.netloc == urlsplit(str(answer.url)).netloc and "code=" not in target.query

    def answer(self, page: httpx2.Response, **fields: str) -> httpx2.Response:
        """Post the flow's form and follow inside the house."""
        posted = self.front.post(str(page.url), data=form(page, "/flow") | fields)
        return posted if not (posted.is_redirect and self._is_ours(posted)) else self.go(posted.headers["location"])

    def allow(self, url: str) -> dict[str, str]:
        """Sign in and consent as far as asked; the parameters that the client gets."""
        page = self.go(url)
        if page.status_code == 200 and 'name="password"' in page.text:
            page = self.answer(page, username=self.username, password=self.password)
        if page.status_code == 200 and 'value="allow"' in page.text:
            page = self.answer(page, answer="allow")
        return returned(page)


def returned(answer: httpx2.Response) -> dict[str, str]:
    """What the redirect (or the page with the link) brings to the client."""
    if answer.status_code == 200:
        assert 'id="return"' in answer.text, answer.text
        url = answer.text.split('id="return" href="', 1)[1].split('"', 1)[0].replace("&amp;", "&")
    else:
        assert answer.status_code == 303, (answer.status_code, answer.text[:2000])
        url = answer.headers["location"]
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


class OAuthClient(msgspec.Struct, frozen=True, kw_only=True):
    """A public client with PKCE."""

    front: Any
    issuer: str
    client_id: str
    redirect_uri: str
    verifier: str = msgspec.field(default_factory=lambda: secrets.token_urlsafe(48))

    @property
    def challenge(self) -> str:
        return base64url(hashlib.sha256(self.verifier.encode()).digest())

    def authorize_url(self, **changes: str | None) -> str:
        """The URL it opens in the browser; a change of None leaves a parameter out."""
        parameters = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": self.redirect_uri,
            "scope": "mcp_api refresh_token",
            "state": "the-state",
            "code_challenge": self.challenge,
            "code_challenge_method": "S256",
        }
        kept = {name: value for name, value in (parameters | changes).items() if value is not None}
        return f"{self.issuer}/services/oauth2/authorize?{urlencode(kept)}"

    def redeem(self, code: str, **changes: str | None) -> httpx2.Response:
        return self.token(
            **{"grant_type": "authorization_code", "code": code, "redirect_uri": self.redirect_uri,
               "code_verifier": self.verifier} | changes
        )  # fmt: skip

    def refresh(self, token: str, **changes: str | None) -> httpx2.Response:
        return self.token(**{"grant_type": "refresh_token", "refresh_token": token} | changes)

    def token(self, **parameters: str | None) -> httpx2.Response:
        sent = {
            name: value for name, value in ({"client_id": self.client_id} | parameters).items() if value is not None
        }
        return self.front.post(f"{self.issuer}/services/oauth2/token", data=sent)


def tools_list(front: Any, url: str, token: str | None, **headers: str) -> httpx2.Response:
    """A stateless MCP request (2026-07-28) with this token."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    }
    sent = {
        "MCP-Protocol-Version": "2026-07-28",
        "Mcp-Method": "tools/list",
        "Accept": "application/json, text/event-stream",
    }
    sent |= {"Authorization": f"Bearer {token}"} if token is not None else {}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": meta}}
    return front.post(url, json=body, headers=sent | headers)


def call_tool(
    front: Any, url: str, token: str, name: str, arguments: dict[str, Any], **headers: str
) -> httpx2.Response:
    """A stateless tools/call."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    }
    sent = {
        "MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": name,
        "Accept": "application/json, text/event-stream", "Authorization": f"Bearer {token}",
    }  # fmt: skip
    params = {"name": name, "arguments": arguments, "_meta": meta}
    return front.post(
        url, json={"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}, headers=sent | headers
    )
