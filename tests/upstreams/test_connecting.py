"""A user connects their own account at an upstream: asked here first, then there and back, once, in one browser."""

import asyncio
import base64
import hashlib
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from gatelodge.core import deactivation, mcp_servers, upstream_grants
from gatelodge.gateway import user_grants
from gatelodge.gateway.credentials import NoCredential
from gatelodge.gateway.user_grants import NeedsGrant
from tests.house import House
from tests.oauth.scenes import person
from tests.people import Person, form
from tests.requirements import requirement
from tests.setup.offices import sign_in, words
from tests.upstreams.issuing import Upstream
from tests.upstreams.reaching import asked_of, at_the_issuer, caller, connect, given, register, to_the_issuer

ISS = "iss"


@pytest.fixture
def sam(house: House) -> Person:
    return sign_in(person(house, 1))


def is_connected(house: House, server: mcp_servers.McpServer) -> bool:
    house.catch_up()
    try:
        return given(house, server)["Authorization"].startswith("Bearer given-")
    except NeedsGrant:
        return False


@requirement("grants:connect")
def test_a_call_without_a_grant_names_the_page_where_the_user_connects_and_works_afterwards(
    house: House, upstream: Upstream, sam: Person
):
    server = register(house, upstream, credential="user_grant")
    with pytest.raises(NeedsGrant) as needed:
        given(house, server)
    assert needed.value.url == f"{house.issuer}/setup/upstreams/tickets" and needed.value.url in str(needed.value)
    page = sam.front.get("/setup/upstreams/tickets")
    said = words(page)
    host = urlsplit(upstream.url).netloc
    assert f"act for you at {host}?" in said and "Tickets" in said and "offline_access" in said and upstream.url in said
    assert f"form-action 'self' {upstream.origin};" in page.headers["content-security-policy"]
    assert connect(sam, server).headers["location"] == f"{house.issuer}/setup/upstreams/tickets"
    assert "has been connected since" in words(sam.front.get("/setup/upstreams/tickets"))
    assert given(house, server) == {"Authorization": "Bearer given-1"}
    with pytest.raises(NeedsGrant):
        given(house, server, 0)


@requirement("grants:request")
def test_the_request_has_pkce_state_and_the_resource_and_so_has_every_request_for_tokens(
    house: House, upstream: Upstream, sam: Person
):
    server = register(house, upstream, credential="user_grant")
    asked = asked_of(sent := to_the_issuer(sam, server))
    assert asked["resource"] == upstream.url and asked["response_type"] == "code"
    assert asked["scope"] == "read offline_access" and asked["prompt"] == "consent"
    assert asked["redirect_uri"] == f"{house.issuer}/setup/upstreams/tickets/callback"
    sam.front.get(at_the_issuer(sent))
    [redeemed] = upstream.asked("/token")
    digest = hashlib.sha256(redeemed["code_verifier"].encode()).digest()
    assert base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == asked["code_challenge"]
    assert redeemed["resource"] == upstream.url and redeemed["redirect_uri"] == asked["redirect_uri"]
    house.later(580)
    assert given(house, server) == {"Authorization": "Bearer given-2"}
    assert upstream.asked("/token")[1]["resource"] == upstream.url


@requirement("grants:who-we-are")
def test_this_org_registers_itself_once_where_nobody_registered_it(house: House, upstream: Upstream, sam: Person):
    server = register(house, upstream, credential="user_grant")
    connect(sam, server)
    connect(sam, server)
    [registered] = upstream.asked("/register")
    assert registered["application_type"] == "web" and registered["token_endpoint_auth_method"] == "none"
    assert registered["redirect_uris"] == [f"{house.issuer}/setup/upstreams/tickets/callback"]
    assert {each["client_id"] for each in upstream.asked("/token")} == {"registered-1"}


@requirement("grants:who-we-are")
def test_who_an_administrator_registered_goes_before_all_else(house: House, upstream: Upstream, sam: Person):
    upstream.metadata = {"client_id_metadata_document_supported": True}
    server = register(house, upstream, credential="user_grant", client_id="given-to-us")
    assert asked_of(to_the_issuer(sam, server))["client_id"] == "given-to-us" and not upstream.asked("/register")
    upstream.metadata = {"registration_endpoint": None}
    other = register(house, upstream, "other", credential="user_grant")
    failed = sam.front.get(f"/setup/upstreams/{other.name}")
    assert failed.status_code == 400 and "enters the client ID here" in words(failed)
    assert f"{house.issuer}/setup/upstreams/other/callback" in failed.text


@requirement("grants:who-we-are")
def test_our_metadata_document_names_itself_and_is_there_for_servers_that_need_it(house: House, upstream: Upstream):
    register(house, upstream, credential="user_grant")
    url = f"{house.issuer}/oauth/client-metadata/tickets"
    document = house.client().get(url).json()
    assert document["client_id"] == url and document["application_type"] == "web" and document["client_name"]
    assert document["redirect_uris"] == [f"{house.issuer}/setup/upstreams/tickets/callback"]
    assert house.client().get("/oauth/client-metadata/sobject-reads").status_code == 404


LIES: dict[str, dict[str, Any]] = {
    "metadata about another resource": {"resource": {"resource": "https://elsewhere.example/mcp"}},
    "metadata about a name that only begins alike": {"resource": {"resource": "{url}x"}},
    "no authorization server": {"resource": {"authorization_servers": []}},
    "another issuer": {"metadata": {"issuer": "https://evil.example"}},
    "an issuer with a slash more": {"metadata": {"issuer": "{origin}/"}},
    "no PKCE": {"metadata": {"code_challenge_methods_supported": None}},
    "plain PKCE": {"metadata": {"code_challenge_methods_supported": ["plain"]}},
    "a script to open": {"metadata": {"authorization_endpoint": "javascript:alert(1)//"}},
    "a file to open": {"metadata": {"authorization_endpoint": "file:///etc/passwd"}},
    "a command to open": {"metadata": {"authorization_endpoint": "http://a/$(calc.exe?response_type=code\n"}},
    "an endpoint with a name and a password": {"metadata": {"token_endpoint": "http://us:pw@127.0.0.1/token"}},
    "an endpoint that is no text": {"metadata": {"token_endpoint": 7}},
}


@pytest.mark.parametrize("lie", LIES)
@requirement("grants:lying-issuers")
def test_nobody_is_sent_to_an_issuer_whose_metadata_lies(house: House, upstream: Upstream, sam: Person, lie: str):
    for name, said in LIES[lie].items():
        filled = {
            k: v.format(url=upstream.url, origin=upstream.origin) if isinstance(v, str) and "{" in v else v
            for k, v in said.items()
        }
        setattr(upstream, name, filled)
    server = register(house, upstream, credential="user_grant")
    page = sam.front.get("/setup/upstreams/tickets")
    assert page.status_code == 400 and "Nothing was connected." in words(page) and not upstream.asked("/register")
    token = form(sam.front.get("/setup/connections"), "/logout")
    posted = sam.front.post("/setup/upstreams/tickets", data=token)
    assert posted.status_code == 400 and not is_connected(house, server)


ANSWERS: dict[str, tuple[dict[str, str | None], dict[str, Any], bool]] = {
    "advertised and right": ({}, {}, True),
    "advertised and missing": ({ISS: None}, {}, False),
    "advertised and another": ({ISS: "https://evil.example"}, {}, False),
    "advertised with a slash more": ({ISS: "{issuer}/"}, {}, False),
    "not advertised and missing": ({ISS: None}, {"authorization_response_iss_parameter_supported": None}, True),
    "not advertised and right": ({}, {"authorization_response_iss_parameter_supported": False}, True),
    "not advertised and another": (
        {ISS: "https://evil.example"},
        {"authorization_response_iss_parameter_supported": False},
        False,
    ),
}


@pytest.mark.parametrize("row", ANSWERS)
@requirement("grants:iss")
def test_an_answer_of_another_issuer_is_refused_and_its_code_is_not_redeemed(
    house: House, upstream: Upstream, sam: Person, row: str
):
    returned, upstream.metadata, is_good = ANSWERS[row]
    upstream.returned = {k: v.format(issuer=upstream.issuer) if v else v for k, v in returned.items()}
    server = register(house, upstream, credential="user_grant")
    back = connect(sam, server)
    assert (back.status_code == 303) is is_good and is_connected(house, server) is is_good
    assert bool(upstream.asked("/token")) is is_good


@requirement("grants:state")
def test_the_answer_counts_once_in_ten_minutes_in_the_browser_and_for_the_user_that_went_there(
    house: House, upstream: Upstream, sam: Person
):
    server = register(house, upstream, credential="user_grant")
    back = at_the_issuer(to_the_issuer(sam, server))
    robin, sams_phone = sign_in(person(house, 0)), sign_in(person(house, 1))
    for stranger in (robin, sams_phone):
        refused = stranger.front.get(back)
        assert refused.status_code == 400 and "another browser or by another user" in words(refused)
    assert not upstream.asked("/token")
    query = parse_qs(urlsplit(back).query)
    for state in ("", "x", query["state"][0][:-1], query["state"][0] + "A"):
        forged = urlencode({"code": query["code"][0], "iss": upstream.issuer, "state": state})
        assert sam.front.get(f"/setup/upstreams/tickets/callback?{forged}").status_code == 400
    assert sam.front.get(back).status_code == 303
    assert sam.front.get(back).status_code == 400 and len(upstream.asked("/token")) == 1
    late = at_the_issuer(to_the_issuer(sam, server))
    house.later(601)
    house.catch_up()
    assert sam.front.get(late).status_code == 400 and len(upstream.asked("/token")) == 1


@requirement("grants:state")
def test_an_answer_for_one_server_is_not_taken_for_another(house: House, upstream: Upstream, sam: Person):
    first, second = (register(house, upstream, name, credential="user_grant") for name in ("tickets", "wiki"))
    back = at_the_issuer(to_the_issuer(sam, first)).replace("/tickets/", "/wiki/")
    assert sam.front.get(back).status_code == 400
    assert not is_connected(house, first) and not is_connected(house, second)


@requirement("grants:state")
def test_an_issuer_that_becomes_another_one_meanwhile_gets_no_code(house: House, upstream: Upstream, sam: Person):
    server = register(house, upstream, credential="user_grant")
    back = at_the_issuer(to_the_issuer(sam, server))
    upstream.metadata = {"token_endpoint": f"{upstream.origin}/evil"}
    assert sam.front.get(back).status_code == 400 and not upstream.asked("/evil")


@requirement("grants:consent")
def test_nothing_leads_to_the_upstream_but_the_form_of_our_own_page(house: House, upstream: Upstream, sam: Person):
    register(house, upstream, credential="user_grant")
    page = sam.front.get("/setup/upstreams/tickets")
    assert page.status_code == 200 and not upstream.asked("/authorize")
    assert sam.front.post("/setup/upstreams/tickets", data={"x": "y"}).status_code == 403
    theirs = form(sign_in(person(house, 0)).front.get("/setup/upstreams/tickets"), "/setup/upstreams/tickets")
    assert sam.front.post("/setup/upstreams/tickets", data=theirs).status_code == 403
    assert sam.front.post("/setup/upstreams/sobject-reads", data=form(page, "/logout")).status_code == 404


@requirement("grants:refresh-races")
def test_callers_of_many_nodes_refresh_a_strict_issuers_token_once_and_all_get_the_same(
    house_on: House, upstream: Upstream
):
    who = sign_in(person(house_on, 1))
    server = register(house_on, upstream, credential="user_grant")
    connect(who, server)
    user_id = caller(house_on, server).user_id

    async def race() -> set[str]:
        # Each by itself, as on a node of its own: nothing that a node remembers is between them.
        tries = (
            user_grants.token(house_on.site, house_on.org, server, user_id, refused="Bearer given-1")
            for _ in range(16)
        )  # fmt: skip
        return {each.value for each in await asyncio.gather(*tries)}

    assert house_on.run(race()) == {"Bearer given-2"}
    assert len(upstream.asked("/token")) == 2


@requirement("grants:refresh")
def test_a_grant_is_refreshed_with_the_newest_token_for_as_long_as_it_lives(
    house: House, upstream: Upstream, sam: Person
):
    server = register(house, upstream, credential="user_grant")
    connect(sam, server)
    for n in range(2, 6):
        house.later(580)
        house.catch_up()
        assert given(house, server) == {"Authorization": f"Bearer given-{n}"}
    upstream.token = {"refresh_token": ""}
    house.later(580)
    assert given(house, server) == {"Authorization": "Bearer given-6"}


@requirement("grants:refresh")
def test_an_issuer_that_is_away_ends_no_grant_and_one_that_says_no_does(house: House, upstream: Upstream, sam: Person):
    server = register(house, upstream, credential="user_grant")
    connect(sam, server)
    house.later(580)
    house.catch_up()
    upstream.token = (503, {})
    for _ in range(2):
        with pytest.raises(NoCredential, match="can't answer now"):
            given(house, server)
    upstream.token = (400, {"error": "invalid_grant"})
    with pytest.raises(NeedsGrant):
        given(house, server)
    upstream.token = {}
    with pytest.raises(NeedsGrant):
        given(house, server)
    assert "Let" in words(sam.front.get("/setup/upstreams/tickets"))


@requirement("grants:ends")
def test_disconnecting_ends_the_grant_at_once_and_tells_the_issuer(house: House, upstream: Upstream, sam: Person):
    server = register(house, upstream, credential="user_grant")
    connect(sam, server)
    assert given(house, server)
    page = sam.front.get("/setup/connections")
    assert "Your accounts at MCP servers" in words(page)
    sent = form(page, "/setup/connections") | {"act": "disconnect", "id": server.id}
    assert sam.front.post("/setup/connections", data=sent).status_code == 303
    with pytest.raises(NeedsGrant):
        given(house, server)
    assert upstream.asked("/revoke") == [{"client_id": "registered-1", "token": next(iter(upstream.refreshing))}]
    assert sam.front.post("/setup/connections", data=sent).status_code == 404


@requirement("grants:ends")
def test_a_grant_ends_with_its_user_and_with_its_server(house_on: House, upstream: Upstream):
    robin, who = sign_in(person(house_on, 0)), sign_in(person(house_on, 1))
    server = register(house_on, upstream, credential="user_grant")
    for each in (robin, who):
        connect(each, server)
    told: dict[str, Any] = {"actor": "a test", "now_ms": house_on.site.clock.now_ms()}
    sam_id = caller(house_on, server, 1).user_id
    house_on.write(deactivation.deactivate, house_on.org.id, sam_id, **told)
    house_on.write(deactivation.activate, house_on.org.id, sam_id, **told)
    house_on.catch_up()
    with pytest.raises(NeedsGrant):
        given(house_on, server, 1)
    assert given(house_on, server, 0)
    house_on.write(mcp_servers.remove, house_on.org.id, server.id, **told)
    assert house_on.read(upstream_grants.of_user, house_on.org.id, caller(house_on, server, 0).user_id) == []


@requirement("grants:ends")
def test_a_grant_for_one_url_is_never_sent_to_another(house: House, upstream: Upstream, sam: Person):
    import msgspec

    server = register(house, upstream, credential="user_grant")
    connect(sam, server)
    moved = msgspec.structs.replace(server, source=f"{upstream.origin}/elsewhere")
    with pytest.raises(NeedsGrant):
        given(house, moved)


@requirement("credentials:secrets-sealed")
def test_a_grants_tokens_are_sealed_and_bound_to_their_row(house: House, upstream: Upstream, sam: Person):
    import msgspec

    server = register(house, upstream, credential="user_grant")
    connect(sam, server)
    held = house.read(upstream_grants.find, house.org.id, server.id, caller(house, server).user_id)
    assert b"given-1" not in held.sealed
    robins = msgspec.structs.replace(held, user_id=caller(house, server, 0).user_id)
    with pytest.raises(Exception, match="does not open"):
        upstream_grants.opened(house.site.ring, robins)
