"""The way back to the client: what the browser is told, so that it lets the answer through and nothing else."""

from urllib.parse import parse_qsl, urlsplit

import httpx2
import pytest

from tests.house import House
from tests.oauth.scenes import CUSTOM, HTTPS, LOOPBACK, add_app, add_org, add_user, person
from tests.people import returned
from tests.requirements import requirement


def form_actions(page: httpx2.Response) -> list[str]:
    directives = [each.strip().split(" ") for each in page.headers["content-security-policy"].split(";")]
    (sources,) = [sources for name, *sources in directives if name == "form-action"]
    return sources


@requirement("flow:csp")
@pytest.mark.parametrize(
    ("callback", "asked", "source"),
    [
        (HTTPS, HTTPS, "https://client.example"),
        ("https://client.example:8443/cb?x=1", "https://client.example:8443/cb?x=1", "https://client.example:8443"),
        ("https://client.example?x=/y", "https://client.example?x=/y", "https://client.example"),
        ("https://[2001:db8::1]:8443/cb", "https://[2001:db8::1]:8443/cb", "https:"),
        (LOOPBACK, LOOPBACK, "http://localhost:8080"),
        (LOOPBACK, "http://localhost:51234/callback", "http://localhost:51234"),
        ("http://127.0.0.1:7/cb", "http://127.0.0.1:33418/cb", "http://127.0.0.1:33418"),
        ("http://[::1]:7/cb", "http://[::1]:9/cb", "http:"),
        (CUSTOM, CUSTOM, "cursor:"),
        ("com.example.app:/cb", "com.example.app:/cb", "com.example.app:"),
    ],
)
def test_every_page_of_the_flow_lets_its_form_lead_to_this_requests_way_back_only(
    house: House, callback: str, asked: str, source: str
):
    client, who = add_app(house, callback), person(house)
    url = client.authorize_url(redirect_uri=asked)
    sign_in = who.go(url)
    wrong = who.answer(sign_in, username=who.username, password="wrong")
    consent = who.answer(sign_in, username=who.username, password=who.password)
    for page in (sign_in, wrong, consent):
        assert form_actions(page) == ["'self'", source]
    denied = person(house, 2)
    refused = denied.answer(denied.go(url), username=denied.username, password=denied.password)
    assert refused.status_code == 403 and form_actions(refused) == ["'self'", source]


@requirement("flow:csp")
def test_a_refusal_page_lets_no_form_lead_anywhere_else(house: House):
    client = add_app(house)
    page = client.front.get(client.authorize_url(redirect_uri="https://evil.example;form-action *"))
    assert form_actions(page) == ["'self'"]


@requirement("flow:page-headers")
def test_pages_of_the_flow_cannot_be_framed_cached_sniffed_or_scripted(house: House):
    client, who = add_app(house, CUSTOM), person(house)
    pages = [client.front.get(client.authorize_url(client_id="nobody")), who.go(client.authorize_url())]
    pages.append(who.answer(pages[1], username=who.username, password=who.password))
    pages.append(who.answer(pages[2], answer="allow"))
    for page in pages:
        policy = page.headers["content-security-policy"]
        # The sign-in page may load the one script of passkeys, named by its whole URL (decision 0030).
        script = f"{house.issuer}/static/passkeys.js" if page is pages[1] else "'none'"
        assert "default-src 'none'; " in policy and f"script-src {script};" in policy
        assert "frame-ancestors 'none'" in policy
        assert "base-uri 'none'" in policy and "unsafe" not in policy
        assert page.headers["x-frame-options"] == "DENY"
        assert page.headers["x-content-type-options"] == "nosniff"
        assert page.headers["cache-control"] == "no-store"
        assert page.headers["referrer-policy"] == "same-origin"
        assert page.headers["content-type"] == "text/html; charset=utf-8"


@requirement("flow:way-back", "authorize:response-iss")
@pytest.mark.parametrize(
    "callback", [HTTPS, LOOPBACK, "http://[::1]:9/cb", HTTPS + "?a=b%20c&d", "https://client.example"]
)
def test_the_answer_is_a_303_with_code_state_and_iss_once_each_and_no_referrer(house: House, callback: str):
    client, who = add_app(house, callback), person(house)
    page = who.answer(who.go(client.authorize_url()), username=who.username, password=who.password)
    answer = who.answer(page, answer="allow")
    assert answer.status_code == 303
    target = answer.headers["location"]
    assert target.startswith(callback + ("&" if "?" in callback else "?"))
    added = parse_qsl(target[len(callback) + 1 :], strict_parsing=True)
    assert [name for name, _ in added] == ["code", "state", "iss"]
    assert dict(added)["iss"] == house.issuer and len(dict(added)["code"]) == 43
    assert answer.headers["referrer-policy"] == "no-referrer" and answer.headers["cache-control"] == "no-store"
    assert not urlsplit(target).fragment


@requirement("flow:way-back")
@pytest.mark.parametrize("callback", [CUSTOM, "vscode://vscode.dev/redirect?x=1", "com.example.app:/cb"])
def test_a_custom_scheme_gets_a_page_with_a_link_that_carries_the_answer(house: House, callback: str):
    client, who = add_app(house, callback), person(house)
    page = who.answer(who.go(client.authorize_url()), username=who.username, password=who.password)
    answer = who.answer(page, answer="allow")
    assert answer.status_code == 200 and "location" not in answer.headers and "refresh" not in answer.headers
    link = answer.text.split('id="return" href="', 1)[1].split('"', 1)[0]
    assert link.startswith(callback + ("&amp;" if "?" in callback else "?"))
    back = returned(answer)
    assert back["state"] == "the-state" and back["iss"] == house.issuer
    assert client.redeem(back["code"]).status_code == 200


@requirement("authorize:response-iss", "authorize:orgs-apart")
def test_iss_is_the_issuer_of_the_org_that_answered(house: House):
    org = add_org(house, "acme")
    client, who = add_app(house, org=org), add_user(house, org=org)
    assert returned(client.front.get(client.authorize_url(scope="x")))["iss"] == f"{house.issuer}/o/acme"
    assert who.allow(client.authorize_url())["iss"] == f"{house.issuer}/o/acme"
