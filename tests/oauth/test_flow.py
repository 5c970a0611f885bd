"""The authorization code flow, walked by a person and a client through the front door."""

import json

from tests.house import House
from tests.people import OAuthClient, Person, call_tool, tools_list
from tests.requirements import requirement

CLAUDE_CODE = "http://localhost:8080/callback"


def client_of(house: House, preset: str = "claude-code", redirect_uri: str = CLAUDE_CODE) -> OAuthClient:
    key = next(app["consumer_key"] for app in house.told.apps if app["preset"] == preset)
    return OAuthClient(front=house.client(), issuer=house.issuer, client_id=key, redirect_uri=redirect_uri)


def person(house: House, n: int = 0) -> Person:
    user = house.told.users[n]
    return Person(house.client(), user["username"], user["password"])


@requirement("authorize:code-flow", "token:jwt-for-resource", "gateway:bearer-opens")
def test_a_user_signs_in_consents_and_the_client_calls_a_tool(house_on: House):
    client = client_of(house_on)
    back = person(house_on).allow(client.authorize_url())
    assert back["state"] == "the-state" and back["iss"] == house_on.issuer
    answer = client.redeem(back["code"])
    assert answer.status_code == 200, answer.text
    tokens = answer.json()
    assert tokens["token_type"] == "Bearer" and tokens["expires_in"] == 600 and tokens["refresh_token"]
    assert answer.headers["cache-control"] == "no-store"
    url = f"{house_on.issuer}/mcp/sobject-reads"
    listed = tools_list(client.front, url, tokens["access_token"])
    assert listed.status_code == 200, listed.text
    assert [tool["name"] for tool in listed.json()["result"]["tools"]] == [
        "getObjectSchema", "soqlQuery", "find", "getUserInfo", "listRecentSobjectRecords", "getRelatedRecords",
    ]  # fmt: skip
    called = call_tool(client.front, url, tokens["access_token"], "soqlQuery", {"q": "SELECT COUNT() FROM Account"})
    assert json.loads(called.json()["result"]["content"][0]["text"])["totalSize"] == 400
