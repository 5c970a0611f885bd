"""Who may use an app, from where and how strongly signed in: each such policy, per value, at every endpoint."""

import html

import httpx2
import msgspec
import pytest

from gatelodge.core import connected_apps, orgs, secrets
from gatelodge.core.connected_apps import ConnectedApp
from gatelodge.core.operation import one
from tests.house import House
from tests.oauth.flows import post, sign_in_strongly
from tests.oauth.scenes import (
    HTTPS,
    add_app,
    add_user,
    change_app,
    claims_of,
    code_for,
    connect,
    opens,
    person,
    refused,
    set_active,
    signed_in,
)
from tests.people import OAuthClient, Person, returned
from tests.requirements import requirement

APPROVED = {"permitted_users": "AdminApprovedPreAuthorized"}


@pytest.fixture(scope="module")
def robin(shared_house: House) -> Person:
    return person(shared_house)


@requirement("options:permitted-users")
def test_preauthorized_users_skip_consent_and_nobody_else_comes_in(house_on: House):
    client = add_app(house_on, HTTPS, **APPROVED, permission_sets=("Standard_User",))
    sam, robin = person(house_on, 1), person(house_on)
    answer = sam.go(client.authorize_url())
    answer = sam.answer(answer, username=sam.username, password=sam.password)
    tokens = client.redeem(returned(answer)["code"]).json()
    assert opens(client, tokens["access_token"])
    assert "code" in returned(sam.front.get(client.authorize_url(prompt="none")))

    page = robin.go(client.authorize_url())
    page = robin.answer(page, username=robin.username, password=robin.password)
    assert page.status_code == 403 and "OAUTH_APP_ACCESS_DENIED" in page.text
    assert "not admin approved" in html.unescape(page.text) and 'value="allow"' not in page.text
    told = returned(robin.answer(page, answer="deny"))
    assert told["error"] == "access_denied" and told["error_description"].startswith("OAUTH_APP_ACCESS_DENIED")
    silent = returned(robin.front.get(client.authorize_url(prompt="none")))
    assert silent["error"] == "access_denied" and "OAUTH_APP_ACCESS_DENIED" in silent["error_description"]

    change_app(house_on, client, permission_sets=("Administrator",))
    assert "invalid_app_access" in refused(client.refresh(tokens["refresh_token"]), "invalid_grant")
    assert not opens(client, tokens["access_token"])
    change_app(house_on, client, permitted_users="AllSelfAuthorized")
    assert opens(client, tokens["access_token"])
    assert 'value="allow"' in robin.go(client.authorize_url()).text


@requirement("options:permitted-users")
def test_a_preauthorized_user_of_a_client_on_their_computer_still_continues_by_hand(shared_house: House):
    client = add_app(shared_house, "http://localhost:8080/callback", **APPROVED, permission_sets=("Standard_User",))
    sam = signed_in(person(shared_house, 1), client)
    page = sam.go(client.authorize_url())
    assert "Continue to" in page.text
    assert returned(sam.front.get(client.authorize_url(prompt="none")))["error"] == "interaction_required"
    code = returned(sam.answer(page, answer="allow"))["code"]
    assert client.redeem(code).status_code == 200
    asked = add_app(shared_house, HTTPS, **APPROVED, permission_sets=("Standard_User",))
    assert 'value="allow"' in sam.go(asked.authorize_url(prompt="consent")).text


@requirement("options:permitted-users")
def test_with_no_permission_set_named_nobody_is_approved(shared_house: House, robin: Person):
    client = add_app(shared_house, HTTPS, **APPROVED)
    told = returned(signed_in(robin, client).front.get(client.authorize_url(prompt="none")))
    assert "none is named yet" in told["error_description"]
    tokens = connect(robin, add_app(shared_house))
    assert tokens["access_token"]


# --- IP Relaxation --------------------------------------------------------------------------------------------------------

OUTSIDE = ("198.51.100.0/24",)
INSIDE = ("203.0.113.1-203.0.113.9",)


def code_of(who: Person, client: OAuthClient) -> httpx2.Response:
    return who.front.get(client.authorize_url(prompt="none"))


@requirement("options:ip-relaxation")
@pytest.mark.parametrize(
    ("value", "authorizes", "redeems", "refreshes"),
    [
        ("Enforce", False, False, False),
        ("Enforce_RelaxRefresh", False, False, True),
        ("Bypass_2factor", None, False, False),
        ("Bypass", True, True, True),
    ],
)
def test_ip_relaxation_outside_the_trusted_ranges(shared_house, value: str, authorizes, redeems: bool, refreshes: bool):
    client, who = add_app(shared_house, HTTPS), add_user(shared_house)
    held = connect(who, client)["refresh_token"]
    code = code_for(who, client)
    change_app(shared_house, client, trusted_ranges=OUTSIDE, ip_relaxation=value)
    told = returned(code_of(who, client))
    if authorizes:
        assert "code" in told
    elif authorizes is None:
        assert told["error"] == "interaction_required"
        page = who.front.get(who.front.get(client.authorize_url()).headers["location"])
        assert page.headers["location"].startswith(f"{client.issuer}/login/factor?next=%2Fflow%3Frequest%3D")
    else:
        assert told["error"] == "access_denied" and told["error_description"].startswith("ip_restricted")
        page = who.go(client.authorize_url())
        assert page.status_code == 403 and "203.0.113.7" in page.text and "ip_restricted" in page.text
    answer = client.redeem(code)
    assert (answer.status_code == 200) == redeems and (redeems or "ip restricted" in answer.text)
    assert (client.refresh(held).status_code == 200) == refreshes
    change_app(shared_house, client, trusted_ranges=INSIDE)
    assert "code" in returned(code_of(who, client))
    assert client.refresh(held).status_code == 200 or refreshes


@requirement("options:ip-relaxation")
def test_a_second_factor_relaxes_the_addresses_where_the_policy_says_so(shared_house: House):
    client, who = add_app(shared_house, HTTPS), add_user(shared_house)
    connect(who, client)
    change_app(shared_house, client, trusted_ranges=OUTSIDE, ip_relaxation="Bypass_2factor")
    strong = sign_in_strongly(shared_house, Person(shared_house.client(), who.username, who.password))
    tokens = client.redeem(returned(code_of(strong, client))["code"]).json()
    assert opens(client, tokens["access_token"]) and client.refresh(tokens["refresh_token"]).status_code == 200


@requirement("options:ip-relaxation")
def test_the_orgs_ranges_count_like_the_apps(tmp_path):
    with House(tmp_path / "data") as house:
        client, who = add_app(house, HTTPS), person(house)
        connect(who, client)
        house.write(orgs.change, msgspec.structs.replace(house.org, trusted_ranges=OUTSIDE))
        house.catch_up()
        assert returned(code_of(who, client))["error"] == "access_denied"
        change_app(house, client, trusted_ranges=INSIDE)
        assert "code" in returned(code_of(who, client))


# --- session level ----------------------------------------------------------------------------------------------------------


@requirement("options:session-level")
def test_below_the_level_block_refuses_and_step_up_asks_for_a_second_factor(house_on: House):
    client, who = add_app(house_on, HTTPS), person(house_on)
    connect(who, client)
    change_app(house_on, client, session_level="HIGH_ASSURANCE", below_level="Block")
    told = returned(code_of(who, client))
    assert told["error"] == "access_denied" and told["error_description"].startswith("invalid_session_level")
    page = who.go(client.authorize_url())
    assert page.status_code == 403 and "invalid_session_level" in page.text
    assert returned(who.answer(page, answer="deny"))["error_description"].startswith("invalid_session_level")

    change_app(house_on, client, below_level="StepUpMFA")
    held = who.front.get(client.authorize_url()).headers["location"]
    stepped = who.front.get(held)
    assert stepped.status_code == 303
    wanted = httpx2.URL(stepped.headers["location"])
    assert wanted.path == "/login/factor" and f"{client.issuer}{wanted.params['next']}" == held
    assert returned(code_of(who, client))["error"] == "interaction_required"
    sign_in_strongly(house_on, who)
    tokens = client.redeem(returned(who.front.get(held))["code"]).json()
    assert claims_of(tokens["access_token"])["acr"] == "HIGH_ASSURANCE"
    assert claims_of(tokens["access_token"])["amr"] == ["pwd", "otp"]


@requirement("options:session-level")
@pytest.mark.parametrize("required", ["LOW", "STANDARD"])
def test_a_password_is_enough_for_the_other_levels(shared_house: House, required: str):
    client = add_app(shared_house, HTTPS, session_level=required, below_level="Block")
    assert connect(add_user(shared_house), client)["access_token"]


# --- disabled, Connected Apps -------------------------------------------------------------------------------------------------


@requirement("options:disabled")
@pytest.mark.parametrize("change", [{"is_enabled": False}, {"oauth_enabled": False}])
def test_a_disabled_app_is_refused_everywhere_at_once(house_on: House, change: dict):
    client, who = add_app(house_on, HTTPS, device_flow=True), person(house_on)
    tokens = connect(who, client)
    code = code_for(who, client)
    page = who.go(client.authorize_url(prompt="consent"))
    change_app(house_on, client, **change)
    assert not opens(client, tokens["access_token"])
    refused(client.redeem(code), "invalid_client")
    refused(client.refresh(tokens["refresh_token"]), "invalid_client")
    for path in ("/services/oauth2/par", "/services/oauth2/device"):
        refused(client.front.post(path, data={"client_id": client.client_id}), "invalid_client")
    assert returned(who.answer(page, answer="allow"))["error"] == "unauthorized_client"
    assert returned(who.front.get(client.authorize_url()))["error"] == "unauthorized_client"
    change_app(house_on, client, is_enabled=True, oauth_enabled=True)
    assert opens(client, tokens["access_token"]) and client.refresh(tokens["refresh_token"]).status_code == 200


@requirement("options:connected-app")
def test_a_connected_apps_key_is_refused_with_the_reason_and_the_way(shared_house: House):
    key = secrets.new_consumer_key()
    short = "3MVG9" + "short.key_of_another_length"
    for each in (key, short):
        imported = ConnectedApp(org_id=shared_house.org.id, client_id=each, name="Old & <CRM>", imported_at=1)
        shared_house.write(connected_apps.remember, imported)
        client = OAuthClient(
            front=shared_house.client(), issuer=shared_house.issuer, client_id=each, redirect_uri=HTTPS
        )
        page = client.front.get(client.authorize_url())
        text = html.unescape(page.text)
        assert page.status_code == 400 and "location" not in page.headers and "<CRM>" not in page.text
        assert "Old & <CRM>, a Connected App" in text and "External Client App" in text and "invalid_client_id" in text
        for sent in ({"grant_type": "refresh_token", "refresh_token": "x"}, {"grant_type": "client_credentials"}):
            said = refused(post(client, sent | {"client_id": each}), "invalid_client")
            assert "Connected App" in said and "External Client App" in said
    unknown = secrets.new_consumer_key()
    stranger = OAuthClient(
        front=shared_house.client(), issuer=shared_house.issuer, client_id=unknown, redirect_uri=HTTPS
    )
    assert "Connected App" not in stranger.front.get(stranger.authorize_url()).text


@requirement("options:inactive-user")
def test_an_inactive_user_gets_nothing_at_any_grant(shared_house: House):
    client, who = add_app(shared_house, HTTPS), add_user(shared_house)
    tokens = connect(who, client)
    code = code_for(who, client)
    set_active(shared_house, who, is_active=False)
    assert "inactive" in refused(client.redeem(code), "invalid_grant")
    refused(client.refresh(tokens["refresh_token"]), "invalid_grant")
    assert returned(who.front.get(client.authorize_url(prompt="none")))["error"] == "login_required"
    used = shared_house.read(lambda: one("SELECT COUNT(*) AS n FROM codes WHERE used_at IS NOT NULL", lambda n: n))
    set_active(shared_house, who, is_active=True)
    assert client.redeem(code).status_code == 200 and used >= 1, "a refusal uses nothing up"
