"""A staged consumer key and secret: both pairs work until the new one takes the old one's place."""

import pytest

from gatelodge.core import rotation
from gatelodge.core.errors import Refused
from tests.house import House
from tests.oauth import flows
from tests.oauth.flows import give_secret, post, stage
from tests.oauth.scenes import add_app, change_app, connect, opens, person, refused
from tests.people import OAuthClient
from tests.requirements import requirement

DAY = 86_400


def apply(house: House, client: OAuthClient) -> None:
    house.write(
        rotation.apply_staged, flows.app_of(house, client), actor="robin", now_ms=house.site.clock.now_ms()
    )  # fmt: skip
    house.catch_up()


def ready(house: House) -> tuple[OAuthClient, str]:
    client = add_app(house, require_secret_for_web_server_flow=True, require_secret_for_refresh_token_flow=True)
    return client, give_secret(house, client)


def connected(house: House, client: OAuthClient, secret: str) -> dict:
    answer = client.redeem(person(house).allow(client.authorize_url())["code"], client_secret=secret)
    assert answer.status_code == 200, answer.text
    return answer.json()


@requirement("clients:staged-pair", "clients:staged-refresh")
def test_both_pairs_work_until_the_staged_one_is_applied_and_the_old_one_ends_at_once(house_on: House):
    old, secret = ready(house_on)
    held = connected(house_on, old, secret)["refresh_token"]
    new, staged = stage(house_on, old)
    held = old.refresh(held, client_secret=secret).json()["refresh_token"]
    answer = new.refresh(held, client_secret=staged)
    assert answer.status_code == 200 and opens(new, answer.json()["access_token"])
    for client, wrong in ((old, staged), (new, secret)):
        refused(client.refresh(answer.json()["refresh_token"], client_secret=wrong), "invalid_client")
    assert connected(house_on, new, staged)["access_token"]

    apply(house_on, old)
    refused(old.refresh(answer.json()["refresh_token"], client_secret=secret), "invalid_client")
    assert "invalid_client_id" in old.front.get(old.authorize_url()).text
    last = new.refresh(answer.json()["refresh_token"], client_secret=staged)
    assert last.status_code == 200, last.text
    house_on.later(31 * DAY)
    assert connected(house_on, new, staged)["access_token"], "applied, it no longer has an end"


@requirement("clients:staged-pair")
def test_a_staged_pair_that_nobody_applies_is_dead_after_thirty_days(house: House):
    old, secret = ready(house)
    new, staged = stage(house, old)
    house.later(30 * DAY - 1)
    assert (
        post(new, {"client_id": new.client_id, "client_secret": staged, "grant_type": "x"}).json()["error"]
        == "unsupported_grant_type"
    )
    house.later(2)
    refused(post(new, {"client_id": new.client_id, "client_secret": staged, "grant_type": "x"}), "invalid_client")
    with pytest.raises(Refused, match="30 days"):
        apply(house, old)
    assert connected(house, old, secret)["access_token"]


@requirement("clients:staged-pair")
def test_a_change_of_the_app_reaches_both_keys(house: House):
    old, secret = ready(house)
    new, staged = stage(house, old)
    change_app(house, old, is_enabled=False)
    for client, own in ((old, secret), (new, staged)):
        answer = post(client, {"client_id": client.client_id, "client_secret": own, "grant_type": "refresh_token"})
        assert "app_blocked" in refused(answer, "invalid_client")


@requirement("clients:staged-refresh")
def test_an_access_token_of_either_key_opens_the_server_while_both_work(house: House):
    client = add_app(house)
    tokens = connect(person(house), client)
    give_secret(house, client)
    new, staged = stage(house, client)
    theirs = new.refresh(tokens["refresh_token"], client_secret=staged).json()
    assert opens(client, tokens["access_token"]) and opens(client, theirs["access_token"])
