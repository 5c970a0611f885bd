"""Refresh tokens through the token endpoint: rotation, the window, and what a thief gets."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from gatelodge.core import authorizations, orgs, refresh, secrets
from gatelodge.core.apps.policies import Policies
from gatelodge.core.errors import Invalid
from gatelodge.core.operation import execute, one, text
from gatelodge.store.master_key import KeyRefused, load
from tests.house import House
from tests.oauth.scenes import (
    add_app,
    add_org,
    add_user,
    app_id,
    change_app,
    claims_of,
    connect,
    opens,
    person,
    refused,
    set_active,
    user_id,
)
from tests.people import OAuthClient
from tests.requirements import requirement


def row(house: House, token: str):
    """The family of a token as it is stored."""
    presented = refresh.parse(token)
    assert presented is not None
    return house.read(refresh.find, house.org.id, presented.family)


def next_token(client: OAuthClient, token: str, **changes: str | None) -> str:
    answer = client.refresh(token, **changes)
    assert answer.status_code == 200, answer.text
    return answer.json()["refresh_token"]


@requirement("refresh:rotation")
def test_each_use_gives_the_next_token_and_a_fresh_access_token_of_the_same_connection(house_on: House):
    client = add_app(house_on)
    tokens = [connect(person(house_on), client)]
    for _ in range(5):
        house_on.later(100)
        answer = client.refresh(tokens[-1]["refresh_token"])
        assert answer.status_code == 200 and answer.headers["cache-control"] == "no-store"
        tokens.append(answer.json())
    assert len({each["refresh_token"] for each in tokens}) == len({each["access_token"] for each in tokens}) == 6
    said = [claims_of(each["access_token"]) for each in tokens]
    same = ("iss", "sub", "aud", "client_id", "scope", "auth_time", "authorization_id", "connection_id")
    assert len({tuple(claims[name] for name in same) for claims in said}) == 1
    assert [claims["iat"] - said[0]["iat"] for claims in said] == [0, 100, 200, 300, 400, 500]
    assert opens(client, tokens[-1]["access_token"])
    assert row(house_on, tokens[0]["refresh_token"]).n == 6


@requirement("refresh:window")
def test_within_the_window_an_old_token_leads_to_the_newest_and_nothing_forks(house_on: House):
    client = add_app(house_on)
    first = connect(person(house_on), client)["refresh_token"]
    second = next_token(client, first)
    assert next_token(client, first) == second
    house_on.later(10)
    third = next_token(client, second)
    assert next_token(client, first) == next_token(client, second) == third
    house_on.later(20)  # first was superseded 30 s ago
    assert next_token(client, first) == third
    assert row(house_on, first).n == 3


@requirement("refresh:window", "refresh:replay-ends-connection")
def test_the_window_ends_thirty_seconds_after_the_rotation_and_does_not_slide(house_on: House):
    client, who = add_app(house_on), person(house_on)
    other = connect(who, client)
    tokens = connect(who, client)
    first = tokens["refresh_token"]
    newest = next_token(client, first)
    for _ in range(3):
        house_on.later(10)
        assert next_token(client, first) == newest  # forgiven, but the time still runs from the rotation
    house_on.later(1)
    assert "ended" in refused(client.refresh(first), "invalid_grant")
    house_on.catch_up()
    refused(client.refresh(newest), "invalid_grant")
    assert not opens(client, tokens["access_token"])
    assert opens(client, other["access_token"])
    assert client.refresh(other["refresh_token"]).status_code == 200
    assert "code" in who.allow(client.authorize_url())


@requirement("refresh:window")
def test_racing_processes_get_one_successor_and_all_the_same(house_on: House):
    client = add_app(house_on)
    token = connect(person(house_on), client)["refresh_token"]
    for _ in range(3):
        with ThreadPoolExecutor(12) as threads:
            answers = list(threads.map(lambda _, sent=token: client.refresh(sent), range(12)))
        assert [answer.status_code for answer in answers] == [200] * 12
        (token,) = {answer.json()["refresh_token"] for answer in answers}
    assert row(house_on, token).n == 4


@requirement("refresh:strict")
def test_strict_rotation_forgives_nobody(fresh_house_on: House):
    house = fresh_house_on
    house.write(orgs.change, msgspec.structs.replace(house.org, refresh_window=0))
    house.catch_up()
    client = add_app(house)
    first = connect(person(house), client)["refresh_token"]
    newest = next_token(client, first)
    refused(client.refresh(first), "invalid_grant")  # in the same millisecond
    refused(client.refresh(newest), "invalid_grant")


@requirement("refresh:strict")
def test_of_racing_processes_strict_rotation_lets_one_through_and_ends_the_connection(fresh_house_on: House):
    house = fresh_house_on
    house.write(orgs.change, msgspec.structs.replace(house.org, refresh_window=0))
    house.catch_up()
    client = add_app(house)
    token = connect(person(house), client)["refresh_token"]
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: client.refresh(token), range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 7
    (won,) = [answer.json()["refresh_token"] for answer in answers if answer.status_code == 200]
    refused(client.refresh(won), "invalid_grant")


@requirement("refresh:strict")
def test_the_window_may_be_two_minutes_and_no_longer(fresh_house: House):
    house = fresh_house
    house.write(orgs.change, msgspec.structs.replace(house.org, refresh_window=120))
    house.catch_up()
    client = add_app(house)
    first = connect(person(house), client)["refresh_token"]
    newest = next_token(client, first)
    house.later(120)
    assert next_token(client, first) == newest
    house.later(0.002)
    refused(client.refresh(first), "invalid_grant")
    for seconds in (-1, 121, 3600):
        with pytest.raises(Invalid):
            house.write(orgs.change, msgspec.structs.replace(house.org, refresh_window=seconds))


@requirement("refresh:strict")
@pytest.mark.parametrize(("grace", "seconds"), [("0", 0), ("0s", 0), ("5s", 5), ("2m", 120)])
def test_the_deployments_window_takes_the_place_of_the_orgs(tmp_path: Path, grace: str, seconds: int):
    with House(tmp_path / "graced", refresh_grace=grace) as house:
        client = add_app(house)
        first = connect(person(house), client)["refresh_token"]
        newest = next_token(client, first)
        if seconds:
            house.later(seconds)
            assert next_token(client, first) == newest
        house.later(0.002)
        refused(client.refresh(first), "invalid_grant")


@requirement("refresh:forgery")
def test_a_mangled_token_is_refused_and_writes_nothing(house: House):
    client, other = add_app(house), add_app(house)
    tokens = connect(person(house), client)
    token = tokens["refresh_token"]
    key_id, family, n, mac = token.split(".")
    foreign = connect(person(house), other)["refresh_token"].split(".")
    before = row(house, token)
    mangled = [
        token[:-1], token + "x", token.swapcase(), token[1:], " " + token, token + " ", token + "\n", token.replace(".", ".."),
        f"{key_id}.{family}.2.{mac}", f"{key_id}.{family}.0.{mac}", f"{key_id}.{family}.01.{mac}", f"{key_id}.{family}.-1.{mac}",
        f"{key_id}.{family}.{'9' * 16}.{mac}", f"{key_id}.{family}.{'9' * 40}.{mac}", f"{key_id}.{family}.+1.{mac}",
        f"{key_id}.{family}.\u0661.{mac}", f"x.{family}.{n}.{mac}", f".{family}.{n}.{mac}", f"{key_id}.{foreign[1]}.{n}.{mac}",
        f"{key_id}.{family}.{n}.{foreign[3]}", f"{key_id}.{family}.{n}.{'A' * 43}", f"{key_id}.{family}.{n}.", f"{family}.{n}.{mac}",
        f"{key_id}.{'x' * 22}.{n}.{mac}", f"{key_id}.{family}.{n}.{mac}.x", tokens["access_token"], "x", "x" * 5000, "é",
        f"{key_id}.{family}.{n}.{mac[:-1]}" + ("B" if mac[-1] != "B" else "C"), f"{key_id}.{family}.{n}.{mac}=",
    ]  # fmt: skip
    for wrong in mangled:
        assert wrong != token
        refused(client.refresh(wrong), "invalid_grant")
    refused(client.refresh(""), "invalid_request")
    assert row(house, token) == before
    assert client.refresh(token).status_code == 200


@requirement("refresh:forgery")
def test_neither_the_database_nor_the_key_file_alone_can_forge_a_token(house: House):
    client = add_app(house)
    token = connect(person(house), client)["refresh_token"]
    stored = row(house, token)
    other_key = secrets.KeyRing({house.site.ring.current_id: secrets.random_bytes(32)})
    refused(client.refresh(refresh.write(other_key, stored)), "invalid_grant")
    without_salt = msgspec.structs.replace(stored, salt="")
    refused(client.refresh(refresh.write(house.site.ring, without_salt)), "invalid_grant")
    assert client.refresh(refresh.write(house.site.ring, stored)).status_code == 200


@requirement("refresh:forgery")
def test_another_client_cannot_use_a_token_nor_harm_it(house_on: House):
    client, other = add_app(house_on), add_app(house_on)
    token = connect(person(house_on), client)["refresh_token"]
    newest = next_token(client, token)
    house_on.later(100)
    for stolen in (token, newest):
        refused(client.refresh(stolen, client_id=other.client_id), "invalid_grant")
        refused(client.refresh(stolen, client_id="nobody"), "invalid_client")
        refused(client.refresh(stolen, client_id=None), "invalid_client")
    assert client.refresh(newest).status_code == 200


@requirement("refresh:forgery", "token:code-proof")
def test_one_kind_of_token_is_never_taken_for_another(house: House):
    client = add_app(house)
    tokens = connect(person(house), client)
    assert not opens(client, tokens["refresh_token"])
    refused(client.redeem(tokens["refresh_token"]), "invalid_grant")
    refused(client.refresh(tokens["access_token"]), "invalid_grant")


@requirement("refresh:ahead-of-the-row")
def test_a_genuine_token_with_a_number_above_the_rows_ends_the_connection(house_on: House):
    client, who = add_app(house_on), person(house_on)
    other = connect(who, client)["refresh_token"]
    first = connect(who, client)["refresh_token"]
    backup = row(house_on, first)
    newest = next_token(client, next_token(client, first))
    house_on.write(restore, backup)
    refused(client.refresh(newest), "invalid_grant")
    refused(client.refresh(first), "invalid_grant")
    assert client.refresh(other).status_code == 200


def restore(backup: refresh.Family):
    """The row as it stood in a backup."""
    yield from execute(
        "UPDATE refresh_families SET n = :n, recent = :recent WHERE id = :id",
        n=backup.n, recent=msgspec.json.encode(backup.recent).decode(), id=backup.id,
    )  # fmt: skip


@requirement("refresh:scope")
def test_one_access_token_may_have_less_and_the_next_has_all_again(house_on: House):
    client = add_app(house_on)
    token = connect(person(house_on), client)["refresh_token"]
    less = client.refresh(token, scope="mcp_api").json()
    assert less["scope"] == claims_of(less["access_token"])["scope"] == "mcp_api"
    assert opens(client, less["access_token"])
    none = client.refresh(less["refresh_token"], scope="offline_access").json()
    assert none["scope"] == "refresh_token" and claims_of(none["access_token"])["aud"].endswith("/mcp/sobject-reads")
    again = client.refresh(none["refresh_token"]).json()
    assert again["scope"] == "mcp_api refresh_token"


@requirement("refresh:scope")
def test_a_refresh_never_widens_what_was_authorized(house_on: House):
    client, who = add_app(house_on), person(house_on)
    token = connect(who, client, scope="refresh_token")["refresh_token"]
    connect(who, client)  # the authorization is wider now, this connection is not
    assert "refresh_token" in refused(client.refresh(token, scope="mcp_api"), "invalid_scope")
    wider = client.refresh(token, scope="mcp_api refresh_token full").json()
    assert wider["scope"] == "refresh_token"
    assert client.refresh(wider["refresh_token"], scope="").json()["scope"] == "refresh_token"


@requirement("refresh:scope")
def test_a_refresh_gives_no_scope_that_the_app_lost(house_on: House):
    client = add_app(house_on)
    tokens = connect(person(house_on), client)
    change_app(house_on, client, scopes=("refresh_token",))
    shorter = client.refresh(tokens["refresh_token"]).json()
    assert shorter["scope"] == "refresh_token"
    refused(client.refresh(shorter["refresh_token"], scope="mcp_api"), "invalid_scope")
    change_app(house_on, client, scopes=("mcp_api",))
    assert "refresh_token" in refused(client.refresh(shorter["refresh_token"]), "invalid_grant")
    change_app(house_on, client, scopes=("mcp_api", "refresh_token"))
    assert client.refresh(shorter["refresh_token"]).json()["scope"] == "mcp_api refresh_token"


@requirement("refresh:idle")
def test_a_family_is_dead_after_thirty_days_without_use_and_each_use_begins_them_anew(house_on: House):
    client = add_app(house_on)
    token = connect(person(house_on), client)["refresh_token"]
    for _ in range(3):
        house_on.later(Policies().refresh_seconds - 1)
        token = next_token(client, token)
    house_on.later(Policies().refresh_seconds)
    assert "30 days" in refused(client.refresh(token), "invalid_grant")


@requirement("refresh:ended")
def test_an_inactive_user_and_a_disabled_app_refuse_without_a_mark(house_on: House):
    client, who = add_app(house_on), add_user(house_on)
    token = connect(who, client)["refresh_token"]
    before = row(house_on, token)
    set_active(house_on, who, is_active=False)
    refused(client.refresh(token), "invalid_grant")
    set_active(house_on, who, is_active=True)
    change_app(house_on, client, is_enabled=False)
    refused(client.refresh(token), "invalid_client")
    change_app(house_on, client, is_enabled=True)
    assert row(house_on, token) == before
    assert client.refresh(token).status_code == 200


@requirement("refresh:ended")
def test_ending_an_authorization_ends_every_connection_under_it_and_no_other(house_on: House):
    client, who, other = add_app(house_on), person(house_on), person(house_on, 1)
    mine, theirs = [connect(who, client) for _ in range(2)], connect(other, client)
    held = house_on.read(authorizations.find_live, house_on.org.id, user_id(house_on, who), app_id(house_on, client))
    house_on.write(authorizations.end, house_on.org.id, held.id, house_on.site.clock.now())
    house_on.catch_up()
    for tokens in mine:
        refused(client.refresh(tokens["refresh_token"]), "invalid_grant")
        assert not opens(client, tokens["access_token"])
    assert opens(client, theirs["access_token"]) and client.refresh(theirs["refresh_token"]).status_code == 200


@requirement("refresh:bounded", "refresh:window")
def test_sixteen_superseded_numbers_are_remembered_and_an_older_one_is_a_replay(house_on: House):
    client = add_app(house_on)
    tokens = [connect(person(house_on), client)["refresh_token"]]
    for _ in range(17):
        tokens.append(next_token(client, tokens[-1]))
    assert [n for n, _ in row(house_on, tokens[0]).recent] == list(range(2, 18))
    assert next_token(client, tokens[1]) == tokens[-1]
    refused(client.refresh(tokens[0]), "invalid_grant")
    refused(client.refresh(tokens[-1]), "invalid_grant")


@requirement("refresh:replay-ends-connection")
def test_the_end_of_a_connection_is_written_down_with_its_reason_once(house_on: House):
    client = add_app(house_on)
    tokens = connect(person(house_on), client)
    next_token(client, tokens["refresh_token"])
    house_on.later(31)
    for _ in range(3):
        refused(client.refresh(tokens["refresh_token"]), "invalid_grant")
    connection = claims_of(tokens["access_token"])["connection_id"]
    details = house_on.read(
        one, "SELECT details AS value FROM audit_events WHERE subject = :subject", text, subject=connection
    )
    assert msgspec.json.decode(details) == {
        "why": "refresh token replay", "user": claims_of(tokens["access_token"])["sub"],
    }  # fmt: skip


@requirement("refresh:master-keys")
def test_tokens_of_an_old_master_key_are_good_while_it_is_on_the_list(tmp_path: Path):
    data = tmp_path / "rotated"
    with House(data) as house:
        client = add_app(house)
        token = connect(person(house), client)["refresh_token"]
    file = data / "master.key"
    (old,) = msgspec.json.decode(file.read_bytes())
    fresh = {"id": "next", "key": msgspec.json.decode(msgspec.json.encode(secrets.random_bytes(32)))}
    file.write_bytes(msgspec.json.encode([fresh, old]))
    with House(data) as house:
        client = msgspec.structs.replace(client, front=house.client())
        newest = next_token(client, token)
        assert token.startswith(old["id"] + ".") and newest.startswith("next.")
        assert next_token(client, token) == newest  # forgiven across the change of keys too
        newest = next_token(client, newest)


@requirement("refresh:master-keys")
@pytest.mark.parametrize("name", ["", "2026.11", "x" * 17, "a b", "ä"])
def test_a_master_key_whose_name_no_token_could_carry_is_refused_at_the_start(tmp_path: Path, name: str):
    file = tmp_path / "master.key"
    file.touch(0o600)
    file.write_bytes(msgspec.json.encode([{"id": name, "key": secrets.random_bytes(32)}]))
    with pytest.raises(KeyRefused, match="1 to 16"):
        load(file)


@requirement("refresh:forgery", "authorize:orgs-apart")
def test_a_token_of_another_org_is_unknown(house_on: House):
    org = add_org(house_on, "acme")
    theirs = add_app(house_on, org=org)
    ours = add_app(house_on)
    token = connect(person(house_on), ours)["refresh_token"]
    refused(theirs.refresh(token), "invalid_grant")
    assert ours.refresh(token).status_code == 200
