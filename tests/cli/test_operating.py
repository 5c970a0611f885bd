"""The operator's verbs beside a running server: keys, origins, users who leave, revoking by time, and cleaning."""

import json
from collections.abc import Callable
from subprocess import CompletedProcess
from typing import Any

import httpx2
import pytest

from gatelodge.cli.operating import in_words
from gatelodge.cli.verb import NotFound
from gatelodge.cli.verbs import perform
from gatelodge.core import used_once
from gatelodge.core.errors import Refused
from gatelodge.core.operation import BATCH, Operation, number, one
from tests.house import House
from tests.oauth.scenes import (
    add_app,
    add_org,
    add_user,
    claims_of,
    code_for,
    connect,
    is_signed_in,
    opens,
    person,
    refused,
    user_id,
)
from tests.people import Person, returned
from tests.requirements import requirement
from tests.running import Dev

Gatelodge = Callable[..., "CompletedProcess[str]"]


def do(house: House, verb: str, **arguments: Any) -> Any:
    answer = house.run(perform(house.site, verb, {"org": ""} | arguments))
    house.catch_up()
    return answer


@requirement("operate:beside-a-server")
@pytest.mark.slow
def test_keys_and_origins_change_in_a_running_server(own_dev: Dev, gatelodge: Gatelodge):
    dev = own_dev

    def told(*arguments: str) -> Any:
        done = gatelodge(*arguments, "--data", str(dev.data), "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    before = {key["kid"] for key in httpx2.get(f"{dev.issuer}/id/keys").json()["keys"]}
    assert {key["kid"] for key in told("keys", "list")} == before
    fresh = told("keys", "rotate")
    assert fresh["state"] == "is next" and fresh["kid"] not in before
    assert {key["kid"] for key in told("keys", "list")} == before | {fresh["kid"]}
    # The command's answer comes after its change is in the feed, which the server reads within the second.
    seen = told("keys", "rotate", "--now", "--algorithm", "ES256")
    assert seen["state"] == "signs"
    page = "https://app.example.com"
    assert told("server", "allow-origin", "sobject-reads", page)["allowed_origins"] == [page]
    assert {each["name"]: each["allowed_origins"] for each in told("server", "list")}["sobject-reads"] == [page]
    assert told("server", "refuse-origin", "sobject-reads", page)["allowed_origins"] == []
    for arguments, code in (
        (("server", "allow-origin", "nothing", page), 3),
        (("user", "deactivate", "nobody@acme.example"), 3),
        (("revoke", "--before", "2999-01-01T00:00:00Z"), 1),
        (("revoke", "--before", "2026-01-01T00:00:00"), 1),
    ):
        done = gatelodge(*arguments, "--data", str(dev.data))
        assert done.returncode == code and done.stderr.startswith("gatelodge: "), (arguments, done)


@requirement("operate:origins")
@pytest.mark.parametrize(
    "origin",
    [
        "*", "null", "", "https://*.example.com", "https://app.example.com/", "https://app.example.com/x",
        "HTTPS://app.example.com", "https://App.example.com", "https://app.example.com:443", "http://app.example.com",
        "http://localhost:80", "https://user@app.example.com", "https://app.example.com:0", "https://", "app.example.com",
        "https://app.example.com:99999", "https://app.example.com\n", "ftp://localhost", "https://a b.example",
    ],
)  # fmt: skip
def test_what_is_no_origin_of_a_browser_is_refused(house: House, origin: str):
    with pytest.raises(Refused, match="no origin"):
        do(house, "server allow-origin", name="sobject-reads", origin=origin)


@requirement("operate:origins")
def test_origins_of_browsers_are_taken_and_listed_once(house: House):
    good = ("https://app.example.com", "https://app.example.com:8443", "http://localhost:6274", "http://[::1]:3000")
    for origin in (*good, *good):
        answer = do(house, "server allow-origin", name="sobject-reads", origin=origin)
    assert answer["allowed_origins"] == list(good)


@requirement("operate:deactivate")
@pytest.mark.parametrize("verb", ["deactivate", "delete"])
def test_a_user_who_leaves_takes_everything_that_works_in_their_name_along(house_on: House, verb: str):
    client, who, other = add_app(house_on), add_user(house_on), add_user(house_on)
    one_, two, others = connect(who, client), connect(who, client), connect(other, client)
    code = code_for(who, client)
    assert is_signed_in(who)
    do(house_on, f"user {verb}", username=who.username.upper())
    for tokens in (one_, two):
        assert not opens(client, tokens["access_token"])
        refused(client.refresh(tokens["refresh_token"]), "invalid_grant")
    refused(client.redeem(code), "invalid_grant")
    assert not is_signed_in(who)
    assert who.sign_in_to_setup().status_code == 400
    assert opens(client, others["access_token"]) and is_signed_in(other)
    # The feed told it: no query is needed to refuse what has ended.
    assert house_on.run(house_on.site.live.has_ended(connection_of(one_)))


@requirement("operate:deactivate")
def test_who_returns_signs_in_again_and_finds_nothing_of_before_alive(house_on: House):
    client, who = add_app(house_on), add_user(house_on)
    tokens, code = connect(who, client), code_for(who, client)
    do(house_on, "user deactivate", username=who.username)
    assert do(house_on, "user activate", username=who.username)["is_active"]
    assert not opens(client, tokens["access_token"]) and not is_signed_in(who)
    refused(client.refresh(tokens["refresh_token"]), "invalid_grant")
    refused(client.redeem(code), "invalid_grant")
    assert opens(client, connect(who, client)["access_token"])


@requirement("operate:deactivate")
def test_a_deleted_users_name_is_free_and_its_next_owner_inherits_nothing(house_on: House):
    client, who = add_app(house_on), add_user(house_on)
    tokens, before = connect(who, client), user_id(house_on, who)
    do(house_on, "user delete", username=who.username)
    with pytest.raises(NotFound):
        do(house_on, "user delete", username=who.username)
    made = do(
        house_on, "user create", username=who.username, name="", email="", admin=False, permission_sets=[],
        password="another password",
    )  # fmt: skip
    assert made["id"] != before
    assert not opens(client, tokens["access_token"])
    page = Person(house_on.client(), who.username, "another password").go(client.authorize_url())
    assert page.status_code == 200


@requirement("operate:beside-a-server")
def test_a_time_is_written_with_its_zone_and_lies_behind(house: House):
    for text in (
        "yesterday",
        "2026-01-01",
        "2026-01-01T00:00:00",
        "",
        "1790000000",
        in_words(house.site.clock.now() + 9),
    ):
        with pytest.raises(Refused):
            do(house, "revoke", before=text, every_org=False)


@requirement("operate:origins")
def test_what_is_not_there_can_not_be_taken_back(house: House):
    for name, origin in (("sobject-reads", "https://never.example"), ("nothing", "https://app.example.com")):
        with pytest.raises(NotFound):
            do(house, "server refuse-origin", name=name, origin=origin)


def connection_of(tokens: dict[str, str]) -> str:
    return claims_of(tokens["access_token"])["connection_id"]


@requirement("backup:revoke-before")
def test_all_that_was_let_in_before_a_time_ends_and_what_came_later_goes_on(house_on: House):
    client, who, late = add_app(house_on), person(house_on), add_user(house_on)
    old, slow = connect(who, client), add_user(house_on)
    code, waiting = code_for(who, client), slow.go(client.authorize_url())
    house_on.later(30)
    moment = house_on.site.clock.now()
    new = connect(late, client)
    stays = code_for(late, client)
    do(house_on, "revoke", before=in_words(moment), every_org=False)
    assert not opens(client, old["access_token"])
    refused(client.refresh(old["refresh_token"]), "invalid_grant")
    refused(client.redeem(code), "invalid_grant")
    assert not is_signed_in(who)
    assert slow.answer(waiting, username=slow.username, password=slow.password).status_code == 400
    assert opens(client, new["access_token"]) and client.refresh(new["refresh_token"]).status_code == 200
    assert client.redeem(stays).status_code == 200 and is_signed_in(late)
    # Who had agreed before is asked again; who agreed later isn't.
    who.sign_in_to_setup()
    assert 'value="allow"' in who.go(client.authorize_url()).text
    assert "code" in returned(late.go(client.authorize_url()))


@requirement("backup:revoke-before")
def test_every_org_means_every_org_and_one_means_one(house: House):
    org = add_org(house, "elsewhere")
    far = add_app(house, org=org)
    tokens = connect(add_user(house, org=org), far)
    house.later(60)
    now = in_words(house.site.clock.now())
    do(house, "revoke", before=now, every_org=False)
    assert opens(far, tokens["access_token"])
    said = do(house, "revoke", before=now, every_org=True)
    assert [each["org"] for each in said] == ["(first)", org.name]
    assert not opens(far, tokens["access_token"])


@requirement("backup:revoke-before")
def test_more_than_a_page_is_ended(house_on: House):
    client, who = add_app(house_on, scopes=("mcp_api",)), person(house_on)
    connect(who, client, scope="mcp_api")
    tokens = connect(who, client, scope="mcp_api")
    copies = house_on.write(multiply, connection_of(tokens), 1203)
    house_on.later(60)
    do(house_on, "revoke", before=in_words(house_on.site.clock.now()), every_org=False)
    assert copies == 1203 and house_on.read(live_connections, house_on.org.id) == 0
    assert house_on.run(house_on.site.live.has_ended("copy1202"))


def multiply(connection_id: str, times: int) -> Operation[int]:
    """So many connections like this one."""
    columns = (
        "org_id, authorization_id, user_id, app_id, client_id, scopes, resource, signed_in_at, level, methods, dpop_jkt,"
        " grant_type, created_at, used_at"
    )
    for n in range(times):
        yield from one(
            f"INSERT INTO connections (id, {columns}) SELECT :fresh, {columns} FROM connections WHERE id = :id"
            " RETURNING created_at AS n",
            number,
            fresh=f"copy{n}",
            id=connection_id,
        )
    return times


def live_connections(org_id: str) -> Operation[int]:
    sql = "SELECT COUNT(*) AS n FROM connections WHERE org_id = :org_id AND ended_at IS NULL"
    return (yield from one(sql, number, org_id=org_id)) or 0


@requirement("operate:cleaning")
def test_what_nobody_needs_any_more_is_removed_in_batches_and_the_rest_stays(house_on: House):
    client = add_app(house_on, jwt_access_tokens=False, scopes=("openid", "refresh_token"))
    who = person(house_on)
    connect(who, client, scope="openid")
    code_for(who, client, scope="openid")
    add_user(house_on).go(client.authorize_url())
    now = house_on.site.clock.now()
    house_on.write(many_used, house_on.org.id, 2 * BATCH + 5, now + 60)
    house_on.later(3 * 86_400)
    kept = connect(who, client, scope="openid")
    person(house_on, 1).go(client.authorize_url())
    house_on.write(used_once.use, house_on.org.id, "dpop", "fresh", expires_at=house_on.site.clock.now() + 60)
    house_on.run(house_on.app.clean())
    left = {table: house_on.read(count, table) for table in
            ("codes", "held_requests", "opaque_tokens", "sessions", "used_once")}  # fmt: skip
    # Two requests came since: the one that ``kept`` was made by may still be repeated, the other waits.
    assert left == {"codes": 1, "held_requests": 2, "opaque_tokens": 1, "sessions": 1, "used_once": 1}
    bearer = {"Authorization": f"Bearer {kept['access_token']}"}
    assert client.front.get("/services/oauth2/userinfo", headers=bearer).status_code == 200


def many_used(org_id: str, times: int, expires_at: int) -> Operation[None]:
    for n in range(times):
        yield from used_once.use(org_id, "dpop", f"old{n}", expires_at=expires_at)


def count(table: str) -> Operation[int]:
    return (yield from one(f"SELECT COUNT(*) AS n FROM {table}", number)) or 0
