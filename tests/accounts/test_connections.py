"""My Connections: everybody sees what they allowed, and takes it back."""

import re

from tests.factors import act
from tests.house import House
from tests.oauth.scenes import add_app, add_server, connect, opens, person, refused
from tests.people import Person
from tests.requirements import requirement

PATH = "/setup/connections"


def ids(who: Person, prefix: str) -> list[str]:
    return re.findall(rf'name="id" value="({prefix}\w+)"', who.front.get(PATH).text)


@requirement("connections:listed")
def test_a_user_without_any_permission_sees_apps_scopes_servers_and_times(house: House):
    who = person(house, 1)
    who.sign_in_to_setup()
    assert "No app acts for you" in who.front.get(PATH).text
    client = add_app(house, label="Nimbus & Sons")
    connect(who, client)
    house.later(3600)
    page = who.front.get(PATH)
    assert page.status_code == 200
    for shown in ("Nimbus &amp; Sons", "Access MCP servers", "SObject Reads", "Sep 21, 2026, 14:13"):
        assert shown in page.text, shown
    assert f'href="{PATH}"' in who.front.get("/setup").text


@requirement("connections:last-use")
def test_the_last_use_is_that_of_the_last_call(house: House):
    who, client = person(house, 1), add_app(house)
    tokens = connect(who, client)
    house.later(300)
    before = shown_use(who)
    assert opens(client, tokens["access_token"])
    assert shown_use(who) != before


def shown_use(who: Person) -> str:
    found = re.search(r"last used ([^<]+)<", who.front.get(PATH).text)
    assert found
    return found[1]


@requirement("connections:revoke")
def test_revoking_an_app_ends_all_its_connections_and_tokens_and_no_other_app(house_on: House):
    who, revoked, kept = person(house_on, 1), add_app(house_on, label="First"), add_app(house_on, label="Second")
    first, second, other = connect(who, revoked), connect(who, revoked), connect(who, kept)
    assert len(ids(who, "0uA")) == 2 and len(ids(who, "0uC")) == 3
    named = re.search(r'id="app-(0uA\w+)">First<', who.front.get(PATH).text)
    assert named and act(who, PATH, act="revoke", id=named[1]).status_code == 303
    house_on.catch_up()
    for tokens in (first, second):
        assert not opens(revoked, tokens["access_token"])
        refused(revoked.refresh(tokens["refresh_token"]), "invalid_grant")
    assert opens(kept, other["access_token"])
    page = who.front.get(PATH).text
    assert "First" not in page and "Second" in page
    assert act(who, PATH, act="revoke", id=named[1]).status_code == 404


@requirement("connections:revoke")
def test_ending_one_connection_leaves_the_others_of_the_app(house_on: House):
    who, client = person(house_on, 1), add_app(house_on)
    first = connect(who, client)
    (ended,) = ids(who, "0uC")
    second = connect(who, client)
    assert act(who, PATH, act="end", id=ended).status_code == 303
    house_on.catch_up()
    assert not opens(client, first["access_token"]) and opens(client, second["access_token"])
    assert client.refresh(second["refresh_token"]).status_code == 200


@requirement("connections:own-only")
def test_nobody_ends_what_somebody_else_allowed(house: House):
    who, other, client = person(house, 1), person(house, 0), add_app(house)
    tokens = connect(who, client)
    connect(other, client)
    for name, prefix in (("revoke", "0uA"), ("end", "0uC")):
        (theirs,) = ids(who, prefix)
        assert theirs not in other.front.get(PATH).text
        assert act(other, PATH, act=name, id=theirs).status_code == 404
    house.catch_up()
    assert opens(client, tokens["access_token"])


@requirement("connections:listed")
def test_the_servers_of_a_wider_authorization_are_all_named(house: House):
    who, client = person(house, 0), add_app(house)
    url = add_server(house, "second")
    connect(who, client, resource=f"{house.issuer}/mcp/sobject-reads")
    connect(who, client, resource=url)
    page = who.front.get(PATH).text
    assert "SObject Reads, Server second" in page
