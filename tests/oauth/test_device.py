"""The device flow: a device shows a code, its user enters it in a browser, sees who asks from where, and answers."""

import html
import re
import threading

import httpx2
import pytest

from gatelodge.core import authorizations, device_codes
from gatelodge.core.operation import many
from tests.house import House
from tests.oauth.flows import asserted, assertion, give_secret, jwk_set, post, sign_in_strongly
from tests.oauth.scenes import (
    add_app,
    add_org,
    add_server,
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
from tests.people import OAuthClient, Person, form
from tests.requirements import requirement

GRANT = "urn:ietf:params:oauth:grant-type:device_code"
DEVICE = "/services/oauth2/device"
PAGE = "/setup/connect"


@pytest.fixture(scope="module")
def sam(shared_house: House) -> Person:
    """A standard user who is signed in."""
    who = person(shared_house, 1)
    assert who.sign_in_to_setup().status_code == 303
    return who


@pytest.fixture
def client(shared_house: House) -> OAuthClient:
    return add_app(shared_house, device_flow=True, mcp_servers=("sobject-reads",), label="Living room")


def begin(client: OAuthClient, **changes: str | None) -> httpx2.Response:
    sent = {"client_id": client.client_id, "scope": "mcp_api refresh_token"} | changes
    kept = {name: value for name, value in sent.items() if value is not None}
    return client.front.post(f"{client.issuer}{DEVICE}", data=kept)


def begun(client: OAuthClient, **changes: str | None) -> dict:
    answer = begin(client, **changes)
    assert answer.status_code == 200, answer.text
    return answer.json()


def poll(client: OAuthClient, codes: dict, **changes: str | None) -> httpx2.Response:
    return client.token(**{"grant_type": GRANT, "device_code": codes["device_code"]} | changes)


def enter(who: Person, user_code: str, **fields: str) -> httpx2.Response:
    """Type the code in, and answer the page that follows if there are fields."""
    page = who.front.get(PAGE)
    page = who.front.post(PAGE, data=form(page, PAGE) | {"user_code": user_code})
    return who.front.post(PAGE, data=form(page, PAGE) | fields) if fields else page


@requirement("device:flow", "device:codes")
def test_a_device_gets_its_tokens_after_its_user_said_yes(house_on: House):
    client = add_app(house_on, device_flow=True)
    answer = begin(client)
    assert answer.headers["cache-control"] == "no-store"
    codes = answer.json()
    assert set(codes) == {
        "device_code", "user_code", "verification_uri", "verification_uri_complete", "expires_in", "interval",
    }  # fmt: skip
    assert codes["verification_uri"] == f"{house_on.issuer}{PAGE}" and codes["expires_in"] == 600
    assert re.fullmatch("[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}", codes["user_code"])
    assert len(codes["device_code"]) >= 43
    refused(poll(client, codes), "authorization_pending")
    who = person(house_on, 1)
    page = who.front.get(codes["verification_uri_complete"])
    assert codes["user_code"] in page.text and 'value="allow"' not in page.text
    sent = who.front.post(PAGE, data=form(page, PAGE))
    assert sent.status_code == 303 and sent.headers["location"].startswith(
        f"{house_on.issuer}/login?next=/setup/connect"
    )
    login = who.front.get(sent.headers["location"])
    back = who.front.post("/login", data=form(login, "/login") | {"username": who.username, "password": who.password})
    assert back.headers["location"] == f"{house_on.issuer}{PAGE}/{codes['user_code']}"
    page = who.front.get(back.headers["location"])
    page = who.front.post(PAGE, data=form(page, PAGE))
    assert "Allow" in page.text
    assert "connected" in who.front.post(PAGE, data=form(page, PAGE) | {"answer": "allow"}).text
    house_on.later(6)
    body = poll(client, codes).json()
    assert body["scope"] == "mcp_api refresh_token" and opens(client, body["access_token"])
    assert claims_of(body["access_token"])["sub"] == user_id(house_on, who)
    assert client.refresh(body["refresh_token"]).status_code == 200
    refused(poll(client, codes), "invalid_grant")
    agreed = house_on.read(
        authorizations.find_live, house_on.org.id, user_id(house_on, who), app_id(house_on, client)
    )  # fmt: skip
    assert agreed.covers(("mcp_api", "refresh_token"), f"{house_on.issuer}/mcp/sobject-reads")
    assert house_on.read(stored) and codes["device_code"] not in str(house_on.read(stored))
    assert codes["user_code"] not in str(house_on.read(stored))


def stored():
    return (yield from many("SELECT * FROM device_codes LIMIT :limit", dict, limit=100))


@requirement("device:original")
def test_the_originals_clients_begin_and_poll_at_the_token_endpoint(
    shared_house: House, sam: Person, client: OAuthClient
):
    sent = {"response_type": "device_code", "client_id": client.client_id, "scope": "mcp_api refresh_token"}
    codes = post(client, sent).json()
    assert {"device_code", "user_code", "verification_uri", "interval"} <= set(codes)
    old = {"grant_type": "device", "client_id": client.client_id, "code": codes["device_code"]}
    refused(post(client, old), "authorization_pending")
    enter(sam, codes["user_code"], answer="allow")
    shared_house.later(6)
    assert opens(client, post(client, old).json()["access_token"])


@requirement("device:confirm")
def test_the_page_says_which_app_asks_for_what_from_where_and_when(
    shared_house: House, sam: Person, client: OAuthClient
):
    page = enter(sam, begun(client)["user_code"])
    text = html.unescape(page.text)
    for said in (
        "Living room",
        "robin@acme.example",
        "203.0.113.7",
        "UTC",
        "SObject Reads",
        "Stay connected",
        sam.username,
    ):
        assert said in text, said
    assert "script-src 'none'" in page.headers["content-security-policy"] and "<script" not in page.text
    assert "form-action 'self';" in page.headers["content-security-policy"]
    assert page.headers["cache-control"] == "no-store" and page.headers["x-frame-options"] == "DENY"


@requirement("device:typing")
@pytest.mark.parametrize("change", [str.lower, lambda c: c.replace("-", ""), lambda c: f" {c[:2]} {c[2:]} "])
def test_a_code_may_be_typed_in_small_letters_and_with_or_without_its_dash(shared_house, sam, client, change):
    assert "Living room" in enter(sam, change(begun(client)["user_code"])).text


@requirement("device:deny")
def test_a_user_who_denies_ends_it(shared_house: House, sam: Person, client: OAuthClient):
    codes = begun(client)
    assert "Nothing was allowed" in enter(sam, codes["user_code"], answer="deny").text
    refused(poll(client, codes), "access_denied")
    assert "No device is waiting" in enter(sam, codes["user_code"]).text


@requirement("device:slow-down")
def test_a_device_that_asks_too_often_must_wait_longer_each_time(shared_house: House, sam: Person, client: OAuthClient):
    codes = begun(client)
    assert codes["interval"] == 5
    refused(poll(client, codes), "authorization_pending")
    shared_house.later(4)
    assert "10 seconds" in refused(poll(client, codes), "slow_down")
    shared_house.later(9)
    assert "15 seconds" in refused(poll(client, codes), "slow_down")
    shared_house.later(15)
    refused(poll(client, codes), "authorization_pending")
    enter(sam, codes["user_code"], answer="allow")
    assert poll(client, codes).status_code == 200, "an answer that is there is not held back"


@requirement("device:expires")
def test_after_ten_minutes_neither_code_is_good(shared_house: House, sam: Person, client: OAuthClient):
    codes, allowed = begun(client), begun(client)
    enter(sam, allowed["user_code"], answer="allow")
    shared_house.later(601)
    for each in (codes, allowed):
        refused(poll(client, each), "expired_token")
    assert "No device is waiting" in enter(sam, codes["user_code"]).text


@requirement("device:bound")
def test_a_device_code_belongs_to_its_client_and_its_org(shared_house: House, sam: Person, client: OAuthClient):
    codes = begun(client)
    enter(sam, codes["user_code"], answer="allow")
    other = add_app(shared_house, device_flow=True, mcp_servers=("sobject-reads",))
    refused(poll(other, codes), "invalid_grant")
    org = shared_house.site.live.org_at("elsewhere") or add_org(shared_house, "elsewhere")
    refused(poll(add_app(shared_house, device_flow=True, org=org), codes), "invalid_grant")
    for wrong in ("x", codes["device_code"][:-1], codes["user_code"]):
        refused(poll(client, {"device_code": wrong}), "invalid_grant")
    refused(client.token(grant_type=GRANT), "invalid_request")
    assert poll(client, codes).status_code == 200


@requirement("device:once")
def test_sixteen_polls_at_once_begin_one_connection(house_on: House):
    client = add_app(house_on, device_flow=True)
    codes, who, found = begun(client), person(house_on, 1), []
    who.sign_in_to_setup()
    enter(who, codes["user_code"], answer="allow")
    threads = [threading.Thread(target=lambda: found.append(poll(client, codes).status_code)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [200] + [400] * 15


@requirement("device:one-answer")
def test_the_first_answer_counts(shared_house: House, sam: Person, client: OAuthClient):
    codes = begun(client)
    robin = person(shared_house)
    robin.sign_in_to_setup()
    ours, theirs = enter(sam, codes["user_code"]), enter(robin, codes["user_code"])
    sam.front.post(PAGE, data=form(ours, PAGE) | {"answer": "deny"})
    late = robin.front.post(PAGE, data=form(theirs, PAGE) | {"answer": "allow"})
    assert "No device is waiting" in late.text
    refused(poll(client, codes), "access_denied")


@requirement("device:csrf")
def test_no_other_site_and_no_link_can_answer(shared_house: House, sam: Person, client: OAuthClient):
    codes = begun(client)
    page = enter(sam, codes["user_code"])
    fields = form(page, PAGE) | {"answer": "allow"}
    assert sam.front.post(PAGE, data=fields | {"form_token": "x"}).status_code == 403
    assert sam.front.post(PAGE, data=fields, headers={"Origin": "https://evil.example"}).status_code == 403
    assert shared_house.client().post(PAGE, data=fields).status_code == 403
    robin = person(shared_house)
    robin.sign_in_to_setup()
    assert robin.front.post(PAGE, data=fields).status_code == 403
    assert sam.front.get(f"{PAGE}?user_code={codes['user_code']}&answer=allow").status_code == 200
    other = begun(client)
    page = sam.front.post(PAGE, data=fields | {"user_code": other["user_code"]})
    assert 'value="allow"' in page.text, "what was shown was another device's request"
    for each in (codes, other):
        refused(poll(client, each), "authorization_pending")
    assert enter(sam, codes["user_code"], answer="allow").status_code == 200


@requirement("device:guessing")
def test_guessing_is_stopped_after_ten_wrong_codes(tmp_path):
    with House(tmp_path / "data") as house:
        client = add_app(house, device_flow=True)
        codes, who = begun(client), person(house, 1)
        who.sign_in_to_setup()
        for n in range(10):
            assert enter(who, f"BCDF-GHJ{'BCDFGHJKLM'[n]}").status_code == 400
        stopped = enter(who, codes["user_code"])
        assert stopped.status_code == 429 and stopped.headers["retry-after"] == "600"
        assert "Too many wrong codes" in stopped.text
        house.later(601)
        assert enter(who, begun(client)["user_code"]).status_code == 200


@requirement("device:switch", "device:requests")
def test_the_flow_is_off_until_settings_turn_it_on_and_asks_what_others_ask(shared_house: House, client: OAuthClient):
    off = add_app(shared_house)
    assert "Enable Device Flow" in refused(begin(off), "unauthorized_client")
    refused(poll(off, {"device_code": "x"}), "unauthorized_client")
    refused(begin(client, scope="full"), "invalid_scope")
    refused(begin(client, resource="https://evil.example"), "invalid_target")
    refused(begin(client, client_id="nobody"), "invalid_client")
    refused(client.front.post(f"{client.issuer}{DEVICE}?client_id={client.client_id}"), "invalid_request")
    assert client.front.get(f"{client.issuer}{DEVICE}").status_code == 405


@requirement("device:requests")
def test_an_app_with_two_servers_says_which_one_it_means(fresh_house: House):
    second = add_server(fresh_house, "second")
    many_servers = add_app(fresh_house, device_flow=True)
    refused(begin(many_servers), "invalid_target")
    assert begin(many_servers, resource=second).status_code == 200


@requirement("device:client-authentication")
def test_an_app_that_needs_a_secret_needs_it_on_the_device_too(shared_house: House, sam: Person):
    client = add_app(
        shared_house, device_flow=True, mcp_servers=("sobject-reads",), require_secret_for_web_server_flow=True,
        public_keys=jwk_set(),
    )  # fmt: skip
    secret = give_secret(shared_house, client)
    refused(begin(client), "invalid_client")
    codes = begun(client, client_secret=secret)
    enter(sam, codes["user_code"], answer="allow")
    refused(poll(client, codes), "invalid_client")
    assert poll(client, codes, **asserted(assertion(shared_house, client))).status_code == 200


@requirement("device:policies")
def test_policies_bite_on_the_page_and_again_at_the_poll(shared_house: House, sam: Person, client: OAuthClient):
    codes = begun(client)
    noor = person(shared_house, 2)
    noor.sign_in_to_setup()
    page = enter(noor, codes["user_code"])
    assert page.status_code == 403 and "Your permissions don't include MCP servers" in html.unescape(page.text)
    change_app(shared_house, client, permitted_users="AdminApprovedPreAuthorized", permission_sets=("Administrator",))
    assert enter(sam, codes["user_code"]).status_code == 403
    change_app(shared_house, client, permission_sets=("Standard_User",), session_level="HIGH_ASSURANCE")
    stepped = enter(sam, codes["user_code"])
    assert stepped.status_code == 303 and "/login/factor?next=%2Fsetup%2Fconnect%2F" in stepped.headers["location"]
    strong = sign_in_strongly(shared_house, person(shared_house, 1))
    assert "connected" in enter(strong, codes["user_code"], answer="allow").text
    change_app(shared_house, client, trusted_ranges=("198.51.100.0/24",))
    refused(poll(client, codes), "invalid_grant")
    change_app(shared_house, client, trusted_ranges=())
    assert claims_of(poll(client, codes).json()["access_token"])["acr"] == "HIGH_ASSURANCE"


@requirement("device:ends")
def test_what_ended_before_the_poll_is_not_given(shared_house: House):
    client = add_app(shared_house, device_flow=True, mcp_servers=("sobject-reads",))
    who = add_user(shared_house, "Standard_User")
    who.sign_in_to_setup()
    connect(who, client)
    codes = begun(client)
    enter(who, codes["user_code"], answer="allow")
    agreed = shared_house.read(
        authorizations.find_live, shared_house.org.id, user_id(shared_house, who), app_id(shared_house, client)
    )
    shared_house.write(authorizations.end, shared_house.org.id, agreed.id, shared_house.site.clock.now())
    refused(poll(client, codes), "invalid_grant")
    second, third = begun(client), begun(client)
    enter(who, second["user_code"], answer="allow")
    set_active(shared_house, who, is_active=False)
    refused(poll(client, second), "invalid_grant")
    change_app(shared_house, client, is_enabled=False)
    robin = person(shared_house)
    robin.sign_in_to_setup()
    assert "disabled or changed" in enter(robin, third["user_code"]).text
    refused(poll(client, third), "invalid_client")


@requirement("device:codes")
def test_a_user_code_has_thirty_four_bits_and_no_letter_that_could_be_another():
    codes = {device_codes.user_code(n.to_bytes(16, "big")) for n in range(1000)}
    assert len(codes) == 1000 and not set("".join(codes)) & set("AEIOUY0123456789")
    assert len(device_codes.LETTERS) ** device_codes.LENGTH > 2**34
    assert all(device_codes.typed(code) == code for code in codes)
    for wrong in ("", "BCDF-GHJ", "BCDF-GHJKL", "AAAA-AAAA", "BCDF-GHJ\x00", "\uff22" * 8, "x" * 9999):
        assert device_codes.typed(wrong) == ""
