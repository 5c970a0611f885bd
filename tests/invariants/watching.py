"""One story as the test sees it: who is there, and what every token must be worth after each step."""

import sys

import httpx2
from hypothesis.stateful import RuleBasedStateMachine

from tests.invariants.model import App, Connection, Model, Token, User
from tests.invariants.world import SERVERS, World
from tests.oauth.scenes import claims_of
from tests.people import OAuthClient


class Watched(RuleBasedStateMachine):
    """Two users and two apps in the north, one of each in the south."""

    world: World

    def __init__(self) -> None:
        super().__init__()
        self.model, self.seen = Model(), dict[str, tuple[int, bool, int]]()
        self.world.begin()
        north = [self.world.add_user(0, "Standard_User"), self.world.add_user(0, "Administrator")]
        self.model.users = [*north, self.world.add_user(1, "Standard_User")]
        self.model.apps = [
            self.world.add_app(0, None), self.world.add_app(0, north[0]), self.world.add_app(1, self.model.users[2])
        ]  # fmt: skip

    # --- picking, and how an app speaks ------------------------------------------------------------------------------

    def client(self, app: App, which: int, n: int | None = None) -> OAuthClient:
        """The app's client with its own key or, where there is one, its staged one."""
        keys = sorted(app.secrets, key=lambda key: key == app.staged)
        return self.world.client(app, keys[which % len(keys)], n)

    def proof(self, app: App, client: OAuthClient) -> dict[str, str]:
        """How this client proves who it is."""
        secret = app.secrets.get(client.client_id, "gone") if app.is_confidential else ""
        return {"client_secret": secret} if secret else {}

    def of_org(self, app: App, which: int) -> User:
        """A user of the app's org."""
        people = [user for user in self.model.users if user.org == app.org]
        return people[which % len(people)]

    def is_open(self, app: App, server: str) -> bool:
        """Whether the app's org and its policies have this server."""
        return app.reaches(server) and f"{app.org}/{server}" not in self.model.inactive_servers

    def given(
        self, connection: Connection, answer: httpx2.Response, client_id: str, scopes: set[str], audience: str
    ) -> None:
        """Tokens were given: they say what was agreed to, and no more."""
        body, app = answer.json(), connection.app
        claims = claims_of(body["access_token"])
        assert set(body["scope"].split()) == set(claims["scope"].split()) == scopes, (body, scopes)
        agreed = connection.authorization
        assert connection.is_own_work or (scopes <= agreed.scopes and scopes <= connection.scopes), (scopes, agreed)
        if body.get("issued_token_type") is None:
            assert scopes <= app.scopes | ({"refresh_token"} & connection.scopes) or connection.family == []
        assert claims["aud"] == audience and claims["client_id"] == client_id, claims
        assert claims["iss"] == self.world.orgs[app.org].issuer and claims["sub"] == connection.user.id
        for named, its in ((connection, claims["connection_id"]), (agreed, claims["authorization_id"])):
            named.id = named.id or its
            assert named.id == its, claims
        value = body.get("refresh_token")
        if value and not connection.family:
            connection.family.append(value)
        assert value is None or value == connection.family[-1], "a family has one newest token"
        self.model.tokens.append(
            Token(
                value=body["access_token"], connection=connection, client_id=client_id, scopes=scopes,
                audience=audience, expires_at=claims["exp"],
            )
        )  # fmt: skip
        assert claims["exp"] <= self.world.now + app.minutes * 60
        self.news()

    # --- what must hold ---------------------------------------------------------------------------------------------------

    def news(self) -> None:
        """Every token whose standing has changed is tried, once the node has read of what was done."""
        self.world.house.catch_up()
        now = self.world.now
        for token in self.model.tokens:
            expected = self.expected(token, now)
            if self.seen.get(token.value) != expected:
                self.look_at(token, expected)
                self.seen[token.value] = expected

    def expected(self, token: Token, now: int) -> tuple[int, bool, int]:
        """What its MCP server, introspection and userinfo must say of a token."""
        server = self.server_of(token)
        at_the_server = self.model.at_the_server(token, server, now)
        return at_the_server, self.model.is_active(token, now), self.model.at_userinfo(token, now)

    def server_of(self, token: Token) -> str:
        """The server that it is for, or the first, where it must not open."""
        return next((name for name in SERVERS if token.audience.endswith(f"/mcp/{name}")), SERVERS[0])

    def look_at(self, token: Token, expected: tuple[int, bool, int]) -> None:
        """Try it where it belongs, and once where it doesn't."""
        org, server, world = token.connection.app.org, self.server_of(token), self.world
        told = world.introspect(org, token.value)
        found = (world.call(org, server, token.value), told["active"], world.userinfo(org, token.value))
        assert found == expected, (found, expected, token)
        assert told == {"active": False} or set(told["scope"].split()) == token.now()
        if token.value not in self.seen:
            other = next(name for name in SERVERS if name != server)
            assert world.call(org, other, token.value) in (401, 404)
            assert world.call(1 - org, server, token.value) in (401, 404)
            assert world.userinfo(1 - org, token.value) == 401
            assert world.introspect(1 - org, token.value) == {"active": False}

    def teardown(self) -> None:
        """At the end everything is tried again, and what has ended is refreshed in vain."""
        if sys.exc_info()[0] is not None:
            return  # a step has failed: that is what is told
        now = self.world.now
        for token in self.model.tokens:
            self.look_at(token, self.expected(token, now))
        for connection in self.model.connections:
            if not connection.family:
                continue
            client = self.client(connection.app, 0)
            lives = connection.may_refresh(client.client_id, now)
            told = self.world.introspect(connection.app.org, connection.family[-1])
            assert told["active"] == lives, (told, connection)
            if not lives:
                answer = client.refresh(connection.family[-1], **self.proof(connection.app, client))
                assert answer.status_code in (400, 401), answer.text
