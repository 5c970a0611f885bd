"""What the client is told through its registered way back, each check and the order of all of them."""

from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx2
import pytest

from tests.house import House
from tests.oauth.scenes import (
    CUSTOM,
    HTTPS,
    LOOPBACK,
    add_app,
    add_server,
    connect,
    is_description,
    person,
    signed_in,
)
from tests.people import OAuthClient, form, returned
from tests.requirements import requirement


def told(client: OAuthClient, answer: httpx2.Response, error: str, state: str | None = "the-state") -> str:
    """The description of a refusal that went back to the client with this code, our iss and its state, each once."""
    assert answer.status_code == 303, (answer.status_code, answer.text)
    target = answer.headers["location"]
    assert target.startswith(client.redirect_uri + "?"), target
    pairs = parse_qsl(urlsplit(target).query, keep_blank_values=True, strict_parsing=True)
    found = dict(pairs)
    assert len(found) == len(pairs)
    assert found["error"] == error, found
    assert found["iss"] == client.issuer and found.get("state") == state
    assert set(found) == {"error", "error_description", "iss"} | ({"state"} if state is not None else set())
    assert is_description(found["error_description"]), found
    return found["error_description"]


def ask(client: OAuthClient, **changes: str | None) -> httpx2.Response:
    return client.front.get(client.authorize_url(**changes))


@requirement("authorize:disabled-app", "authorize:response-iss")
def test_the_client_of_a_disabled_app_is_told_that_an_administrator_did_it(house: House):
    client = add_app(house, is_enabled=False)
    assert "disabled" in told(client, ask(client), "unauthorized_client")
    off = add_app(house, oauth_enabled=False)
    told(off, ask(off), "unauthorized_client")


@requirement("authorize:response-type")
@pytest.mark.parametrize(
    ("response_type", "error"),
    [
        (None, "invalid_request"),
        ("", "invalid_request"),
        ("token", "unsupported_response_type"),
        ("id_token", "unsupported_response_type"),
        ("code token", "unsupported_response_type"),
        ("code id_token", "unsupported_response_type"),
        ("code code", "unsupported_response_type"),
        (" code", "unsupported_response_type"),
        ("CODE", "unsupported_response_type"),
        ("none", "unsupported_response_type"),
    ],
)
def test_only_the_code_response_type_is_answered(house: House, response_type: str | None, error: str):
    client = add_app(house)
    assert "code" in told(client, ask(client, response_type=response_type), error)


@requirement("authorize:response-type")
@pytest.mark.parametrize("mode", ["fragment", "form_post", "query.jwt", "web_message", "QUERY"])
def test_only_the_query_response_mode_is_answered(house: House, mode: str):
    client = add_app(house)
    assert "query" in told(client, ask(client, response_mode=mode), "invalid_request")


@requirement("authorize:response-type")
def test_the_query_response_mode_may_be_named(house: House):
    assert person(house).allow(add_app(house).authorize_url(response_mode="query"))["code"]


@requirement("authorize:no-request-objects")
@pytest.mark.parametrize("name", ["request", "request_uri"])
def test_a_request_object_is_refused(house: House, name: str):
    client = add_app(house)
    told(client, ask(client, **{name: "https://client.example/request.jwt"}), "request_not_supported")


@requirement("authorize:pkce")
@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"code_challenge": None, "code_challenge_method": None}, "requires PKCE"),
        ({"code_challenge": "", "code_challenge_method": ""}, "requires PKCE"),
        ({"code_challenge": None}, "43"),
        ({"code_challenge_method": None}, "plain"),
        ({"code_challenge_method": "plain"}, "S256"),
        ({"code_challenge_method": "s256"}, "S256"),
        ({"code_challenge_method": "S512"}, "S256"),
        ({"code_challenge": "x" * 42}, "43"),
        ({"code_challenge": "x" * 44}, "43"),
        ({"code_challenge": "x" * 42 + "="}, "43"),
        ({"code_challenge": "x" * 42 + "+"}, "43"),
        ({"code_challenge": "x" * 42 + "é"}, "43"),
        ({"code_challenge": "x" * 43 + "\n"}, "43"),
    ],
)
def test_pkce_is_required_with_s256_and_a_whole_challenge(house: House, changes: dict[str, str | None], word: str):
    client = add_app(house)
    for front in (client.front, signed_in(person(house), client).front):
        assert word in told(client, front.get(client.authorize_url(**changes)), "invalid_request")


@requirement("authorize:parameters-once")
@pytest.mark.parametrize(
    "name",
    ["response_type", "scope", "state", "code_challenge", "code_challenge_method", "prompt", "max_age", "nonce", "x"],
)
def test_any_other_parameter_that_comes_twice_is_told_to_the_client_by_name(house: House, name: str):
    client = add_app(house)
    first = {"prompt": "consent", "max_age": "1", "nonce": "n", "x": "y"}
    url = client.authorize_url(**{name: first[name]} if name in first else {})
    description = told(client, client.front.get(f"{url}&{urlencode({name: 'other'})}"), "invalid_request")
    assert name in description


@requirement("authorize:parameters-once", "authorize:audience")
def test_two_resources_are_refused_since_a_token_has_one_audience(house: House):
    client, uri = add_app(house), f"{house.issuer}/mcp/sobject-reads"
    url = client.authorize_url(resource=uri)
    for second in (uri, "https://other.example/mcp"):
        told(client, client.front.get(f"{url}&{urlencode({'resource': second})}"), "invalid_target")


@requirement("authorize:parameters-once")
def test_an_empty_parameter_counts_as_absent_and_an_unknown_one_is_ignored(house: House):
    client = add_app(house)
    url = client.authorize_url(nonce="n", display="page", ui_locales="de", acr_values="x", claims="{}", foo="bar")
    assert person(house).allow(url + "&state=&client_id=&scope=")["code"]


@requirement("authorize:state", "authorize:response-iss")
@pytest.mark.parametrize("state", ["a b+c", "é✓", "&error=x#y", "%41%00", "'\"<>\\", "x" * 2048, "\r\nSet-Cookie: a=b"])
def test_state_comes_back_exactly_on_refusal_and_on_success(house: House, state: str):
    client = add_app(house)
    told(client, ask(client, state=state, response_type="token"), "unsupported_response_type", state)
    back = person(house).allow(client.authorize_url(state=state))
    assert back["state"] == state and back["iss"] == house.issuer and set(back) == {"code", "state", "iss"}


@requirement("authorize:state")
def test_no_state_comes_back_when_none_was_sent_and_too_long_a_one_is_refused_without_it(house: House):
    client = add_app(house)
    told(client, ask(client, state=None, response_type="token"), "unsupported_response_type", None)
    assert "2048" in told(client, ask(client, state="x" * 2049), "invalid_request", None)


@requirement("authorize:prompt")
def test_prompt_none_never_shows_a_page(house: House):
    client = add_app(house)
    told(client, ask(client, prompt="none"), "login_required")
    who = signed_in(person(house), client)
    told(client, who.front.get(client.authorize_url(prompt="none")), "consent_required")
    who.allow(client.authorize_url())
    silent = returned(who.front.get(client.authorize_url(prompt="none")))
    assert client.redeem(silent["code"]).status_code == 200
    for other in ("login", "consent", "select_account", "nonsense"):
        told(client, who.front.get(client.authorize_url(prompt=f"none {other}")), "invalid_request")


@requirement("authorize:prompt", "flow:continue")
def test_prompt_none_cannot_let_a_client_on_this_computer_in(house: House):
    client = add_app(house, LOOPBACK)
    who = person(house)
    who.allow(client.authorize_url())
    told(client, who.front.get(client.authorize_url(prompt="none")), "interaction_required")


@requirement("authorize:prompt", "flow:not-permitted")
def test_prompt_none_tells_of_a_user_who_may_not(house: House):
    client = add_app(house)
    who = signed_in(person(house, 2), client)
    assert "permission set" in told(client, who.front.get(client.authorize_url(prompt="none")), "access_denied")


@requirement("authorize:prompt")
@pytest.mark.parametrize("wanted", [{"prompt": "login"}, {"max_age": "0"}, {"prompt": "login consent"}])
def test_prompt_login_and_max_age_zero_ask_once_for_the_password_and_not_again(house: House, wanted: dict[str, str]):
    client, who = add_app(house), person(house)
    who.allow(client.authorize_url())
    page = who.go(client.authorize_url(**wanted))  # in the same second as the sign-in before it
    assert 'name="password"' in page.text
    assert who.go(str(page.url)).text.count('name="password"') == 1
    house.later(40)
    page = who.answer(page, username=who.username, password=who.password)
    if 'value="allow"' in page.text:
        house.later(300)  # however long the page is read
        page = who.answer(page, answer="allow")
    assert client.redeem(returned(page)["code"]).status_code == 200
    told(client, who.front.get(client.authorize_url(prompt="none", max_age="0")), "login_required")


@requirement("authorize:prompt")
def test_a_wrong_password_does_not_stand_for_the_login_that_prompt_asks_for(house: House):
    client, who = add_app(house), person(house)
    who.allow(client.authorize_url())
    house.later(5)
    page = who.answer(who.go(client.authorize_url(prompt="login")), username=who.username, password="wrong")
    assert page.status_code == 400
    again = who.go(f"{house.issuer}/flow?request={form(page, '/flow')['request_id']}")
    assert 'name="password"' in again.text


@requirement("authorize:prompt")
def test_max_age_is_measured_when_the_request_comes(house: House):
    client, who = add_app(house), person(house)
    who.allow(client.authorize_url())
    house.later(100)
    assert returned(who.go(client.authorize_url(max_age="100")))["code"]
    page = who.go(client.authorize_url(max_age="99"))
    assert 'name="password"' in page.text
    told(client, who.front.get(client.authorize_url(max_age="99", prompt="none")), "login_required")
    with_consent = who.go(client.authorize_url(max_age="100", prompt="consent"))
    house.later(300)  # the sign-in was young enough when the request came
    assert returned(who.answer(with_consent, answer="allow"))["code"]


@requirement("authorize:prompt")
@pytest.mark.parametrize("max_age", ["-1", "1.5", "ten", "٣", "1" * 10, " 5", "0x10"])
def test_a_max_age_that_is_no_number_of_seconds_is_refused(house: House, max_age: str):
    client = add_app(house)
    told(client, ask(client, max_age=max_age), "invalid_request")


@requirement("authorize:prompt")
@pytest.mark.parametrize("prompt", ["consent", "select_account"])
def test_prompt_consent_and_select_account_show_their_page_again_and_again(house: House, prompt: str):
    client, who = add_app(house), person(house)
    who.allow(client.authorize_url())
    for _ in range(2):
        page = who.go(client.authorize_url(prompt=prompt))
        assert 'value="allow"' in page.text and 'value="switch"' in page.text
        assert returned(who.answer(page, answer="allow"))["code"]


@requirement("authorize:prompt")
def test_a_prompt_that_nobody_knows_is_ignored(house: House):
    assert person(house).allow(add_app(house).authorize_url(prompt="create"))["code"]


@requirement("authorize:prompt")
def test_login_hint_fills_in_the_name_and_decides_nothing(house: House):
    client, who = add_app(house), person(house)
    page = who.go(client.authorize_url(login_hint="sam@acme.example"))
    assert 'value="sam@acme.example"' in page.text
    assert returned(who.answer(who.answer(page, username=who.username, password=who.password), answer="allow"))["code"]


@requirement("authorize:order")
def test_of_several_faults_the_first_of_the_list_is_told(fresh_house: House):
    for name in ("second", "third"):
        add_server(fresh_house, name)
    client = add_app(fresh_house)
    faults: list[tuple[dict[str, str | None], str]] = [
        ({"resource": "https://other.example/mcp"}, "invalid_target"),
        ({"scope": "nothing"}, "invalid_scope"),
        ({"max_age": "x"}, "invalid_request"),
        ({"code_challenge": None}, "invalid_request"),
        ({"request": "x"}, "request_not_supported"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
    ]
    wrong: dict[str, str | None] = {}
    words = ["other.example", "nothing", "max_age", "S256|43", "request objects", "response_mode", "response type"]
    for (change, error), word in zip(faults, words, strict=True):
        wrong |= change
        description = told(client, ask(client, **wrong), error)
        assert any(each in description for each in word.split("|")), description


@requirement("authorize:error-text")
@pytest.mark.parametrize("value", ['"quoted"', "back\\slash", "line\nbreak", "é€🙂", "\x7f\x1b[31m", "'; --", "<b>"])
def test_the_description_stays_within_ascii_whatever_was_sent(house: House, value: str):
    client = add_app(house)
    told(client, ask(client, scope=value), "invalid_scope")
    told(client, ask(client, resource=f"https://x.example/{value}"), "invalid_target")
    told(
        client,
        client.front.get(f"{client.authorize_url()}&{urlencode([(value, '1'), (value, '2')])}"),
        "invalid_request",
    )


@requirement("authorize:error-text", "authorize:audience")
def test_a_refusal_fits_into_a_header_however_much_was_sent_or_is_allowed(fresh_house: House):
    for n in range(60):
        add_server(fresh_house, f"a-server-with-a-rather-long-name-{n}")
    client = add_app(fresh_house)
    for changes in ({"scope": "x" * 8000}, {"resource": "https://x.example/" + "y" * 8000}, {}):
        answer = ask(client, **changes)
        assert len(answer.headers["location"]) < 4096
    assert "and 41 more" in told(client, ask(client), "invalid_target")


@requirement("flow:way-back", "authorize:response-iss")
def test_a_registered_query_is_kept_and_added_to(house: House):
    client = add_app(house, HTTPS + "?app=one&empty=")
    target = ask(client, response_type="token").headers["location"]
    pairs = parse_qsl(urlsplit(target).query, keep_blank_values=True)
    assert pairs[:2] == [("app", "one"), ("empty", "")]
    assert dict(pairs)["error"] == "unsupported_response_type"
    assert connect(person(house), client)["access_token"]


@requirement("flow:way-back")
def test_a_refusal_for_a_custom_scheme_is_a_page_with_a_link(house: House):
    client = add_app(house, CUSTOM)
    answer = ask(client, response_type="token")
    assert answer.status_code == 200 and "location" not in answer.headers
    back = returned(answer)
    assert back["error"] == "unsupported_response_type" and back["state"] == "the-state" and back["iss"] == house.issuer
