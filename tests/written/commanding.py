"""What the command line and OAuth's clients change, and what each must write down."""

from typing import Any

from tests.oauth.test_logout import say
from tests.written.changing import World, scene, sign_in

READING = {
    "scope list",
    "app connect", "app display", "app list", "audit export", "audit head", "audit verify", "identity-provider list", "keys list",
    "org list", "permission-set display", "permission-set list", "server display", "server list", "session list", "usage list", "user list",
}  # fmt: skip
"""Verbs that change nothing."""
BESIDE = (
    "scope create",
    "scope delete",
    "server approval",
    "server set-mapping",
    "server set-password",
    "server set-secret",
)
UNWRITTEN = {
    **dict.fromkeys(BESIDE, "tests/servers/test_commands_beside.py does it, by the operations that Setup's forms run"),
    "server refresh": "tests/servers/test_commands.py does it, with an upstream: server:items:read, where that is news",
}
AWAY = ("--allow-private-addresses", "--source", "https://127.0.0.1:9/mcp")
KIM = "kim@acme.example"


def say_no(w: World) -> Any:
    return w.sam.answer(w.sam.go(w.client.authorize_url(scope="mcp_api", prompt="consent")), answer="deny")


def allow(w: World) -> None:
    w.code = w.sam.allow(w.client.authorize_url(prompt="consent"))["code"]


def redeem_twice(w: World) -> None:
    assert w.client.redeem(w.code).status_code == 400


def refresh_twice(w: World) -> None:
    assert w.client.refresh(w.tokens["refresh_token"]).status_code == 200
    w.house.later(40)
    assert w.client.refresh(w.tokens["refresh_token"]).status_code == 400


def revoke_token(w: World) -> None:
    sent = {"token": w.tokens["refresh_token"], "client_id": w.client.client_id}
    assert w.sams.post(f"{w.house.issuer}/services/oauth2/revoke", data=sent).status_code == 200


def end_session(w: World) -> None:
    url = f"/services/auth/idp/oidc/logout?client_id={w.client.client_id}"
    assert say(w.sam, w.sam.front.get(url)).status_code in (200, 303)


def fail(w: World) -> None:
    w.house.client().get("/login")
    password, w.sam.password = w.sam.password, "not it at all"
    w.sam.sign_in_to_setup()
    w.sam.password = password


OF_OAUTH = (
    scene("consent", "user:consent:give", allow, "sam"),
    scene("a refusal", "user:consent:decline", say_no, "sam"),
    scene("a code that comes again", "connection:session:end", redeem_twice, "sam", before=World.connect),
    scene("a refresh token that comes again", "connection:session:end", refresh_twice, "sam", before=World.connect),
    scene("revocation", "connection:session:end", revoke_token, "sam", before=World.connect),
    scene("single logout", "sign_in:session:end", end_session, "sam"),
    scene("a failed sign-in", "sign_in:user:failure", fail, "sam"),
    scene("a sign-in", "sign_in:user:success", sign_in, "sam"),
)
OF_COMMANDS = tuple(
    scene(place, tags, act, "command", before)
    for place, tags, act, before in (
        ("app create", "app:settings:create", lambda w: w.say("app", "create", "--name", "New", "--email", "a@b.example", "--preset", "claude"), None),
        ("app policies", "app:settings:change", lambda w: w.say("app", "policies", "New", "--set", "mcp_calls_per_minute=7"), None),
        ("app delete", "app:settings:delete", lambda w: w.say("app", "delete", "New", "--yes"), None),
        ("app restore", "app:settings:restore", lambda w: w.say("app", "restore", "New"), None),
        ("app import-connected", "app:connected_app:import",
         lambda w: w.say("app", "import-connected", "--name", "Old", "--consumer-key", "3MVG9" + "x" * 80), None),
        ("user create", "user:account:create", lambda w: w.say("user", "create", "--username", KIM, password=None), None),
        ("user reset-link", "setup:password_link:create", lambda w: w.say("user", "reset-link", KIM), None),
        ("user deactivate", "user:account:deactivate", lambda w: w.say("user", "deactivate", KIM), None),
        ("user activate", "user:account:activate", lambda w: w.say("user", "activate", KIM), None),
        ("permission-set create", "setup:permission_set:create", lambda w: w.say("permission-set", "create", "Sales"), None),
        ("permission-set set", "setup:permission_set:change", lambda w: w.say("permission-set", "set", "Sales", "--label", "Selling"), None),
        ("permission-set assign", "user:permission_set:assign", lambda w: w.say("permission-set", "assign", "Sales", KIM), None),
        ("permission-set unassign", "user:permission_set:unassign", lambda w: w.say("permission-set", "unassign", "Sales", KIM), None),
        ("permission-set delete", "setup:permission_set:delete", lambda w: w.say("permission-set", "delete", "Sales"), None),
        ("user delete", "user:account:delete", lambda w: w.say("user", "delete", KIM), None),
        ("identity-provider add", "org:identity_provider:add",
         lambda w: w.say("identity-provider", "add", "--name", "okta", "--issuer", "https://okta.example", "--client-id", "us",
                         client_secret="a secret of the client"), None),
        ("identity-provider remove", "org:identity_provider:remove", lambda w: w.say("identity-provider", "remove", "okta"), None),
        ("keys rotate", "org:signing_key:rotate", lambda w: w.say("keys", "rotate"), None),
        ("server create", "server:register", lambda w: w.say("server", "create", "away", *AWAY), None),
        ("server activate", "server:activate", lambda w: w.say("server", "activate", "away"), None),
        ("server deactivate", "server:deactivate", lambda w: w.say("server", "deactivate", "away"), None),
        ("server set", "server:change", lambda w: w.say("server", "set", "away", "label=Far away"), None),
        ("server allow-origin", "server:origins:change", lambda w: w.say("server", "allow-origin", "away", "https://a.example"), None),
        ("server refuse-origin", "server:origins:change", lambda w: w.say("server", "refuse-origin", "away", "https://a.example"), None),
        ("server tools", "server:item:change", lambda w: w.say("server", "tools", "sobject-reads", "--off", "find"), None),
        ("server delete", "server:remove", lambda w: w.say("server", "delete", "away"), None),
        ("usage revoke", "setup:authorization:end",
         lambda w: w.say("usage", "revoke", "Claude_Code", "--username", w.sam.username), World.connect),
        ("usage revoke", "app:usage:revoke_all", lambda w: w.say("usage", "revoke", "Claude_Code", "--everybody"), None),
        ("session end", "setup:sessions:end", lambda w: w.say("session", "end", w.session_of(w.sam)), sign_in),
        ("session end", "setup:sessions:end", lambda w: w.say("session", "end", "--username", w.sam.username), None),
        ("session end", "setup:sessions:end_all", lambda w: w.say("session", "end", "--everybody"), None),
        ("revoke", "org:access:revoke", lambda w: w.say("revoke", "--before", "2026-01-01T00:00:00Z"), None),
        ("org create", "", lambda w: w.say("org", "create", "--name", "other"), None),
    )
)  # fmt: skip
