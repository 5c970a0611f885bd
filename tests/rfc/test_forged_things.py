"""Things that an attacker makes up, cuts off, moves elsewhere or brings again, as real products once took them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.generated import MANY
from tests.house import House
from tests.oauth.confidential import SECRET_FLOWS, Confidential, add_confidential, asked, introspect
from tests.oauth.flows import asserted, assertion, grant, jwk_set, post
from tests.oauth.scenes import add_app, code_for, connect, opens, person, refused
from tests.people import OAuthClient, Person
from tests.requirements import requirement
from tests.setup.offices import add_user, administrator, app_of, send, token, words

DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
EVERY_FLOW = {"device_flow": True, "jwt_access_tokens": False}
OPAQUE = ("refresh_token", "openid", "profile")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """An org for the tests here: each has apps of its own."""
    with House(tmp_path_factory.mktemp("forged") / "data") as made:
        yield made


@pytest.fixture(scope="module")
def robin(place: House) -> Person:
    """The administrator, signed in once."""
    return administrator(place)


def pushed(client: OAuthClient) -> str:
    sent = {
        "client_id": client.client_id, "response_type": "code", "redirect_uri": client.redirect_uri,
        "code_challenge": client.challenge, "code_challenge_method": "S256",
    }  # fmt: skip
    return client.front.post(f"{client.issuer}/services/oauth2/par", data=sent).json()["request_uri"]


@requirement("forged:one-kind-for-another")
def test_nothing_that_works_once_is_taken_in_the_place_of_another_kind(place: House, robin: Person):
    client = add_app(place, device_flow=True)
    begun = client.front.post(f"{client.issuer}/services/oauth2/device", data={"client_id": client.client_id}).json()
    tokens = connect(robin, client)
    things = {
        "code": code_for(robin, client),
        "device code": begun["device_code"],
        "user code": begun["user_code"],
        "request_uri": pushed(client),
        "its reference": pushed(client).rpartition(":")[2],
        "session": next(each.value for each in robin.front.cookies.jar if each.name.startswith("gl-")),
        "access token": tokens["access_token"],
        "refresh token": tokens["refresh_token"],
    }
    for name, value in things.items():
        if name != "code":
            refused(client.redeem(value), "invalid_grant")
        if name != "device code":
            refused(client.token(grant_type=DEVICE, device_code=value), "invalid_grant")
        if name != "refresh token":
            refused(client.refresh(value), "invalid_grant")
        if name != "access token":
            assert not opens(client, value)
        if name != "request_uri":
            urn = f"urn:ietf:params:oauth:request_uri:{value.rpartition(':')[2]}"
            if name != "its reference":
                url = f"{client.issuer}/services/oauth2/authorize"
                answer = robin.front.get(url, params={"client_id": client.client_id, "request_uri": urn})
                assert "code=" not in answer.headers.get("location", ""), name
                assert answer.status_code == 400 or "error=" in answer.headers["location"], name
    assert client.redeem(things["code"]).status_code == 200, "and none of it was used up"
    assert client.refresh(things["refresh token"]).status_code == 200


@pytest.fixture(scope="module")
def opaque(place: House, robin: Person) -> tuple[Confidential, dict[str, Any]]:
    """An app with opaque tokens, and those of a connection."""
    app = add_confidential(place, scopes=OPAQUE, jwt_access_tokens=False, **SECRET_FLOWS)
    answer = app.client.redeem(code_for(robin, app.client, scope=" ".join(OPAQUE)), client_secret=app.secret)
    return app, answer.json()


@requirement("forged:opaque-tokens")
def test_no_change_of_an_opaque_token_is_a_token(place: House, opaque: tuple[Confidential, dict[str, Any]]):
    app, tokens = opaque
    good = tokens["access_token"]
    url = f"{place.issuer}/services/oauth2/userinfo"

    def status(text: str) -> int:
        return app.client.front.get(url, headers={"Authorization": f"Bearer {text}"}).status_code

    assert status(good) == 200 and introspect(app, good)["active"]

    @MANY
    @given(st.data())
    def check(data: st.DataObject) -> None:
        at = data.draw(st.integers(0, len(good) - 1))
        kind = data.draw(st.sampled_from(["cut", "change", "add", "case", "double"]))
        letter = data.draw(st.sampled_from("ABCXYZabcxyz0189-_!.="))
        bent = {
            "cut": good[:at], "change": good[:at] + letter + good[at + 1 :], "add": good[:at] + letter + good[at:],
            "case": good[:at] + good[at:].swapcase(), "double": good + good[at:],
        }[kind]  # fmt: skip
        if bent == good:
            return
        assert status(bent) == 401
        answer = asked(app, bent)
        assert answer.text == '{"active":false}' if bent else answer.status_code == 400

    check()


@requirement("forged:after-a-restart")
def test_what_was_used_or_ended_stays_so_when_the_node_starts_again(tmp_path: Path, database: str):
    with House(tmp_path / "data", database=database) as before:
        client, who = add_app(before), person(before)
        by_key = add_app(before, public_keys=jwk_set(), **SECRET_FLOWS)
        used = code_for(who, client)
        replayed, revoked = client.redeem(used).json(), connect(who, client)
        url = f"{client.issuer}/services/oauth2/revoke"
        ended = {"client_id": client.client_id, "token": revoked["refresh_token"]}
        assert client.front.post(url, data=ended).status_code == 200
        statement = asserted(assertion(before, by_key))
        assert post(by_key, grant(by_key, code_for(who, by_key)) | statement).status_code == 200
        newer = client.refresh(replayed["refresh_token"]).json()
        time = before.time
    with House(tmp_path / "data", database=database) as after:
        after.time = time
        for each in (client, by_key):
            each.front._transport.app, each.front._house = after.app, after
        assert not opens(client, revoked["access_token"]) and opens(client, newer["access_token"])
        refused(client.refresh(revoked["refresh_token"]), "invalid_grant")
        refused(post(by_key, grant(by_key, "x") | statement), "invalid_client", 401)
        refused(client.redeem(used), "invalid_grant")
        after.catch_up()
        assert not opens(client, newer["access_token"]), "the replay is known for what it is"
        refused(client.refresh(newer["refresh_token"]), "invalid_grant")


@requirement("forged:fields-nobody-showed")
def test_fields_that_a_form_does_not_show_change_nothing(house: House):
    robin, app = administrator(house), app_of(house)
    extra = {
        "id": "0xI000000000000AAA", "org_id": "00D000000000000AAA", "consumer_key": "3MVG9" + "x" * 80, "revision": None,
        "created_by": "eve@evil.example", "preset": "claude", "secret_digest": "0" * 64, "is_enabled": "",
        "permitted_users": "AdminApprovedPreAuthorized", "run_as": "robin@acme.example", "client_credentials": "on",
    }  # fmt: skip
    shown = {name: value for name, value in extra.items() if value is not None}
    assert send(robin, f"/setup/apps/{app.id}/edit", **shown).status_code == 303
    now = app_of(house)
    assert (now.id, now.org_id, now.consumer_key, now.created_by, now.preset) == (
        app.id, app.org_id, app.consumer_key, app.created_by, app.preset,
    )  # fmt: skip
    assert now.policies == app.policies and now.settings == app.settings
    assert send(robin, f"/setup/apps/{app.id}/policies", scopes=["id"], callback_urls="https://evil.example/cb",
                api_name="Evil", require_pkce="").status_code == 303  # fmt: skip
    assert app_of(house).settings == app.settings
    who = add_user(house, "kim@acme.example")
    path = f"/setup/users/{who}"
    fields = {"form_token": token(robin), "act": "end-sessions", "email": "eve@evil.example", "username": "eve"}
    assert robin.front.post(path, data=fields | {"permission_sets": "Administrator"}).status_code == 303
    page = words(robin.front.get(path))
    assert (
        "kim@acme.example" in page
        and "eve@evil" not in page
        and "may do nothing but look after their own account" in page
    )


@requirement("forged:links-from-headers")
@pytest.mark.parametrize(
    "header",
    [{"X-Forwarded-Host": "evil.example"}, {"X-Forwarded-Proto": "https", "X-Forwarded-Prefix": "/evil"},
     {"Forwarded": "host=evil.example;proto=https"}, {"X-Original-Host": "evil.example", "X-Host": "evil.example"}],
    ids=lambda header: next(iter(header)),
)  # fmt: skip
def test_no_header_decides_where_a_reset_link_leads(place: House, robin: Person, header: dict[str, str]):
    who = add_user(place, f"link-{next(iter(header)).lower()}@acme.example")
    fields = {"form_token": token(robin), "act": "reset-link"}
    page = robin.front.post(f"/setup/users/{who}", data=fields, headers=header)
    link = page.text.split('<code id="reset-link">', 1)[1].split("<", 1)[0]
    assert (
        link.startswith(f"{place.issuer}/login/reset?token=")
        and "evil.example" not in page.text
        and "/evil" not in page.text
    )


@requirement("forged:cursors")
@pytest.mark.parametrize(
    "after", ["' OR '1'='1", "x'; DROP TABLE users; --", "\\", "%27%20UNION%20SELECT", "é" * 500, "{}"]
)
def test_a_cursor_is_data_and_nothing_else(place: House, robin: Person, after: str):
    page = robin.front.get("/setup/users", params={"after": after})
    assert page.status_code == 200 and "password_hash" not in page.text and "argon2" not in page.text
    assert robin.front.get("/setup/users").text.count("@acme.example") >= 3
