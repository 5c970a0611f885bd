"""Calls that need scopes of the org's own: one challenge with all of them, and the way through for those who never step up."""

import re
from typing import Any

import httpx2
import pytest

from gatelodge.core import orgs
from gatelodge.core.scopes import Scope
from tests.approvals.asking import QUERY, TOOL, mark
from tests.house import House
from tests.oauth.scenes import add_app, change_app, person
from tests.people import OAuthClient, Person, call_tool, form, form_token
from tests.requirements import requirement
from tests.setup.offices import sign_in, words

WRITE = Scope("crm.write", "Change customers", "Change the customers that you may change", ("crm.read",))
READ = Scope("crm.read", "Read customers", "Read the customers that you may read")


@pytest.fixture
def app(house: House) -> OAuthClient:
    """An app of the records server, which requires crm.read for its queries."""
    told: dict[str, Any] = {"actor": "a test", "now_ms": house.site.clock.now_ms()}
    house.write(orgs.change_scopes, house.org.id, (), (READ, WRITE), **told)
    house.catch_up()
    mark(house, scopes=("crm.read",))
    return add_app(house, mcp_servers=("sobject-reads",), label="A helper")


def connect(app: OAuthClient, who: Person, scope: str) -> dict[str, Any]:
    returned = who.allow(app.authorize_url(scope=scope))
    return app.redeem(returned["code"]).json()


def query(house: House, token: str) -> httpx2.Response:
    return call_tool(house.client(), f"{house.issuer}/mcp/sobject-reads", token, TOOL, QUERY)


def link_of(answer: httpx2.Response) -> str:
    return answer.json()["error"]["data"]["url"]


@requirement("step-up:challenge")
def test_a_call_that_lacks_a_scope_gets_one_challenge_with_those_it_has_and_those_it_needs(
    house: House, app: OAuthClient
):
    tokens = connect(app, person(house, 1), "mcp_api refresh_token")
    refused = query(house, tokens["access_token"])
    assert refused.status_code == 403 and refused.json()["id"] == 1
    challenge = refused.headers["www-authenticate"]
    assert 'error="insufficient_scope"' in challenge and challenge.startswith("Bearer ")
    [scope] = re.findall(r'scope="([^"]*)"', challenge)
    assert set(scope.split()) == {"mcp_api", "crm.read"}
    assert f'resource_metadata="{house.issuer}/.well-known/oauth-protected-resource/mcp/sobject-reads"' in challenge
    assert link_of(refused) in refused.json()["error"]["message"]


@requirement("step-up:challenge")
def test_a_client_that_steps_up_is_let_through_and_consent_says_it_in_plain_words(house: House, app: OAuthClient):
    change_app(house, app, scopes=("mcp_api", "refresh_token", "crm.read", "crm.write"))
    who = person(house, 1)
    page = who.answer(who.go(app.authorize_url(scope="mcp_api crm.read")), username=who.username, password=who.password)
    assert READ.meaning in words(page)
    tokens = connect(app, person(house, 1), "mcp_api crm.read")
    assert query(house, tokens["access_token"]).status_code == 200


@requirement("step-up:hierarchy")
def test_a_broader_scope_includes_the_narrower_ones(house: House, app: OAuthClient):
    change_app(house, app, scopes=("mcp_api", "refresh_token", "crm.write"))
    tokens = connect(app, person(house, 1), "mcp_api crm.write")
    assert query(house, tokens["access_token"]).status_code == 200
    told: dict[str, Any] = {"actor": "a test", "now_ms": house.site.clock.now_ms()}
    house.write(orgs.change_scopes, house.org.id, (READ, WRITE), (READ,), **told)
    house.catch_up()
    assert query(house, tokens["access_token"]).status_code == 403


@requirement("step-up:link")
def test_the_link_lets_an_administrator_give_it_to_the_app_and_the_user_to_the_connection(
    house: House, app: OAuthClient
):
    tokens = connect(app, person(house, 1), "mcp_api refresh_token")
    link = link_of(query(house, tokens["access_token"]))
    sam, robin = sign_in(person(house, 1)), sign_in(person(house, 0))
    page = sam.front.get(link)
    assert READ.meaning in words(page) and "A helper" in words(page) and "administrator of this org" in words(page)
    sent = dict(httpx2.URL(link).params) | {"form_token": form_token(page), "act": "allow"}
    assert sam.front.post("/setup/step-up", data=sent).status_code == 403
    assert sam.front.post("/setup/step-up", data=sent | {"act": "app"}).status_code == 403
    robins = form(robin.front.get(link), "/setup/step-up")
    assert robin.front.post("/setup/step-up", data=robins | {"act": "allow"}).status_code == 403
    assert "may ask for it" in words(robin.front.post("/setup/step-up", data=robins | {"act": "app"}))
    fields = form(sam.front.get(link), "/setup/step-up") | {"act": "allow"}
    assert "Allowed" in words(sam.front.post("/setup/step-up", data=fields))
    assert query(house, tokens["access_token"]).status_code == 403
    fresh = app.refresh(tokens["refresh_token"]).json()
    assert "crm.read" in fresh["scope"].split() and query(house, fresh["access_token"]).status_code == 200
    assert READ.label in words(sam.front.get("/setup/connections"))


@requirement("step-up:link")
def test_the_link_gives_nothing_that_no_tool_needs_and_nothing_of_somebody_elses(house: House, app: OAuthClient):
    change_app(house, app, scopes=("mcp_api", "refresh_token", "crm.read", "crm.write"))
    tokens = connect(app, person(house, 1), "mcp_api refresh_token")
    link = link_of(query(house, tokens["access_token"]))
    sam, stranger = sign_in(person(house, 1)), sign_in(person(house, 2))
    assert stranger.front.get(link).status_code == 404
    for wrong in (
        link.replace("crm.read", "crm.write"),
        link.replace("crm.read", ""),
        link.replace("crm.read", "openid"),
    ):
        assert sam.front.get(wrong).status_code == 400, wrong
    for wrong in (link.replace("sobject-reads", "nothing"), link.replace("connection=0", "connection=1")):
        assert sam.front.get(wrong).status_code == 404, wrong
    page = sam.front.get("/setup/connections")
    authorization = re.findall(r'id="app-(0uA\w+)"', page.text)[0]
    sent = {"form_token": form_token(page), "act": "revoke", "id": authorization}
    assert sam.front.post("/setup/connections", data=sent).status_code == 303
    assert sam.front.get(link).status_code == 404


@requirement("step-up:custom-scopes")
def test_scopes_of_the_orgs_own_are_added_removed_and_offered(house: House):
    robin = sign_in(person(house, 0))
    page = robin.front.get("/setup/scopes")
    sent = form(page, "/setup/scopes") | {
        "act": "add",
        "name": "crm.read",
        "label": "Read",
        "meaning": "Read customers",
    }
    assert robin.front.post("/setup/scopes", data=sent).status_code == 303
    wrong: list[dict[str, str]] = [
        {}, {"name": "mcp_api"}, {"name": "Crm Read"}, {"name": 'a"b'}, {"name": "x", "label": ""},
        {"name": "x", "meaning": "\u202ex"}, {"name": "x", "includes": "nothing"}, {"name": "x", "includes": "x"},
    ]  # fmt: skip
    for each in wrong:
        assert robin.front.post("/setup/scopes", data=sent | each).status_code == 422, each
    metadata = house.client().get("/.well-known/oauth-authorization-server").json()
    assert "crm.read" in metadata["scopes_supported"]
    assert "Read (crm.read)" in words(robin.front.get("/setup/apps/new"))
    assert robin.front.post("/setup/scopes", data=sent | {"act": "remove"}).status_code == 303
    metadata = house.client().get("/.well-known/oauth-authorization-server").json()
    assert "crm.read" not in metadata["scopes_supported"]


@requirement("step-up:challenge", "approvals:held")
def test_scopes_come_before_a_person_is_asked(house: House, app: OAuthClient):
    mark(house, asks_first=True)
    tokens = connect(app, person(house, 1), "mcp_api refresh_token")
    assert query(house, tokens["access_token"]).status_code == 403
    assert "No call waits" in words(sign_in(person(house, 0)).front.get("/setup/approvals"))
