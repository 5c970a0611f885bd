"""Pushed authorization requests: checked when they are pushed, one answer each, in one browser."""

from urllib.parse import urlencode

import httpx2
import pytest

from gatelodge.core import pushed_requests
from tests.house import House
from tests.oauth.flows import EC, asserted, assertion, basic, give_secret, jwk_set, proof, public
from tests.oauth.scenes import HTTPS, LOOPBACK, add_app, add_org, add_server, change_app, person, refused, signed_in
from tests.people import OAuthClient, Person, returned
from tests.requirements import requirement

PAR = "/services/oauth2/par"
URN = "urn:ietf:params:oauth:request_uri:"


def parameters(client: OAuthClient, **changes: str | None) -> dict[str, str]:
    sent = {
        "response_type": "code", "client_id": client.client_id, "redirect_uri": client.redirect_uri,
        "scope": "mcp_api refresh_token", "state": "the-state", "code_challenge": client.challenge,
        "code_challenge_method": "S256",
    }  # fmt: skip
    return {name: value for name, value in (sent | changes).items() if value is not None}


def push(client: OAuthClient, headers: dict[str, str] | None = None, **changes: str | None) -> httpx2.Response:
    return client.front.post(f"{client.issuer}{PAR}", data=parameters(client, **changes), headers=headers)


def pushed(client: OAuthClient, **changes: str | None) -> str:
    """The URL that a client opens after it has pushed."""
    answer = push(client, **changes)
    assert answer.status_code == 201, answer.text
    return opened(client, answer.json()["request_uri"])


def opened(client: OAuthClient, request_uri: str, **more: str) -> str:
    query = urlencode({"client_id": client.client_id, "request_uri": request_uri} | more)
    return f"{client.issuer}/services/oauth2/authorize?{query}"


def is_over(answer: httpx2.Response) -> bool:
    """Whether our page says that the reference leads nowhere, and nothing is sent anywhere."""
    return answer.status_code == 400 and "invalid_request_uri" in answer.text and "location" not in answer.headers


@requirement("par:push", "par:once")
def test_a_pushed_request_leads_to_one_code(house_on: House):
    client, who = add_app(house_on), person(house_on)
    answer = push(client)
    assert answer.status_code == 201 and answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert set(body) == {"request_uri", "expires_in"} and body["expires_in"] == 60
    assert body["request_uri"].startswith(URN) and len(body["request_uri"]) > len(URN) + 40
    back = who.allow(opened(client, body["request_uri"]))
    assert back["state"] == "the-state" and back["iss"] == client.issuer
    assert client.redeem(back["code"]).status_code == 200
    for visitor in (who, person(house_on)):
        assert is_over(visitor.front.get(opened(client, body["request_uri"])))


@requirement("par:once")
@pytest.mark.parametrize("prompt", ["none", None])
def test_no_way_of_answering_can_be_repeated(shared_house: House, prompt: str | None):
    client = add_app(shared_house, HTTPS)
    who = person(shared_house)
    who.allow(client.authorize_url())
    url = pushed(client, prompt=prompt)
    assert "code" in returned(who.front.get(url))
    assert is_over(who.front.get(url))
    stranger = shared_house.client()
    url = pushed(client, prompt="none")
    assert returned(stranger.get(url))["error"] == "login_required"
    assert is_over(stranger.get(url)) and is_over(who.front.get(url))


@requirement("par:once")
def test_a_denied_request_is_over(shared_house: House):
    client = add_app(shared_house, HTTPS)
    who = signed_in(person(shared_house), client)
    url = pushed(client)
    assert returned(who.answer(who.go(url), answer="deny"))["error"] == "access_denied"
    assert is_over(who.front.get(url))


@requirement("par:browser")
def test_the_same_browser_may_look_again_and_no_other_may(shared_house: House):
    client = add_app(shared_house, HTTPS)
    who = signed_in(person(shared_house), client)
    url = pushed(client)
    pages = [who.go(url) for _ in range(4)]
    assert all(page.status_code == 200 for page in pages)
    assert is_over(shared_house.client().get(url)) and is_over(signed_in(person(shared_house), client).front.get(url))
    assert "code" in returned(who.answer(pages.pop(), answer="allow"))
    for late in ("allow", "deny"):
        assert is_over(who.answer(pages.pop(), answer=late)), "four pages of one pushed request are one answer"


@requirement("par:lifetime")
def test_it_lives_a_minute_and_once_held_as_long_as_its_page(shared_house: House):
    client = add_app(shared_house, HTTPS)
    who = signed_in(person(shared_house), client)
    held, late = pushed(client), pushed(client)
    page = who.go(held)
    shared_house.later(61)
    assert is_over(who.front.get(late)) and is_over(who.front.get(held))
    shared_house.later(400)
    assert "code" in returned(who.answer(page, answer="allow"))


@requirement("par:bound")
def test_a_reference_belongs_to_the_client_and_the_org_that_made_it(shared_house: House):
    client, other = add_app(shared_house, HTTPS), add_app(shared_house, HTTPS)
    reference = push(client).json()["request_uri"]
    foreign = add_app(shared_house, HTTPS, org=add_org(shared_house, "elsewhere"))
    for each in (other, foreign):
        assert is_over(each.front.get(opened(each, reference)))
    for wrong in (URN, URN + "x", reference[:-1], reference + "x"):
        assert client.front.get(opened(client, wrong)).status_code == 400
    foreign_reference = client.front.get(client.authorize_url(request_uri="https://client.example/request.jwt"))
    assert returned(foreign_reference)["error"] == "request_not_supported"
    mine = {"client_id": client.client_id, "request_uri": reference}
    twice = f"{client.issuer}/services/oauth2/authorize?{urlencode(mine)}&{urlencode({'client_id': other.client_id})}"
    assert client.front.get(twice).status_code == 400
    assert client.front.get(opened(client, reference)).status_code == 303


@requirement("par:replaces")
def test_what_stands_beside_the_reference_changes_nothing(shared_house: House):
    client, who = add_app(shared_house, HTTPS, LOOPBACK), person(shared_house)
    url = opened(client, push(client).json()["request_uri"], redirect_uri=LOOPBACK, state="other", scope="profile")
    back = who.allow(url)
    assert back["state"] == "the-state" and client.redeem(back["code"]).json()["scope"] == "mcp_api refresh_token"


BAD = {
    "no redirect match": ({"redirect_uri": "https://evil.example/callback"}, "invalid_request"),
    "another response type": ({"response_type": "id_token"}, "unsupported_response_type"),
    "a token": ({"response_type": "token"}, "unsupported_response_type"),
    "no PKCE": ({"code_challenge": None, "code_challenge_method": None}, "invalid_request"),
    "plain PKCE": ({"code_challenge_method": "plain"}, "invalid_request"),
    "no scope of the app": ({"scope": "full"}, "invalid_scope"),
    "an unknown resource": ({"resource": "https://evil.example"}, "invalid_target"),
    "a reference": ({"request_uri": URN + "x"}, "invalid_request"),
    "a request object": ({"request": "a.b.c"}, "request_not_supported"),
    "prompt none with login": ({"prompt": "none login"}, "invalid_request"),
    "an endless state": ({"state": "x" * 3000}, "invalid_request"),
    "an unknown client": ({"client_id": "3MVG9" + "x" * 80}, "invalid_client"),
    "no client": ({"client_id": None}, "invalid_client"),
}


@requirement("par:checks")
@pytest.mark.parametrize("name", BAD)
def test_a_request_is_checked_when_it_is_pushed(shared_house: House, name: str):
    client, (changes, error) = add_app(shared_house, HTTPS), BAD[name]
    refused(push(client, **changes), error)


@requirement("par:checks")
def test_only_a_form_in_a_post_is_taken_and_each_parameter_once(shared_house: House):
    client = add_app(shared_house, HTTPS)
    url, sent = f"{client.issuer}{PAR}", parameters(client)
    assert client.front.get(f"{url}?{urlencode(sent)}").status_code == 405
    refused(client.front.post(f"{url}?{urlencode(sent)}"), "invalid_request")
    refused(client.front.post(url, json=sent), "invalid_request")
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    body = f"{urlencode(sent)}&state=again".encode()
    refused(client.front.post(url, content=body, headers=form), "invalid_request")


@requirement("par:client-authentication")
def test_a_client_proves_who_it_is_as_at_the_token_endpoint(shared_house: House):
    client = add_app(shared_house, HTTPS, require_secret_for_web_server_flow=True, public_keys=jwk_set())
    secret = give_secret(shared_house, client)
    refused(push(client), "invalid_client")
    refused(push(client, client_secret="x"), "invalid_client")
    refused(push(client, **asserted("x.y.z")), "invalid_client", 401)
    assert push(client, client_secret=secret).status_code == 201
    assert push(client, basic(client.client_id, secret), client_id=None).status_code == 201
    assert push(client, **asserted(assertion(shared_house, client))).status_code == 201
    change_app(shared_house, client, is_enabled=False)
    refused(push(client, client_secret=secret), "invalid_client")


@requirement("par:dpop")
def test_a_dpop_proof_binds_the_code(shared_house: House):
    client, who = add_app(shared_house, HTTPS), person(shared_house)
    url = f"{client.issuer}{PAR}"
    answer = push(client, {"DPoP": proof(shared_house, url)})
    code = who.allow(opened(client, answer.json()["request_uri"]))["code"]
    assert "DPoP" in refused(client.redeem(code), "invalid_grant")
    refused(push(client, {"DPoP": proof(shared_house, url)}, dpop_jkt="x" * 43), "invalid_request")
    assert push(client, {"DPoP": proof(shared_house, url)}, dpop_jkt=EC.thumbprint()).status_code == 201
    refused(push(client, {"DPoP": "x"}), "invalid_dpop_proof")
    assert "d" not in public(EC)


@requirement("par:app-changes")
def test_what_an_administrator_changed_meanwhile_counts(fresh_house: House):
    second = add_server(fresh_house, "second")
    client, who = (
        add_app(fresh_house, HTTPS),
        signed_in(person(fresh_house), add_app(fresh_house, HTTPS, mcp_servers=("sobject-reads",))),
    )
    url, shown = pushed(client, resource=second), pushed(client, resource=second)
    page = who.go(shown)
    change_app(fresh_house, client, mcp_servers=("sobject-reads",))
    assert returned(who.front.get(url))["error"] == "invalid_target"
    assert returned(who.answer(page, answer="allow"))["error"] == "invalid_target"
    assert is_over(who.front.get(url)) and is_over(who.front.get(shown)), "a refusal is an answer too"


@requirement("par:bounded")
def test_one_address_can_not_fill_the_table(fresh_house: House):
    client = add_app(fresh_house, HTTPS)
    kept = [
        push(client, resource=f"{fresh_house.issuer}/mcp/sobject-reads")
        for _ in range(pushed_requests.MOST_PER_ADDRESS)
    ]
    assert {each.status_code for each in kept} == {201}
    more = push(client, resource=f"{fresh_house.issuer}/mcp/sobject-reads")
    refused(more, "temporarily_unavailable", 429)
    assert Person(fresh_house.client(), "", "").front.get(f"{fresh_house.issuer}/id/keys").status_code == 200
