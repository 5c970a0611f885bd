"""What has ended since a token was made: connection, authorization, app, user, permission, server, key. Each bites at once,
also for a token that was let in a moment before.
"""

import base64
import json
from collections.abc import Callable

import msgspec
import pytest

from gatelodge.core import authorizations, connections, keys, permissions, propagation, users
from gatelodge.core.apps import registry
from gatelodge.core.operation import announce, execute
from tests.gateway.speaking import SERVER, Client, claims, token
from tests.house import House
from tests.oauth.scenes import activate
from tests.people import OAuthClient, Person
from tests.requirements import requirement

CALLBACK = "http://localhost:8080/callback"


def connected(house: House, n: int = 0) -> tuple[OAuthClient, dict[str, str], Client]:
    """A person has signed in and consented: the OAuth client, its tokens, and an MCP client with the access token."""
    key = next(app["consumer_key"] for app in house.told.apps if app["preset"] == "claude-code")
    client = OAuthClient(front=house.client(), issuer=house.issuer, client_id=key, redirect_uri=CALLBACK)
    user = house.told.users[n]
    back = Person(house.client(), user["username"], user["password"]).allow(client.authorize_url())
    tokens = client.redeem(back["code"]).json()
    speaking = Client(house, tokens["access_token"])
    assert speaking.modern("tools/list").status_code == 200
    return client, tokens, speaking


def inside(access_token: str) -> dict[str, str]:
    """The claims of a token."""
    body = access_token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))


def refused(client: Client, status: int, words: str) -> None:
    answer = client.modern("tools/list")
    assert answer.status_code == status and words in answer.json()["error_description"], answer.text
    if status == 401:
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]


def change_app(house: House, **policies: object) -> None:
    """An administrator changes the policies of the Claude Code app."""
    apps = house.read(registry.in_order, house.org.id, limit=100)
    app = next(app for app in apps if app.preset == "claude-code")
    house.write(
        propagation.change_app, app, revision=app.revision, settings=app.settings,
        policies=msgspec.structs.replace(app.policies, **policies), actor="robin@acme.example",
        now_ms=house.site.clock.now_ms(), delay=0,
    )  # fmt: skip
    house.catch_up()


@requirement("gateway:ended-connection")
def test_the_tokens_of_an_ended_connection_are_refused_and_another_connection_goes_on(house_on: House):
    _, tokens, first = connected(house_on)
    _, _, second = connected(house_on)
    house_on.write(connections.end, house_on.org.id, inside(tokens["access_token"])["connection_id"], 1, "a test")
    house_on.catch_up()
    refused(first, 401, "has ended")
    assert second.modern("tools/list").status_code == 200


@requirement("gateway:ended-connection")
def test_a_replayed_refresh_token_ends_its_access_tokens_too(house_on: House):
    client, tokens, speaking = connected(house_on)
    house_on.later(1)
    assert client.refresh(tokens["refresh_token"]).status_code == 200
    house_on.later(120)
    assert client.refresh(tokens["refresh_token"]).status_code == 400
    house_on.catch_up()
    refused(speaking, 401, "has ended")


@requirement("gateway:ended-authorization")
def test_revoking_the_authorization_ends_every_connection_under_it(house_on: House):
    _, tokens, first = connected(house_on)
    _, _, second = connected(house_on)
    _, _, other = connected(house_on, 1)
    house_on.write(authorizations.end, house_on.org.id, inside(tokens["access_token"])["authorization_id"], 1)
    house_on.catch_up()
    refused(first, 401, "has ended")
    refused(second, 401, "has ended")
    assert other.modern("tools/list").status_code == 200


@requirement("gateway:disabled-app")
def test_a_disabled_app_is_refused_at_once_and_works_again_when_it_is_enabled(house_on: House):
    client = Client(house_on, token(house_on))
    assert client.modern("tools/list").status_code == 200
    change_app(house_on, is_enabled=False)
    refused(client, 401, "disabled")
    change_app(house_on, is_enabled=True)
    assert client.modern("tools/list").status_code == 200


@requirement("gateway:policy-names-servers")
def test_a_policy_that_leaves_the_server_out_is_refused_by_name(house_on: House):
    client = Client(house_on, token(house_on))
    change_app(house_on, mcp_servers=())
    answer = client.modern("tools/list")
    assert answer.status_code == 403 and SERVER in answer.json()["error_description"]
    change_app(house_on, mcp_servers=(SERVER,))
    assert client.modern("tools/list").status_code == 200


@requirement("gateway:deactivated-user")
def test_a_deactivated_user_is_refused_at_once(house_on: House):
    client, mine = Client(house_on, token(house_on)), claims(house_on)
    assert client.modern("tools/list").status_code == 200
    house_on.write(users.set_active, house_on.org.id, mine.sub, is_active=False)
    house_on.catch_up()
    refused(client, 401, "inactive")


@requirement("gateway:permission-to-use-mcp")
def test_a_user_who_loses_the_permission_is_refused_and_one_who_gets_it_is_let_in(house_on: House):
    client, mine = Client(house_on, token(house_on)), claims(house_on)
    assert client.modern("tools/list").status_code == 200

    def lose():
        yield from execute(
            "DELETE FROM permission_set_assignments WHERE org_id = :org AND user_id = :user",
            org=house_on.org.id, user=mine.sub,
        )  # fmt: skip
        yield from announce(house_on.org.id, "user", mine.sub)

    house_on.write(lose)
    house_on.catch_up()
    refused(client, 403, "no permission set")
    house_on.write(permissions.assign, house_on.org.id, mine.sub, "Standard_User")
    house_on.catch_up()
    assert client.modern("tools/list").status_code == 200
    assert client.refusal("SELECT Id FROM Lead")["errorCode"] == "INVALID_TYPE", "with what is allowed now, and no more"


@requirement("gateway:no-metadata-for-unknown-servers")
def test_a_deactivated_server_is_no_longer_there_and_comes_back_when_it_is_activated(house_on: House):
    client = Client(house_on, token(house_on))
    assert client.modern("tools/list").status_code == 200
    activate(house_on, SERVER, is_active=False)
    house_on.catch_up()
    refused(client, 404, SERVER)
    activate(house_on, SERVER, is_active=True)
    house_on.catch_up()
    assert client.modern("tools/list").status_code == 200


@pytest.mark.parametrize("was_used", [True, False], ids=["used before", "never used"])
@requirement("gateway:rotated-keys")
def test_a_new_key_leaves_tokens_good_and_a_removed_one_ends_them(house_on: House, was_used: bool):
    old = token(house_on)
    client = Client(house_on, old)
    assert not was_used or client.modern("tools/list").status_code == 200
    now = house_on.site.clock.now()
    fresh = keys.generate(house_on.site.ring, org_id=house_on.org.id, algorithm="ES256", now=now, signs_from=now)
    house_on.write(_with_news(house_on, lambda: keys.add(fresh)))
    house_on.catch_up()
    assert client.modern("tools/list").status_code == 200
    assert Client(house_on, token(house_on)).modern("tools/list").status_code == 200
    remove = "DELETE FROM signing_keys WHERE org_id = :org AND kid <> :kid"
    house_on.write(_with_news(house_on, lambda: execute(remove, org=house_on.org.id, kid=fresh.kid)))
    house_on.catch_up()
    refused(client, 401, "none of ours")
    assert Client(house_on, token(house_on)).modern("tools/list").status_code == 200


def _with_news(house: House, change: Callable):
    """A change of the org's keys, told to every node."""

    def operation():
        yield from change()
        yield from announce(house.org.id, "keys", "")

    return operation
