"""One thing that can be changed after another, as people and programs change it, and what each must write down."""

from collections.abc import Callable
from typing import Any

import msgspec

from gatelodge.cli import verbs
from gatelodge.cli.arguments import parser
from gatelodge.cli.commands import OF_THE_COMMAND
from gatelodge.core import authorizations, connections, mcp_servers, secrets, server_items, sessions, setup_links, users
from gatelodge.core.apps import registry
from tests.approvals import asking
from tests.factors import act as press
from tests.factors import enrol, with_code
from tests.house import Front, House
from tests.oauth.scenes import person
from tests.people import OAuthClient, Person, form
from tests.setup import offices
from tests.setup.offices import app_of

SAM = 1
SECRET_FIELDS = (
    "password",
    "current",
    "fresh",
    "secret",
    "code",
    "token",
    "form_token",
    "refresh_token",
    "code_verifier",
)
SHORTEST_SECRET = 6
SET = "Sales"
RULE = "creates_in_scratch_orgs"
PROVIDER = ("identity-provider", "add", "--name", "okta", "--issuer", "https://okta.example", "--client-id", "us")


class Noting(Front):
    """A browser whose owner knows every secret that went through it."""

    def __init__(self, house: House, address: str = "203.0.113.7") -> None:
        super().__init__(house, address)
        self.secrets: set[str] = set()

    def post(self, url: str, **options: Any) -> Any:
        sent = options.get("data") or {}
        self.secrets |= {str(sent[name]) for name in SECRET_FIELDS if len(str(sent.get(name, ""))) >= SHORTEST_SECRET}
        self.secrets |= {str(value) for value in self.cookies.values()}
        return super().post(url, **options)


class World:
    """An org with its administrator, a user, and an app that the user connects."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.front, self.sams = Noting(house), Noting(house, "203.0.113.8")
        robin, sam = person(house), person(house, SAM)
        self.robin = offices.sign_in(Person(self.front, robin.username, robin.password))
        self.sam = offices.sign_in(Person(self.sams, sam.username, sam.password))
        self.robin_id, self.sam_id = self.id_of(self.robin), self.id_of(self.sam)
        self.app_id = self.app.id
        self.tokens: dict[str, Any] = {}
        self.code = ""
        self.page: Any = None
        self.totp: Any = None

    def id_of(self, who: Person) -> str:
        return self.house.read(users.find_by_username, self.house.org.id, who.username).id

    @property
    def app(self) -> registry.ExternalClientApp:
        return app_of(self.house)

    @property
    def at(self) -> str:
        return f"/setup/apps/{self.app.id}"

    @property
    def client(self) -> OAuthClient:
        app = app_of(self.house, "Claude_Code")
        return OAuthClient(
            front=self.sams, issuer=self.house.issuer, client_id=app.consumer_key, redirect_uri="http://localhost:80/callback",
            verifier="v" * 64,
        )  # fmt: skip

    def post(self, path: str, *, by: Person | None = None, **fields: Any) -> Any:
        """A button of a Setup page."""
        who = by or self.robin
        answer = who.front.post(path, data={"form_token": offices.token(who)} | fields)
        assert answer.status_code in (200, 303), (path, answer.status_code, offices.words(answer)[-900:])
        return answer

    def send(self, path: str, **changes: Any) -> Any:
        """A form of Setup, as it stands but for these changes."""
        answer = offices.send(self.robin, path, **changes)
        assert answer.status_code in (200, 303), (path, answer.status_code, offices.errors(answer))
        return answer

    def say(self, *words: str, **more: Any) -> Any:
        """A command beside the running server."""
        told = parser().parse_args(words)
        values = {name: value for name, value in vars(told).items() if name not in OF_THE_COMMAND}
        return self.house.run(verbs.perform(self.house.site, f"{told.command} {told.verb}".strip(), values | more))

    def connect(self) -> None:
        """Sam lets Claude Code in."""
        self.code = self.sam.allow(self.client.authorize_url())["code"]
        self.tokens = self.client.redeem(self.code).json()
        self.sams.secrets |= {self.tokens["access_token"], self.tokens["refresh_token"]}

    def agreed(self) -> str:
        app = app_of(self.house, "Claude_Code")
        found = self.house.read(authorizations.find_live, self.house.org.id, self.sam_id, app.id)
        return found.id

    def connection(self) -> str:
        found = self.house.read(connections.of_user, self.house.org.id, self.sam_id)
        return found[0].id

    def session_of(self, who: Person) -> str:
        org, now = self.house.org, self.house.site.clock.now()
        user = self.house.read(users.find_by_username, org.id, who.username)
        return self.house.read(sessions.of_user, org.id, user, sessions.terms_of(org), now)[0].id

    def item(self) -> dict[str, str]:
        server = self.house.read(mcp_servers.find, self.house.org.id, "sobject-reads")
        found = self.house.read(server_items.of_server, server).find("tool", "find")
        return {"kind": "tool", "name": "find", "seen": found.digest, "seen_held": found.held_digest}

    def switch_off_in_the_list(self) -> Any:
        """The list's form, with the first tool's box empty."""
        return self.send(f"{READS}/items?kind=tool", **{"on-0": None})


class Scene(msgspec.Struct, frozen=True):
    """A change: the row or verb that makes it, the tags of what it writes, how it is made, by whom, and what must stand
    before it.
    """

    place: str
    tags: tuple[str, ...]
    act: Callable[[World], Any]
    by: str = "robin"
    before: Callable[[World], Any] = lambda w: None


def scene(place: str, tags: str, act: Callable[[World], Any], by: str = "robin", before: Any = None) -> Scene:
    return Scene(place, tuple(tags.split()), act, by, before or (lambda w: None))


def ask_for_approval(w: World, limit: int) -> None:
    asking.mark(w.house, asks_first=True)
    sam = asking.client(w.house, SAM)
    w.code = asking.url_of(asking.call(sam, {"q": f"SELECT Id FROM Account LIMIT {limit}"}))
    asking.mark(w.house, asks_first=False)


def first_administrator(w: World) -> None:
    house, link = w.house, secrets.new_token()
    house.write(setup_links.create, house.org.id, secrets.digest(link), house.site.clock.now())
    front = Noting(house)
    page = front.get(f"/setup/first?token={link}")
    fields = form(page, "/setup/first") | {"username": "ana@acme.example", "name": "Ana", "password": offices.PASSWORD}
    assert front.post("/setup/first", data=fields).status_code == 303


def make_link(w: World) -> None:
    page = w.post(f"/setup/users/{w.sam_id}", act="reset-link")
    w.code = page.text.split("/login/reset?token=", 1)[1].split("<", 1)[0].split('"', 1)[0]


def use_link(w: World) -> None:
    page = w.sams.get(f"/login/reset?token={w.code}")
    w.sam.password = "another long enough password"
    done = w.sams.post(
        "/login/reset", data=form(page, "/login/reset") | {"fresh": w.sam.password, "repeated": w.sam.password}
    )
    assert done.status_code == 200, offices.words(done)


def sign_in(w: World) -> None:
    offices.sign_in(w.sam)


def with_second_factor(w: World) -> None:
    w.totp, _codes = enrol(w.house, w.sam)
    w.post("/logout", by=w.sam)
    w.page = w.sam.sign_in_to_setup()
    w.house.later(31)


SERVER = "/setup/mcp-servers/{server_name}"
READS = "/setup/mcp-servers/sobject-reads"
NEW = "/setup/mcp-servers/new?kind=upstream"
UPSTREAM = {"label": "Away", "name": "away", "source": "https://127.0.0.1:9/mcp", "kind": "upstream"}
USER_ROW, APP_ROW, SET_ROW = "/setup/users/{user_id}", "/setup/apps/{app_id}", "/setup/permission-sets/{set_name}"

OF_SETUP = (
    scene("/setup/preferences", "user:preferences:change", lambda w: w.send("/setup/preferences", time_zone="Europe/Berlin")),
    scene("/setup/theme", "user:preferences:change", lambda w: w.post("/setup/theme", theme="dark", next="/setup")),
    scene("/setup/verify", "sign_in:session:verify", lambda w: w.post("/setup/verify", password=w.robin.password)),
    scene("/setup/apps/new", "app:settings:create", lambda w: w.send("/setup/apps/new?preset=claude", label="New", contact_email="a@b.example")),
    scene(f"{APP_ROW}/edit", "app:settings:change",
          lambda w: w.send(f"{w.at}/edit", label="Cursor too", require_secret_for_web_server_flow="on")),
    scene(f"{APP_ROW}/state", "app:settings:change", lambda w: w.post(f"{w.at}/state", act="disable")),
    scene(f"{APP_ROW}/state", "app:settings:change", lambda w: w.post(f"{w.at}/state", act="enable")),
    scene(f"{APP_ROW}/policies", "app:settings:change", lambda w: w.send(f"{w.at}/policies", mcp_calls_per_minute="7")),
    scene(f"{APP_ROW}/connect", "app:page:make", lambda w: w.post(f"{w.at}/connect", act="make")),
    scene(f"{APP_ROW}/connect", "app:page:replace", lambda w: w.post(f"{w.at}/connect", act="replace")),
    scene(f"{APP_ROW}/connect", "app:page:off", lambda w: w.post(f"{w.at}/connect", act="off")),
    scene(f"{APP_ROW}/credentials", "app:secret:make", lambda w: w.post(f"{w.at}/credentials", act="make")),
    scene(f"{APP_ROW}/credentials", "app:secret:stage", lambda w: w.post(f"{w.at}/credentials", act="stage")),
    scene(f"{APP_ROW}/credentials", "app:secret:discard", lambda w: w.post(f"{w.at}/credentials", act="discard", confirm="Cursor")),
    scene(f"{APP_ROW}/credentials", "app:secret:apply", lambda w: w.post(f"{w.at}/credentials", act="apply", confirm="Cursor"),
          before=lambda w: w.post(f"{w.at}/credentials", act="stage")),
    scene(f"{APP_ROW}/usage", "connection:session:end", lambda w: w.post(f"{w.at}/usage", act="end", user=w.sam_id, id=w.connection()),
          before=World.connect),
    scene(f"{APP_ROW}/usage", "setup:authorization:end", lambda w: w.post(f"{w.at}/usage", act="revoke", user=w.sam_id, id=w.agreed()),
          before=World.connect),
    scene(f"{APP_ROW}/usage", "app:usage:revoke_all", lambda w: w.post(f"{w.at}/usage", act="revoke-all", confirm="Cursor")),
    scene(f"{APP_ROW}/delete", "app:settings:delete", lambda w: w.post(f"{w.at}/delete", confirm="Cursor")),
    scene("/setup/apps/deleted", "app:settings:restore", lambda w: w.post("/setup/apps/deleted", app_id=w.app_id)),
    scene("/setup/app-settings", "org:settings:change", lambda w: w.send("/setup/app-settings", **{RULE: "on"})),
    scene("/setup/mcp-servers/new", "server:register", lambda w: w.send(NEW, **UPSTREAM)),
    scene("/setup/mcp-servers", "server:deactivate", lambda w: w.post("/setup/mcp-servers", act="deactivate", name="sobject-reads")),
    scene(SERVER, "server:activate", lambda w: w.post(READS, act="activate")),
    scene(f"{SERVER}/items", "server:item:change", World.switch_off_in_the_list),
    scene(f"{SERVER}/item", "server:item:change", lambda w: w.post(f"{READS}/item", act="save", mark="write", on="on", **w.item())),
    scene(f"{SERVER}/settings", "server:change", lambda w: w.send(f"{READS}/settings", label="Reads too")),
    scene("/setup/mcp-servers/{server_name}/approval", "approval:rule:set",
          lambda w: w.post(f"{READS}/approval", act="keep", tool="find", approvers="", minutes="5")),
    scene("/setup/mcp-servers/{server_name}/approval", "approval:rule:remove", lambda w: w.post(f"{READS}/approval", act="remove", tool="find")),
    scene("/setup/mcp-servers/{server_name}/credential", "upstream:secret:set",
          lambda w: w.post("/setup/mcp-servers/away/credential", act="set", kind="header", secret="a key of the upstream")),
    scene("/setup/mcp-servers/{server_name}/credential", "upstream:secret:remove",
          lambda w: w.post("/setup/mcp-servers/away/credential", act="remove", kind="header")),
    scene(SERVER, "server:remove", lambda w: w.post("/setup/mcp-servers/away", act="remove", confirm="away")),
    scene("/setup/audit", "org:recording:change", lambda w: w.send("/setup/audit", act="rules", calls_days="30")),
    scene("/setup/users/new", "setup:password_link:create user:account:create",
          lambda w: w.send("/setup/users/new", username="kim@acme.example", permission_sets="Standard_User")),
    scene(USER_ROW, "user:account:change", lambda w: w.post(f"/setup/users/{w.sam_id}", act="save", name="Sam S", email="s@a.example", time_zone="UTC")),
    scene(USER_ROW, "user:permission_set:assign", lambda w: w.post(f"/setup/users/{w.sam_id}", act="assign", permission_set="Administrator")),
    scene(USER_ROW, "user:permission_set:unassign", lambda w: w.post(f"/setup/users/{w.sam_id}", act="unassign", permission_set="Administrator")),
    scene(USER_ROW, "setup:sessions:end", lambda w: w.post(f"/setup/users/{w.sam_id}", act="end-session", id=w.session_of(w.sam))),
    scene(USER_ROW, "setup:sessions:end", lambda w: w.post(f"/setup/users/{w.sam_id}", act="end-sessions")),
    scene(USER_ROW, "user:account:deactivate", lambda w: w.post(f"/setup/users/{w.sam_id}", act="deactivate")),
    scene(USER_ROW, "user:account:activate", lambda w: w.post(f"/setup/users/{w.sam_id}", act="activate")),
    scene(USER_ROW, "setup:password_link:create", make_link),
    scene("/login/reset", "user:password:reset", use_link, by="sam"),
    scene("/login", "sign_in:user:success", sign_in, by="sam"),
    scene(USER_ROW, "setup:authorization:end", lambda w: w.post(f"/setup/users/{w.sam_id}", act="revoke", id=w.agreed()), before=World.connect),
    scene("/setup/permission-sets/new", "setup:permission_set:create",
          lambda w: w.send("/setup/permission-sets/new", api_name=SET, label=SET)),
    scene(SET_ROW, "setup:permission_set:change", lambda w: w.send(f"/setup/permission-sets/{SET}", act="save", label="Selling")),
    scene(SET_ROW, "setup:permission_set:delete", lambda w: w.send(f"/setup/permission-sets/{SET}", act="delete", confirm=SET)),
    scene("/setup/scopes", "org:scopes:change",
          lambda w: w.post("/setup/scopes", act="add", name="invoices", label="Invoices", meaning="read invoices", includes="")),
    scene("/setup/org-sessions", "setup:sessions:end", lambda w: w.post("/setup/org-sessions", act="end", id=w.session_of(w.sam)), before=sign_in),
    scene("/setup/org-sessions", "setup:sessions:end_all", lambda w: w.post("/setup/org-sessions", act="end-all")),
    scene("/setup/keys", "org:signing_key:rotate", lambda w: w.post("/setup/keys", act="plan")),
    scene("/setup/identity-providers", "org:identity_provider:remove",
          lambda w: w.post("/setup/identity-providers", act="remove", name="okta", confirm="okta"),
          before=lambda w: w.say(*PROVIDER, client_secret="a secret of the client")),
    scene("/setup/org", "org:settings:change", lambda w: w.send("/setup/org", label="Acme too")),
    scene("/setup/connections", "connection:session:end", lambda w: w.post("/setup/connections", by=w.sam, act="end", id=w.connection()), "sam",
          lambda w: (sign_in(w), w.connect())),
    scene("/setup/connections", "user:authorization:end", lambda w: w.post("/setup/connections", by=w.sam, act="revoke", id=w.agreed()), "sam",
          World.connect),
    scene("/setup/sessions", "user:session:end", lambda w: w.post("/setup/sessions", by=w.sam, act="end-others"), "sam"),
    scene("/setup/approvals/{id}", "approval:call:approve", lambda w: asking.decide(w.sam, w.code), "sam", before=lambda w: ask_for_approval(w, 3)),
    scene("/setup/approvals/{id}", "approval:call:decline", lambda w: asking.decide(w.sam, w.code, "decline"), "sam", before=lambda w: ask_for_approval(w, 4)),
    scene("/setup/second-factors/totp", "user:recovery_codes:create user:totp:confirm", lambda w: enrol(w.house, w.sam), "sam", sign_in),
    scene("/setup/second-factors", "user:recovery_codes:create", lambda w: press(w.sam, "/setup/second-factors", act="make-codes"), "sam"),
    scene("/setup/second-factors", "user:totp:remove", lambda w: press(w.sam, "/setup/second-factors", act="remove-totp"), "sam"),
    scene("/login/factor", "sign_in:user:success",
          lambda w: with_code(w.sam, w.page, w.totp.at(w.house.site.clock.now())), "sam", with_second_factor),
    scene(USER_ROW, "user:totp:remove", lambda w: w.post(f"/setup/users/{w.sam_id}", act="remove-factors")),
    scene("/logout", "sign_in:session:end", lambda w: w.post("/logout", by=w.sam), "sam"),
    scene("/setup/password", "user:password:change",
          lambda w: w.send("/setup/password", current=w.robin.password, fresh="a fresh long password", repeated="a fresh long password")),
    scene("/setup/first", "sign_in:user:success user:account:create", first_administrator, ""),
)  # fmt: skip
UNWRITTEN = {
    "/setup/step-up": "tests/approvals/test_step_up.py does it: connection:scopes:allow by the user, app:settings:change by an administrator",
    "/setup/upstreams/{server}": "it sends the browser to the issuer and changes nothing; the way back writes upstream:grant:connect",
    "/setup/mcp-servers/{server_name}/database": "tests/servers/test_databases.py does it, with a database: server:database:mapping",
    "/setup/mcp-servers/{server_name}/database/password": "tests/servers/test_databases.py does it: server:database:password",
    "/setup/identity-providers/new": "tests/accounts/test_upstream.py does it, with a provider: org:identity_provider:add",
    "/setup/second-factors/passkey": "tests/accounts/test_passkeys.py does it, with a key: user:passkey:add",
}
"""Rows that no scene of these goes to, with the reason."""
