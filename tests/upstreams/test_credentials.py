"""What an upstream is given in the place of the client's token."""

import asyncio
import base64

import msgspec
import pytest

from gatelodge.core import upstream_secrets
from gatelodge.core.upstream_secrets import CLIENT_SECRET, HEADER
from gatelodge.gateway import credentials
from gatelodge.gateway.credentials import IDENTITY, NoCredential
from tests.house import House
from tests.requirements import requirement
from tests.upstreams.issuing import Upstream
from tests.upstreams.reaching import caller, given, register

SECRET = "a secret & = + % of ours"


def enter(house: House, server_id: str, kind: str, value: str) -> None:
    now = house.site.clock.now()
    made = upstream_secrets.sealed(
        house.site.ring, value, org_id=house.org.id, server_id=server_id, kind=kind, made_by="a test", now=now
    )
    house.write(upstream_secrets.keep, made, actor="005", now_ms=now * 1000)
    house.catch_up()


def claims_of(token: str) -> dict[str, str]:
    raw = token.split(".")[1]
    return msgspec.json.decode(base64.urlsafe_b64decode(raw + "=" * (-len(raw) % 4)))


@requirement("credentials:kinds")
def test_an_open_upstream_is_given_nothing(house: House, upstream: Upstream):
    assert given(house, register(house, upstream)) == {}


@requirement("credentials:kinds", "credentials:secrets-sealed")
def test_a_fixed_header_is_sent_as_it_was_entered_and_a_changed_one_from_the_next_call_on(
    house: House, upstream: Upstream
):
    server = register(house, upstream, credential="header", header_name="X-Api-Key")
    with pytest.raises(NoCredential, match="nobody has entered its value"):
        given(house, server)
    enter(house, server.id, HEADER, "the first key of all")
    assert given(house, server) == {"X-Api-Key": "the first key of all"}
    enter(house, server.id, HEADER, "the second key of all")
    assert given(house, server) == {"X-Api-Key": "the second key of all"}
    kept = house.read(upstream_secrets.find, house.org.id, server.id, HEADER)
    assert b"second" not in kept.sealed and "second" not in repr(kept) and kept.last_four == " all"
    moved = msgspec.structs.replace(kept, server_id="another")
    with pytest.raises(Exception, match="does not open"):
        upstream_secrets.opened(house.site.ring, moved)


@requirement("credentials:one-fetch")
def test_many_callers_at_once_cost_one_token_and_it_is_kept_until_near_its_end(house: House, upstream: Upstream):
    server = register(
        house,
        upstream,
        credential="client_credentials",
        token_url=f"{upstream.origin}/token",
        client_id="us",
        scope="read",
    )
    enter(house, server.id, CLIENT_SECRET, SECRET)

    async def many() -> list[dict[str, str]]:
        return await asyncio.gather(*(credentials.headers_for(house.site, house.org, server, each) for each in callers))

    callers = [caller(house, server, n % 2) for n in range(16)]
    assert house.run(many()) == [{"Authorization": "Bearer given-1"}] * 16
    [asked] = upstream.asked("/token")
    assert asked == {"grant_type": "client_credentials", "resource": upstream.url, "scope": "read"}
    pair = base64.b64decode(upstream.heard[-1][1].removeprefix("Basic ")).decode()
    assert pair == "us:a+secret+%26+%3D+%2B+%25+of+ours"
    house.later(560)
    house.catch_up()
    assert given(house, server) == {"Authorization": "Bearer given-1"}
    house.later(11)
    house.catch_up()
    assert given(house, server) == {"Authorization": "Bearer given-2"}


@requirement("credentials:one-fetch")
def test_a_token_that_the_upstream_refuses_is_fetched_anew_once_for_all_who_used_it(house: House, upstream: Upstream):
    server = register(
        house, upstream, credential="client_credentials", token_url=f"{upstream.origin}/token", client_id="us"
    )
    first = given(house, server)
    for _ in range(3):
        assert given(house, server, refused=first) == {"Authorization": "Bearer given-2"}
    assert len(upstream.asked("/token")) == 2


@requirement("credentials:one-fetch")
def test_an_issuer_that_fails_is_told_to_the_administrator_and_asked_again_at_the_next_call(
    house: House, upstream: Upstream
):
    server = register(
        house, upstream, credential="client_credentials", token_url=f"{upstream.origin}/token", client_id="us"
    )
    for status, said, why in (
        (503, {}, "can't answer now"),
        (401, {"error": "invalid_client", "error_description": "who?"}, "invalid_client"),
        (200, {"access_token": "a\r\nb", "token_type": "Bearer"}, "can't be sent"),
        (200, {"access_token": "a", "token_type": "MAC"}, "MAC"),
        (200, {"token_type": "Bearer"}, "can't be read"),
    ):
        upstream.token = (status, said)
        with pytest.raises(NoCredential, match=why):
            given(house, server)
    upstream.token = {}
    assert given(house, server) == {"Authorization": "Bearer given-1"}


@requirement("credentials:exchange")
def test_each_users_token_is_exchanged_for_what_the_org_says_of_them_to_this_issuer(house: House, upstream: Upstream):
    token_url = f"{upstream.origin}/token"
    server = register(house, upstream, credential="token_exchange", token_url=token_url, client_id="us", audience="api")
    robin, sam = given(house, server, 0), given(house, server, 1)
    assert robin != sam and given(house, server, 0) == robin
    asked = upstream.asked("/token")
    assert len(asked) == 2 and asked[0]["audience"] == "api" and asked[0]["resource"] == upstream.url
    assert asked[0]["subject_token_type"] == "urn:ietf:params:oauth:token-type:jwt"
    said = [claims_of(each["subject_token"]) for each in asked]
    assert [each["preferred_username"] for each in said] == ["robin@acme.example", "sam@acme.example"]
    assert said[0]["iss"] == house.issuer and said[0]["aud"] == token_url
    assert int(said[0]["exp"]) - int(said[0]["iat"]) == 60


@requirement("credentials:identity")
def test_the_identity_header_is_signed_by_the_org_for_this_server_and_opens_nothing_here(
    house: House, upstream: Upstream
):
    from joserfc import jwt
    from joserfc.jwk import KeySet

    server = register(house, upstream, sends_identity=True)
    token = given(house, server)[IDENTITY]
    keys = KeySet.import_key_set(house.client().get("/id/keys").json())
    read = jwt.decode(token, keys, algorithms=["ES256"])
    assert read.header["typ"] == "identity+jwt"
    said = read.claims
    assert said["iss"] == house.issuer and said["aud"] == upstream.url and said["exp"] - said["iat"] == 60
    assert said["preferred_username"] == "sam@acme.example"
    assert said["client_id"] == house.told.apps[0]["consumer_key"]
    headers = {"Authorization": f"Bearer {token}"}
    assert house.client().get("/services/oauth2/userinfo", headers=headers).status_code == 401
    assert house.client().post("/mcp/sobject-reads", headers=headers, json={}).status_code == 401
