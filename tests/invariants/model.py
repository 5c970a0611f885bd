"""What the test believes of the house: who let whom do what, what has ended, and what each token may therefore still do.

The rules of the product once more, as simply as they can be said, and none of its code.
"""

from typing import Any

import msgspec

SECOND = 1000
CODE_LIVES, STAGED_LIVES, WINDOW, REMEMBERED = 60, 30 * 86_400, 30, 16
DAY = 86_400


class User(msgspec.Struct, kw_only=True, eq=False):
    """Somebody of an org, with the browser that they sit at."""

    org: int
    id: str
    person: Any
    permission_set: str
    is_active: bool = True
    signed_in_at: int = -DAY


class App(msgspec.Struct, kw_only=True, eq=False):
    """An app with its consumer keys and their secrets ("" for none), its Settings and its Policies."""

    org: int
    id: str
    api_name: str
    redirect_uri: str
    secrets: dict[str, str]
    scopes: set[str]
    is_confidential: bool
    staged: str = ""
    staged_until: int = 0
    is_enabled: bool = True
    servers: tuple[str, ...] | None = None
    approved: str = ""
    run_as: User | None = None
    minutes: int = 10
    refresh_policy: tuple[str, int] = ("SpecificInactivity", 30 * DAY)

    @property
    def key(self) -> str:
        """The app's own consumer key."""
        return next(each for each in self.secrets if each != self.staged)

    def has_key(self, client_id: str, now: int) -> bool:
        """Whether this consumer key works."""
        return client_id in self.secrets and (client_id != self.staged or now < self.staged_until)

    def admits(self, user: User) -> bool:
        """Permitted Users."""
        return not self.approved or self.approved == user.permission_set

    def reaches(self, server: str) -> bool:
        """Whether the policies let it use this server."""
        return self.servers is None or server in self.servers


class Authorization(msgspec.Struct, kw_only=True, eq=False):
    """What one user lets one app do, for as long as it has not ended."""

    user: User
    app: App
    scopes: set[str] = msgspec.field(default_factory=set)
    resources: set[str] = msgspec.field(default_factory=set)
    id: str = ""
    has_ended: bool = False


class Connection(msgspec.Struct, kw_only=True, eq=False):
    """One sign-in, or an app's own work as its Run As user. ``family`` are its refresh tokens in order."""

    authorization: Authorization
    scopes: set[str]
    resource: str
    id: str = ""
    is_own_work: bool = False
    has_ended: bool = False
    family: list[str] = msgspec.field(default_factory=list)
    superseded: list[int] = msgspec.field(default_factory=list)
    began_at: int = 0
    used_at: int = 0

    @property
    def app(self) -> App:
        """Whose it is."""
        return self.authorization.app

    @property
    def user(self) -> User:
        """In whose name."""
        return self.authorization.user

    @property
    def stands(self) -> bool:
        """Whether it and what it hangs on are live."""
        return not self.has_ended and not self.authorization.has_ended and self.user.is_active

    def family_is_over(self, now: int) -> bool:
        """What the app's Refresh Token Policy says of its refresh tokens now."""
        policy, seconds = self.app.refresh_policy
        since = {"Infinite": now, "Zero": 0, "SpecificLifetime": self.began_at, "SpecificInactivity": self.used_at}
        return policy != "Infinite" and since[policy] + (0 if policy == "Zero" else seconds) <= now

    def may_refresh(self, client_id: str, now: int) -> bool:
        """Whether a refresh with this consumer key is refused by nothing but the token's number."""
        return (
            self.stands
            and self.app.is_enabled
            and self.app.has_key(client_id, now)
            and "refresh_token" in self.app.scopes
            and self.app.admits(self.user)
            and not self.family_is_over(now)
        )

    def forgives(self, index: int, now_ms: int) -> bool:
        """Whether the token with this place in the family still leads to the newest one."""
        is_known = index >= len(self.superseded) - REMEMBERED
        return is_known and now_ms - self.superseded[index] <= WINDOW * SECOND


class Code(msgspec.Struct, kw_only=True, eq=False):
    """An authorization code, and the connection that it began."""

    value: str
    client: Any
    authorization: Authorization
    scopes: set[str]
    resource: str
    expires_at: int
    is_used: bool = False
    connection: Connection | None = None
    was_taken_back: bool = False

    def is_good(self, now: int) -> bool:
        """Whether its own client may redeem it now."""
        agreed = self.authorization
        return (
            not self.is_used
            and not self.was_taken_back
            and now < self.expires_at
            and not agreed.has_ended
            and agreed.user.is_active
            and self.may_ask(now)
        )

    def may_ask(self, now: int) -> bool:
        """Whether the request is refused for no other reason than the code."""
        app = self.authorization.app
        return app.is_enabled and app.has_key(self.client.client_id, now) and app.admits(self.authorization.user)


class Token(msgspec.Struct, kw_only=True, eq=False):
    """An access token and what it says."""

    value: str
    connection: Connection
    client_id: str
    scopes: set[str]
    audience: str
    expires_at: int

    def now(self) -> set[str]:
        """The scopes that it opens things by: those of it that its app still has."""
        return self.scopes & self.connection.app.scopes

    def lives(self, now: int) -> bool:
        """Whether it stands for anything."""
        connection = self.connection
        app = connection.app
        return (
            now < self.expires_at
            and connection.stands
            and app.is_enabled
            and app.has_key(self.client_id, now)
            and app.admits(connection.user)
            and (not connection.is_own_work or app.run_as is connection.user)
        )


class Model(msgspec.Struct, kw_only=True, eq=False):
    """Everything that the test knows."""

    users: list[User] = msgspec.field(default_factory=list)
    apps: list[App] = msgspec.field(default_factory=list)
    authorizations: list[Authorization] = msgspec.field(default_factory=list)
    codes: list[Code] = msgspec.field(default_factory=list)
    connections: list[Connection] = msgspec.field(default_factory=list)
    tokens: list[Token] = msgspec.field(default_factory=list)
    inactive_servers: set[str] = msgspec.field(default_factory=set)

    def authorization(self, user: User, app: App) -> Authorization:
        """The live one of this user and this app, or a new one."""
        for each in self.authorizations:
            if each.user is user and each.app is app and not each.has_ended:
                return each
        self.authorizations.append(Authorization(user=user, app=app))
        return self.authorizations[-1]

    def at_the_server(self, token: Token, server: str, now: int) -> int:
        """The status of a call with this token at the server (of its own org) that it was made for."""
        if f"{token.connection.app.org}/{server}" in self.inactive_servers:
            return 404
        if not token.lives(now) or not token.audience.endswith(f"/mcp/{server}"):
            return 401
        return 200 if "mcp_api" in token.now() and token.connection.app.reaches(server) else 403

    def is_active(self, token: Token, now: int) -> bool:
        """What introspection says of a token: one for an MCP server that is inactive opens nothing."""
        server = token.audience.partition("/mcp/")[2]
        return token.lives(now) and f"{token.connection.app.org}/{server}" not in self.inactive_servers

    def at_userinfo(self, token: Token, now: int) -> int:
        """The status of userinfo."""
        if not token.lives(now):
            return 401
        return 200 if "openid" in token.now() else 403

    def deactivate(self, user: User) -> None:
        """The user leaves: what works in their name ends, and stays ended."""
        user.is_active, user.signed_in_at = False, -DAY
        for connection in self.connections:
            connection.has_ended |= connection.user is user
        for code in self.codes:
            code.was_taken_back |= code.authorization.user is user and not code.is_used
