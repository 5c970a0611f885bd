"""Two orgs of one deployment, and everybody's ways into it: browsers, clients, Setup and other nodes' news."""

import asyncio
import re
from typing import Any

import httpx2

from gatelodge.core import permissions, secrets, sessions, users
from gatelodge.core.ids import PERMISSION_SET, SESSION, USER
from gatelodge.core.mcp_servers import resource
from gatelodge.web import browser, cookies
from tests.house import House
from tests.invariants.model import DAY, STAGED_LIVES, App, User
from tests.oauth.confidential import Confidential, add_confidential, give_secret
from tests.oauth.scenes import HTTPS, add_app, add_org, add_server
from tests.people import OAuthClient, Person, tools_list
from tests.setup.offices import send

SERVERS = ("sobject-reads", "second")
SCOPES = ("mcp_api", "refresh_token", "openid", "profile")
PROVEN = {
    "require_secret_for_web_server_flow": True,
    "require_secret_for_refresh_token_flow": True,
    "client_credentials_flow": True,
    "token_exchange_flow": True,
    "client_credentials": True,
    "token_exchange": True,
}
STANDARD = permissions.PermissionSet(
    api_name="Standard_User", label="Standard User", system=(permissions.USE_MCP_SERVERS,)
)
SIGNED_IN_FOR = 500
"""Seconds after which somebody signs in again, so that Setup needs no second proof of who they are."""
SHOWN_SECRET = re.compile(r'<code id="consumer-secret">([0-9A-F]{64})</code>')
SHOWN_KEY = re.compile(r"3MVG9[A-Za-z0-9._]{80}")


class World:
    """One house for many stories: each has users and apps of its own, and begins when the one before is long over."""

    def __init__(self, house: House) -> None:
        self.house, self.front = house, house.client()
        self.orgs = [add_org(house, name) for name in ("north", "south")]
        for org in self.orgs:
            add_server(house, "second", org)
            house.write(permissions.create, org.id, secrets.new_id(PERMISSION_SET), STANDARD)
        self.inspectors: list[Confidential] = [
            add_confidential(house, org=org, introspect_all_tokens=True, label=f"{org.name} inspector")
            for org in self.orgs
        ]
        self.administrators = [self.add_user(n, "Administrator") for n in range(len(self.orgs))]

    def begin(self) -> None:
        """A new story, long after the one before."""
        self.house.later(2 * DAY)
        for n, org in enumerate(self.orgs):
            for name in set(SERVERS) - set(self.house.run(self.house.site.live.servers(org.id))):
                self.set_server(n, name, is_active=True)

    @property
    def now(self) -> int:
        """Epoch seconds."""
        return self.house.site.clock.now()

    @property
    def now_ms(self) -> int:
        """Epoch milliseconds."""
        return self.house.site.clock.now_ms()

    def uri(self, n: int, server: str) -> str:
        """A server's URL."""
        return resource(self.orgs[n], server)

    # --- who is there ---------------------------------------------------------------------------------------------

    def add_user(self, n: int, permission_set: str) -> User:
        """A user whose password nobody ever types: how people sign in has tests of its own."""
        org, made = self.orgs[n], secrets.new_id(USER)
        username = f"{made.lower()}@{org.name}.example"
        self.house.write(
            users.create, id=made, org_id=org.id, username=username, name=f"{org.name} person", email=username,
            password_hash="", permission_sets=(permission_set,), now=self.now,
        )  # fmt: skip
        return User(org=n, id=made, person=Person(self.house.client(), username, ""), permission_set=permission_set)

    def add_app(self, n: int, run_as: User | None) -> App:
        """An app: a public client, or with a Run As user one that proves who it is and has the other flows."""
        org, options = self.orgs[n], dict(PROVEN) if run_as else {}
        if run_as:
            options["run_as"] = run_as.person.username
        client = add_app(
            self.house, org=org, scopes=SCOPES, label=f"{org.name} app", default_mcp_server=SERVERS[0], **options
        )
        live = self.house.run(self.house.site.live.client(org.id, client.client_id))
        return App(
            org=n, id=live.app_id, api_name=live.settings.api_name, redirect_uri=HTTPS,
            secrets={client.client_id: give_secret(self.house, client) if run_as else ""}, scopes=set(SCOPES),
            is_confidential=run_as is not None, run_as=run_as,
        )  # fmt: skip

    def come_in(self, user: User) -> Person:
        """The user with a session that is fresh enough for everything."""
        person, org, now = user.person, self.orgs[user.org], self.now
        if user.is_active and now - user.signed_in_at > SIGNED_IN_FOR:
            value, user.signed_in_at = secrets.new_token(), now
            row = sessions.Row(
                digest=secrets.digest(value), id=secrets.new_id(SESSION), org_id=org.id, user_id=user.id,
                level="STANDARD", methods="pwd", address="203.0.113.7", agent="", signed_in_at=now, verified_at=now, seen_at=now,
            )  # fmt: skip
            self.house.write(sessions.begin, row, sessions.Terms(), now)
            person.front.cookies.clear()
            person.front.cookies.set(cookies.cookie_name(self.house.site, org, browser.SESSION), value)
        return person

    def client(self, app: App, client_id: str, n: int | None = None) -> OAuthClient:
        """The app's client with one of its keys, at its own org or (``n``) at another."""
        issuer = self.orgs[app.org if n is None else n].issuer
        return OAuthClient(front=self.front, issuer=issuer, client_id=client_id, redirect_uri=app.redirect_uri)

    # --- what clients and resources say ------------------------------------------------------------------------------

    def call(self, n: int, server: str, token: str) -> int:
        """The status of an MCP call."""
        return tools_list(self.front, self.uri(n, server), token).status_code

    def userinfo(self, n: int, token: str) -> int:
        """The status of userinfo."""
        url = f"{self.orgs[n].issuer}/services/oauth2/userinfo"
        return self.front.get(url, headers={"Authorization": f"Bearer {token}"}).status_code

    def introspect(self, n: int, token: str) -> dict[str, Any]:
        """What an app that may ask about every token of its org is told."""
        inspector = self.inspectors[n]
        url = f"{self.orgs[n].issuer}/services/oauth2/introspect"
        answer = self.front.post(url, data=inspector.post | {"token": token})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def together(self, client: OAuthClient, form: dict[str, str], times: int = 3) -> list[httpx2.Response]:
        """The same request from several processes at once."""
        sent = {"client_id": client.client_id} | form

        async def gathered() -> list[httpx2.Response]:
            post = self.front._http.post  # several requests on the house's own loop, none waiting for another
            url = f"{client.issuer}/services/oauth2/token"
            return await asyncio.gather(*(post(url, data=sent) for _ in range(times)))

        return self.house.run(gathered())

    # --- Setup ------------------------------------------------------------------------------------------------------

    def setup(self, n: int, path: str, **fields: Any) -> httpx2.Response:
        """The administrator sends the page's form, changed, and means it where the page asks who will notice; every node
        has read of it afterwards.
        """
        if path.endswith(("/edit", "/policies")):
            fields["confirmed"] = "1"
        answer = send(self.come_in(self.administrators[n]), f"{self.orgs[n].path}/setup{path}", **fields)
        self.house.catch_up()
        return answer

    def set_server(self, n: int, name: str, *, is_active: bool) -> None:
        """Activate or deactivate an MCP server."""
        answer = self.setup(n, "/mcp-servers", name=name, act="activate" if is_active else "deactivate")
        assert answer.status_code == 303, answer.text

    def look(self, n: int, path: str, user: User | None = None) -> httpx2.Response:
        """A page of Setup, as the administrator or a user sees it."""
        return self.come_in(user or self.administrators[n]).front.get(f"{self.orgs[n].path}/setup{path}")

    def stage(self, app: App) -> bool:
        """A second pair for this app. False: refused."""
        path = f"/apps/{app.id}/credentials"
        answer = self.setup(app.org, path, act="stage", confirm=None)
        shown = SHOWN_SECRET.search(answer.text)
        if shown is None:
            return False
        app.secrets = {app.key: app.secrets[app.key]}  # the one before ended by itself
        app.staged = next(key for key in SHOWN_KEY.findall(answer.text) if key not in app.secrets)
        app.secrets[app.staged], app.staged_until = shown[1], self.now + STAGED_LIVES
        return True
