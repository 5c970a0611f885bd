"""Codes: exchanged once, by who was given them, within a minute; a replay ends what the first use began."""

from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from gatelodge.core import authorizations, codes, secrets
from tests.house import House
from tests.oauth.scenes import (
    HTTPS,
    LOOPBACK,
    add_app,
    add_server,
    add_user,
    app_id,
    change_app,
    claims_of,
    code_for,
    connect,
    opens,
    person,
    refused,
    set_active,
    user_id,
)
from tests.requirements import requirement


@requirement("token:code-proof")
@pytest.mark.parametrize(
    "verifier",
    [
        None,
        "",
        "x" * 43,
        "x" * 128,
        "x" * 42,
        "x" * 129,
        "short",
        "x" * 42 + " ",
        "x" * 42 + "é",
        "x" * 42 + "/",
        "CHALLENGE",
        "VERIFIERx",
        "VERIFIER\n",
        " VERIFIER",
        "VERIFIE",
        "UPPER",
    ],
)
def test_a_wrong_verifier_gets_nothing_and_uses_nothing_up(house: House, verifier: str | None):
    client = add_app(house)
    given = {
        "CHALLENGE": client.challenge,
        "VERIFIERx": client.verifier + "x",
        "VERIFIER\n": client.verifier + "\n",
        " VERIFIER": " " + client.verifier,
        "VERIFIE": client.verifier[:-1],
        "UPPER": client.verifier.swapcase(),
    }.get(verifier or "", verifier)
    code = code_for(person(house), client)
    assert "verifier" in refused(client.redeem(code, code_verifier=given), "invalid_grant")
    assert client.redeem(code).status_code == 200


@requirement("token:code-proof")
@pytest.mark.parametrize("length", [43, 128])
def test_verifiers_of_every_allowed_length_and_character_are_good(house: House, length: int):
    client = msgspec.structs.replace(add_app(house), verifier=("Az09-._~" * 16)[:length])
    assert connect(person(house), client)["access_token"]


@requirement("token:code-proof")
@pytest.mark.parametrize(
    "redirect_uri",
    [HTTPS + "/", HTTPS.upper(), "https://client.example", LOOPBACK, "https://evil.example/", " " + HTTPS],
)
def test_another_redirect_uri_gets_nothing_and_uses_nothing_up(house: House, redirect_uri: str):
    client = add_app(house, HTTPS, LOOPBACK)
    code = code_for(person(house), client)
    assert "redirect_uri" in refused(client.redeem(code, redirect_uri=redirect_uri), "invalid_grant")
    assert client.redeem(code).status_code == 200


@requirement("token:code-proof", "authorize:loopback-port")
def test_the_redirect_uri_of_a_code_is_the_one_with_the_port_that_was_asked_for(house: House):
    client = add_app(house, LOOPBACK)
    asked = "http://localhost:51234/callback"
    code = code_for(person(house), client, redirect_uri=asked)
    refused(client.redeem(code, redirect_uri=LOOPBACK), "invalid_grant")
    assert client.redeem(code, redirect_uri=asked).status_code == 200


@requirement("token:code-proof")
def test_a_client_of_oauth_2_1_sends_no_redirect_uri_since_pkce_proves_more(house: House):
    client = add_app(house)
    assert client.redeem(code_for(person(house), client), redirect_uri=None).status_code == 200


@requirement("token:code-proof")
def test_another_client_with_the_right_verifier_gets_nothing_and_uses_nothing_up(house_on: House):
    client, other = add_app(house_on), add_app(house_on)
    code = code_for(person(house_on), client)
    assert "another client" in refused(client.redeem(code, client_id=other.client_id), "invalid_grant")
    assert client.redeem(code).status_code == 200


@requirement("token:code-proof")
def test_a_code_that_was_never_given_is_unknown(house: House):
    client = add_app(house)
    code = code_for(person(house), client)
    tokens = connect(person(house), client)
    for wrong in ("x", "x" * 43, code[:-1], code + "x", code.swapcase(), " " + code, tokens["access_token"], "é" * 43):
        refused(client.redeem(wrong), "invalid_grant")
    refused(client.redeem(""), "invalid_request")
    refused(client.token(grant_type="authorization_code", code_verifier=client.verifier), "invalid_request")
    assert client.redeem(code).status_code == 200


@requirement("token:code-lifetime")
def test_a_code_lives_sixty_seconds(house_on: House):
    client, who = add_app(house_on), person(house_on)
    in_time = code_for(who, client)
    house_on.later(59)
    assert client.redeem(in_time).status_code == 200
    late = code_for(who, client)
    house_on.later(60)
    assert "60 seconds" in refused(client.redeem(late), "invalid_grant")


@requirement("token:code-replay", "token:ends-at-once")
def test_a_replayed_code_ends_its_connection_and_no_other_of_the_user(house_on: House):
    client, who = add_app(house_on), person(house_on)
    other = connect(who, client)
    code = code_for(who, client)
    tokens = client.redeem(code).json()
    assert opens(client, tokens["access_token"])
    assert "ended" in refused(client.redeem(code), "invalid_grant")
    house_on.catch_up()
    assert not opens(client, tokens["access_token"])
    refused(client.refresh(tokens["refresh_token"]), "invalid_grant")
    assert opens(client, other["access_token"])
    assert client.refresh(other["refresh_token"]).status_code == 200
    assert connect(who, client)["access_token"]  # the authorization lives: nobody is asked again


@requirement("token:code-replay")
def test_a_replay_is_punished_long_after_the_code_would_have_expired(house_on: House):
    client = add_app(house_on)
    code = code_for(person(house_on), client)
    tokens = client.redeem(code).json()
    house_on.later(3600)
    house_on.write(codes.forget_old, house_on.site.clock.now())
    refused(client.redeem(code), "invalid_grant")
    assert "ended" in refused(client.refresh(tokens["refresh_token"]), "invalid_grant")


@requirement("token:code-replay")
def test_who_saw_a_code_but_lacks_its_proof_can_end_nothing(house_on: House):
    client, other = add_app(house_on), add_app(house_on)
    code = code_for(person(house_on), client)
    tokens = client.redeem(code).json()
    for changes in (
        {"code_verifier": None},
        {"code_verifier": "x" * 43},
        {"redirect_uri": "https://evil.example/"},
        {"client_id": other.client_id},
        {"resource": house_on.issuer},
    ):
        assert client.redeem(code, **changes).status_code == 400
    house_on.catch_up()
    assert opens(client, tokens["access_token"])
    assert client.refresh(tokens["refresh_token"]).status_code == 200


@requirement("token:code-once", "token:code-replay")
def test_of_many_who_redeem_one_code_at_once_one_succeeds(house_on: House):
    client = add_app(house_on)
    code = code_for(person(house_on), client)
    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(lambda _: client.redeem(code), range(12)))
    won = [answer for answer in answers if answer.status_code == 200]
    assert len(won) == 1
    for answer in answers:
        if answer is not won[0]:
            refused(answer, "invalid_grant")
    house_on.catch_up()
    assert not opens(client, won[0].json()["access_token"])


@requirement("token:code-ended")
def test_a_code_is_worth_nothing_once_its_user_is_inactive(house_on: House):
    client, who = add_app(house_on), add_user(house_on)
    code = code_for(who, client)
    set_active(house_on, who, is_active=False)
    assert "inactive" in refused(client.redeem(code), "invalid_grant")
    set_active(house_on, who, is_active=True)
    assert client.redeem(code).status_code == 200


@requirement("token:code-ended")
def test_a_code_is_worth_nothing_once_its_authorization_ended(house_on: House):
    client, who = add_app(house_on), person(house_on)
    code = code_for(who, client)
    held = house_on.read(authorizations.find_live, house_on.org.id, user_id(house_on, who), app_id(house_on, client))
    house_on.write(authorizations.end, house_on.org.id, held.id, house_on.site.clock.now())
    refused(client.redeem(code), "invalid_grant")
    who.allow(client.authorize_url())  # a new authorization does not revive it
    refused(client.redeem(code), "invalid_grant")


@requirement("token:code-ended", "token:clients")
def test_a_code_is_worth_nothing_while_its_app_is_disabled(house_on: House):
    client = add_app(house_on)
    code = code_for(person(house_on), client)
    change_app(house_on, client, is_enabled=False)
    assert "disabled" in refused(client.redeem(code), "invalid_client")
    change_app(house_on, client, is_enabled=True)
    assert client.redeem(code).status_code == 200


@requirement("token:code-once")
def test_a_code_is_kept_only_as_its_digest(fresh_house: House, tmp_path):
    client = add_app(fresh_house)
    code = code_for(person(fresh_house), client)
    tokens = client.redeem(code).json()
    stored = b"".join(path.read_bytes() for path in (tmp_path / "data").glob("gatelodge.db*"))
    assert secrets.digest(code).encode() in stored
    for secret in (code, tokens["access_token"], tokens["refresh_token"], client.verifier):
        assert secret.encode() not in stored


@requirement("token:jwt-for-resource")
def test_two_connections_of_one_user_and_app_stand_beside_each_other(fresh_house_on: House):
    second = add_server(fresh_house_on, "second")
    client, who = add_app(fresh_house_on), person(fresh_house_on)
    tokens = [connect(who, client, resource=url) for url in (second, f"{fresh_house_on.issuer}/mcp/sobject-reads")]
    one, two = (claims_of(each["access_token"]) for each in tokens)
    assert one["authorization_id"] == two["authorization_id"] and one["connection_id"] != two["connection_id"]
    assert one["aud"] != two["aud"]
