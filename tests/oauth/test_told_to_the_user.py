"""What only the person in front of the browser is told: until the client and its way back are proven, nothing is sent
anywhere (RFC 6749 §4.1.2.1).
"""

import html
import re
from urllib.parse import quote, urlencode

import httpx2
import pytest

from tests.house import House
from tests.oauth.scenes import CUSTOM, HTTPS, LOOPBACK, add_app, add_org, change_app, person, signed_in
from tests.people import OAuthClient, returned
from tests.requirements import requirement


def told(answer: httpx2.Response, code: str) -> str:
    """The text of our own page with this code; it leads nowhere."""
    assert answer.status_code == 400, (answer.status_code, answer.headers.get("location"))
    assert "location" not in answer.headers and "refresh" not in answer.headers
    assert f"<code>{code}</code>" in answer.text, answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert "http-equiv" not in answer.text and "<script" not in answer.text and "<form" not in answer.text
    return html.unescape(answer.text.replace("<mark>", "").replace("</mark>", ""))


def ask(client: OAuthClient, **changes: str | None) -> httpx2.Response:
    return client.front.get(client.authorize_url(**changes))


@requirement("authorize:unknown-client")
@pytest.mark.parametrize("client_id", ["nobody", "3MVG9" + "x" * 80, "3MVG9" + "x" * 81, "'; DROP TABLE apps; --", "é"])
def test_a_client_id_that_no_app_has_is_told_with_the_value_that_came(house: House, client_id: str):
    client = add_app(house)
    page = told(ask(client, client_id=client_id), "invalid_client_id")
    assert client_id in page and "Consumer Key" in page


@requirement("authorize:unknown-client")
def test_a_request_without_a_client_id_says_what_to_paste_where(house: House):
    assert "client_id" in told(ask(add_app(house), client_id=None), "invalid_client_id")
    assert "client_id" in told(ask(add_app(house), client_id=""), "invalid_client_id")


@requirement("authorize:unknown-client", "authorize:orgs-apart")
def test_an_app_of_another_org_is_unknown(house: House):
    ours, theirs = add_app(house), add_app(house, org=add_org(house, "acme"))
    for client_id, path in ((theirs.client_id, ""), (ours.client_id, "/o/acme")):
        url = ours.authorize_url(client_id=client_id).replace(house.issuer, house.issuer + path)
        told(house.client().get(url), "invalid_client_id")


@requirement("authorize:user-before-client")
def test_the_client_is_named_before_its_way_back_and_both_before_anything_a_client_is_told(house: House):
    client = add_app(house)
    everything_wrong = {"response_type": "token", "scope": "nothing", "code_challenge": None, "prompt": "none login"}
    told(ask(client, client_id="nobody", redirect_uri="https://evil.example/", **everything_wrong), "invalid_client_id")
    told(ask(client, redirect_uri="https://evil.example/", **everything_wrong), "redirect_uri_mismatch")
    assert returned(ask(client, **everything_wrong))["error"] == "unsupported_response_type"


@requirement("authorize:user-before-client")
@pytest.mark.parametrize("prompt", ["none", "login", "consent"])
def test_no_prompt_sends_anybody_to_a_url_that_is_not_registered(house: House, prompt: str):
    client = add_app(house)
    told(ask(client, redirect_uri="https://evil.example/", prompt=prompt), "redirect_uri_mismatch")
    told(ask(client, client_id="nobody", prompt=prompt), "invalid_client_id")


@requirement("authorize:user-before-client", "authorize:disabled-app")
def test_a_disabled_app_is_no_way_to_a_url_that_is_not_registered(house: House):
    client = add_app(house, is_enabled=False)
    told(ask(client, redirect_uri="https://evil.example/"), "redirect_uri_mismatch")
    assert returned(ask(client))["error"] == "unauthorized_client"


@requirement("authorize:user-before-client", "authorize:exact-redirect")
@pytest.mark.parametrize(
    "url",
    ["javascript:alert(document.cookie)", "data:text/html,hello", "http://evil.example/", "https://evil.example/*"],
)
def test_an_app_whose_oauth_is_off_may_hold_any_text_as_its_url_and_nobody_is_sent_there(house: House, url: str):
    client = add_app(house, url, oauth_enabled=False)
    for changes in ({}, {"redirect_uri": None}):
        page = told(ask(client, **changes), "redirect_uri_mismatch")
        assert f'href="{url}' not in page


@requirement("authorize:parameters-once")
@pytest.mark.parametrize("name", ["client_id", "redirect_uri"])
@pytest.mark.parametrize("first", [True, False])
def test_two_values_of_client_id_or_redirect_uri_are_told_to_the_user_alone(house: House, name: str, first: bool):
    client = add_app(house)
    other = urlencode({name: "https://evil.example/"})
    path, _, query = client.authorize_url().partition("?")
    page = told(client.front.get(f"{path}?{other}&{query}" if first else f"{path}?{query}&{other}"), "invalid_request")
    assert name in page
    same = urlencode({name: getattr(client, name)})
    told(client.front.get(f"{path}?{query}&{same}"), "invalid_request")


@requirement("authorize:redirect-left-out")
def test_redirect_uri_may_be_left_out_only_when_there_is_one_to_choose(house: House):
    one, two = add_app(house), add_app(house, HTTPS, LOOPBACK)
    assert person(house).allow(one.authorize_url(redirect_uri=None))["code"]
    page = told(ask(two, redirect_uri=None), "redirect_uri_missing")
    assert HTTPS in page and LOOPBACK in page


@requirement("authorize:redirect-left-out")
def test_an_app_without_any_callback_url_gets_nobody_anywhere(house: House):
    client = add_app(house, oauth_enabled=False)
    change_app(house, client, callback_urls=())
    told(ask(client, redirect_uri=None), "redirect_uri_missing")
    told(ask(client), "redirect_uri_mismatch")


def variants_of_https() -> list[str]:
    host, path = "client.example", "/callback"
    return [
        f"http://{host}{path}", f"HTTPS://{host}{path}", f"https://{host.upper()}{path}", f"https://{host}:443{path}",
        f"https://{host}:8443{path}", f"https://{host}{path}/", f"https://{host}{path}//", f"https://{host}/{path}",
        f"https://{host}{path}?", f"https://{host}{path}?x=1", f"https://{host}{path}#", f"https://{host}{path}#x",
        f"https://{host}{path}%00", f"https://{host}{path}%20", f"https://{host}{path} ", f" https://{host}{path}",
        f"https://{host}{path}\n", f"https://{host}{path}\t", f"https://{host}\t{path}", f"ht\ntps://{host}{path}",
        f"https://{host}{path}.", f"https://{host}.{path}", f"https://{host}.evil.example{path}",
        f"https://evil.example/{host}{path}", f"https://evil.example?{host}{path}", f"https://evil.example#{host}{path}",
        f"https://{host}@evil.example{path}", f"https://user@{host}{path}", f"https://user:pw@{host}{path}",
        f"https://{host}:@evil.example{path}", f"https://{host}%40evil.example{path}", f"https://evil.example\\@{host}{path}",
        f"https://evil.example%5c@{host}{path}", f"https:\\\\{host}{path}", f"https:/{host}{path}", f"https:{host}{path}",
        f"//{host}{path}", f"{path}", f"{host}{path}", f"https://{host}", f"https://{host}/", f"https://sub.{host}{path}",
        f"https://{host}/x/..{path}", f"https://{host}/x/%2e%2e{path}", f"https://{host}/..;{path}", f"https://{host}/.{path}",
        f"https://{host}{path}/../evil", f"https://{host}{path}%2f..%2fevil", f"https://{host}{path};x", f"https://{host}%2F{path}",
        f"https://{host}{path.upper()}", f"https://{host}/call%62ack", f"https://{host}{path[:-1]}", f"https://{host}{path}k",
        f"https://clientxexample{path}", f"https://client\u3002example{path}", f"https://cl\u0131ent.example{path}",
        f"https://client.example\uff0eevil.example{path}", f"https://{host}{path}\u200b", f"https://{host}{path}\ufeff",
        f"https://{host}{path}\u202e", f"https://xn--client-9za.example{path}", f"https://{host}{path},https://evil.example",
        f"https://{host}{path} https://evil.example", f"https://{host}{path}|", f"https://*.example{path}",
        f"https://{host}/*", f"javascript://{host}{path}%0aalert(1)", f"javascript:alert(1)//https://{host}{path}",
        f"data:text/html,https://{host}{path}", f"vbscript:{host}{path}", f"blob:https://{host}{path}", f"file://{host}{path}",
        f"about:blank#https://{host}{path}", f"intent://{host}{path}#Intent;scheme=https;end", f"view-source:https://{host}{path}",
        "urn:ietf:wg:oauth:2.0:oob", "null", "None", "*", ".", "%",
    ]  # fmt: skip


def variants_of_loopback() -> list[str]:
    return [
        "http://127.0.0.1:8080/callback", "http://[::1]:8080/callback", "https://localhost:8080/callback",
        "http://localhost:8080/callback/", "http://localhost:8080/callback?x=1", "http://localhost:8080/callback#x",
        "http://localhost:8080/CALLBACK", "http://LOCALHOST:8080/callback", "HTTP://localhost:8080/callback",
        "http://localhost.:8080/callback", "http://localhost.evil.example:8080/callback", "http://evil.localhost:8080/callback",
        "http://localhost:8080@evil.example/callback", "http://user@localhost:8080/callback", "http://localhost:/callback",
        "http://localhost:0/callback", "http://localhost:65536/callback", "http://localhost:99999/callback",
        "http://localhost:-1/callback", "http://localhost:80 80/callback", "http://localhost:8080:8080/callback",
        "http://localhost:0x50/callback", "http://localhost:\uff18\uff10\uff18\uff10/callback", "http://localhost:8080", "http://localhost:8080/",
        "http://localhost:8080/callback/..", "http://localhost:8080/x/../callback", "http://localhost:8080/%63allback",
        "http://localhost:8080//callback", "http://localhost:8080\\@evil.example/callback", "http://0.0.0.0:8080/callback",
        "http://127.1:8080/callback", "http://2130706433:8080/callback", "http://0x7f.1:8080/callback",
        "http://[::ffff:127.0.0.1]:8080/callback", "http://[0:0:0:0:0:0:0:1]:8080/callback", "http://localhost%00:8080/callback",
    ]  # fmt: skip


@requirement("authorize:exact-redirect")
@pytest.mark.parametrize("registered", [HTTPS, LOOPBACK])
def test_no_variant_of_a_registered_url_gets_anything_before_or_after_sign_in(house: House, registered: str):
    variants = variants_of_https() if registered == HTTPS else variants_of_loopback()
    client = add_app(house, registered)
    who = signed_in(person(house), client)
    who.allow(client.authorize_url())
    for front in (house.client(), who.front):
        for variant in variants:
            assert variant != registered
            answer = front.get(client.authorize_url(redirect_uri=variant))
            page = told(answer, "redirect_uri_mismatch")
            assert registered in page, variant
            assert f'href="{variant}' not in page


@requirement("authorize:exact-redirect")
def test_bytes_that_are_no_text_are_refused_and_lead_nowhere(house: House):
    client = add_app(house)
    for mangled in ("%00", "%ff", "%c0%ae", "%ed%a0%80", "x" * 9000):
        url = client.authorize_url().replace(quote("/callback", safe=""), f"%2Fcallback{mangled}")
        assert mangled in url
        answer = client.front.get(url)
        assert answer.status_code == 400 and "location" not in answer.headers


@requirement("authorize:loopback-port")
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
@pytest.mark.parametrize("port", ["", ":1", ":80", ":8081", ":65535"])
def test_a_loopback_url_matches_on_any_port_of_its_own_host(house: House, host: str, port: str):
    client = add_app(house, f"http://{host}:8080/callback")
    asked = f"http://{host}{port}/callback"
    answer = ask(client, redirect_uri=asked, prompt="none")
    assert answer.status_code == 303 and answer.headers["location"].startswith(asked + "?error=login_required")


@requirement("authorize:loopback-port")
def test_the_port_of_an_https_url_is_part_of_it(house: House):
    client = add_app(house, "https://client.example:8443/callback")
    told(ask(client, redirect_uri="https://client.example:8444/callback"), "redirect_uri_mismatch")
    told(ask(client, redirect_uri=HTTPS), "redirect_uri_mismatch")


@requirement("authorize:near-miss")
@pytest.mark.parametrize(
    ("registered", "asked", "difference"),
    [
        (HTTPS, HTTPS + "/", "a slash at the end"),
        (HTTPS, "http://client.example/callback", "the scheme"),
        (HTTPS, "https://client.example:8443/callback", "the port"),
        (HTTPS, "https://client.example/Callback", "upper and lower case"),
        (HTTPS, "https://client.example/oauth/callback", "the path"),
        (HTTPS, "https://other.example/callback", "the host"),
        (HTTPS, HTTPS + "?env=dev", "the query"),
        (LOOPBACK, "http://127.0.0.1:8080/callback", "the name of the loopback host"),
        (LOOPBACK, "http://127.0.0.1:9999/callback", "the name of the loopback host"),
        (LOOPBACK, "http://localhost:9999/callback/", "a slash at the end"),
        (LOOPBACK, "http://localhost:9999/oauth/callback", "the path"),
        (LOOPBACK, "http://localhost:99999/callback", "the port"),
        (LOOPBACK, "https://localhost:8080/callback", "the scheme"),
    ],
)
def test_a_refused_callback_names_both_urls_and_what_differs(
    house: House, registered: str, asked: str, difference: str
):
    page = told(ask(add_app(house, registered), redirect_uri=asked), "redirect_uri_mismatch")
    assert asked in page and registered in page
    assert f"<strong>{difference}" in page


@requirement("authorize:near-miss")
def test_the_nearest_of_several_urls_is_named_first_and_a_stranger_is_told_no_difference(house: House):
    client = add_app(house, CUSTOM, LOOPBACK, HTTPS)
    page = told(ask(client, redirect_uri=HTTPS + "/"), "redirect_uri_mismatch")
    allowed = page[page.index("<ul") :]
    assert allowed.index(HTTPS) < allowed.index(LOOPBACK)
    far = told(ask(client, redirect_uri="https://evil.example/a/b?c"), "redirect_uri_mismatch")
    assert "Differs in" not in far


@requirement("authorize:near-miss")
def test_who_may_edit_the_app_gets_a_link_to_it_and_nobody_else_does(house: House):
    client = add_app(house)
    admin, standard = (signed_in(person(house, n), client) for n in (0, 1))
    wrong = client.authorize_url(redirect_uri=HTTPS + "/")
    assert "/setup/apps/0xI" in told(admin.front.get(wrong), "redirect_uri_mismatch")
    for front in (standard.front, house.client()):
        assert "/setup/apps/" not in told(front.get(wrong), "redirect_uri_mismatch")


@requirement("authorize:escaped")
def test_hostile_values_are_shown_as_text(house: House):
    hostile = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>"
    client = add_app(house, label=hostile)
    pages = [
        ask(client, redirect_uri=hostile),
        ask(client, client_id=hostile),
        ask(client, redirect_uri=f"https://client.example/{hostile}"),
        person(house).go(client.authorize_url(login_hint=hostile, state=hostile)),
        signed_in(person(house), client).go(client.authorize_url(scope="mcp_api")),
    ]
    for page in pages:
        # The sign-in page has one script, for passkeys, and its policy names that file.
        ours = re.sub(r'<script type="module" src="/static/passkeys\.js\?v=\w+"></script>', "", page.text)
        assert "<script" not in ours and "<img" not in ours
        assert "&lt;script&gt;" in ours
        scripts = "'none'" if ours == page.text else f"{house.issuer}/static/passkeys.js"
        assert f"script-src {scripts};" in page.headers["content-security-policy"]
