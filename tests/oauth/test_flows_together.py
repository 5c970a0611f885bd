"""Where grants, keys, policies and people meet: what no single one of them would let through alone."""

import asyncio
from typing import Any

import pytest

from gatelodge.core import credentials, deactivation, rotation, secrets
from gatelodge.core.credentials import Credential
from tests.house import House
from tests.oauth.confidential import SECRET_FLOWS, Confidential, add_confidential, asked
from tests.oauth.flows import app_of, asserted, assertion, give_secret, jwk_set, post, stage
from tests.oauth.scenes import add_app, add_user, change_app, code_for, connect, refused, user_id
from tests.people import OAuthClient, Person, form, tools_list
from tests.requirements import requirement

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"


@requirement("together:no-user-oracle")
@pytest.mark.parametrize(
    "parameters",
    [{}, {"resource": "here"}, {"scope": "profile"}, {"scope": "mcp_api", "resource": "https://evil.example"}],
)
def test_an_app_with_keys_learns_of_nobody_who_is_here(house: House, parameters: dict[str, str]):
    client, who = add_app(house, jwt_bearer_flow=True, public_keys=jwk_set()), add_user(house, "Standard_User")
    sent = parameters | ({"resource": f"{house.issuer}/mcp/sobject-reads"} if "here" in parameters.values() else {})
    told = [
        post(client, {"grant_type": JWT_BEARER, "assertion": assertion(house, client, sub=name)} | sent).json()
        for name in (who.username, "nobody@acme.example")
    ]
    assert told[0] == told[1]


@requirement("together:nul-in-json")
def test_a_statement_for_a_name_with_nul_is_refused_and_no_incident(house: House):
    client = add_app(house, jwt_bearer_flow=True, public_keys=jwk_set())
    refused(
        post(client, {"grant_type": JWT_BEARER, "assertion": assertion(house, client, sub="a\0b")}), "invalid_grant"
    )


@requirement("together:code-without-pkce")
def test_a_code_without_a_challenge_needs_its_redirect_uri(house: House):
    held = add_confidential(house, require_pkce=False, **SECRET_FLOWS)
    who = add_user(house)
    bare = {"code_challenge": None, "code_challenge_method": None}
    for sent, status in ((None, 400), (held.client.redirect_uri, 200)):
        code = code_for(who, held.client, **bare)
        redeemed = {"code_verifier": None, "client_secret": held.secret, "redirect_uri": sent}
        assert held.client.redeem(code, **redeemed).status_code == status
    held = add_confidential(house, **SECRET_FLOWS)
    code = code_for(who, held.client)
    assert held.client.redeem(code, client_secret=held.secret, redirect_uri=None).status_code == 200


@requirement("together:withdrawn-keys")
def test_a_key_that_was_replaced_is_withdrawn_however_old_the_administrators_page(house: House):
    client = add_app(house, **SECRET_FLOWS)
    give_secret(house, client)
    old = app_of(house, client)
    second, secret = stage(house, client)
    house.write(rotation.apply_staged, old, actor="robin", now_ms=house.site.clock.now_ms())
    house.catch_up()
    third, _ = stage(house, second)
    house.write(rotation.apply_staged, old, actor="robin", now_ms=house.site.clock.now_ms())
    house.catch_up()
    assert "client identifier invalid" in refused(second.redeem("x", client_secret=secret), "invalid_client")
    assert app_of(house, third).consumer_key == third.client_id


@requirement("together:one-staged-pair")
def test_of_pairs_staged_at_once_one_is_kept_and_can_be_applied(house_on: House):
    house = house_on
    client = add_app(house, **SECRET_FLOWS)
    give_secret(house, client)
    app, now = app_of(house, client), house.site.clock.now()

    async def staged_at_once() -> list[Any]:
        pairs = (
            Credential(
                client_id=secrets.new_consumer_key(), org_id=app.org_id, app_id=app.id, secret_digest="x",
                made_by="robin", made_at=now, expires_at=now + credentials.STAGED_FOR,
            )
            for _ in range(8)
        )  # fmt: skip
        tries = (house.site.store.run(rotation.stage, app, pair, actor="robin", now_ms=now * 1000) for pair in pairs)
        return await asyncio.gather(*tries, return_exceptions=True)

    told = house.run(staged_at_once())
    assert sum(each is None for each in told) == 1, told
    house.write(rotation.apply_staged, app, actor="robin", now_ms=now * 1000)
    assert len(house.read(credentials.of_app, app.org_id, app.id, now)) == 1


@requirement("together:refresh-after-rotation")
def test_a_refresh_token_from_before_a_rotation_is_told_to_live_as_it_does(house: House):
    held, who = add_confidential(house, **SECRET_FLOWS), add_user(house)
    code = code_for(who, held.client)
    tokens = held.client.redeem(code, client_secret=held.secret).json()
    fresh, secret = stage(house, held.client)
    app = app_of(house, held.client)
    house.write(rotation.apply_staged, app, actor="robin", now_ms=house.site.clock.now_ms())
    house.catch_up()
    now_held = Confidential(fresh, secret)
    assert asked(now_held, tokens["refresh_token"]).json()["active"] is True
    assert asked(now_held, tokens["access_token"]).json() == {"active": False}  # its key is withdrawn
    assert fresh.refresh(tokens["refresh_token"], client_secret=secret).status_code == 200


def device_allowed(house: House, client: OAuthClient, who: Person) -> str:
    """A device code whose user has said yes."""
    begun = client.front.post("/services/oauth2/device", data={"client_id": client.client_id}).json()
    who.sign_in_to_setup()
    page = who.front.get("/setup/connect")
    page = who.front.post("/setup/connect", data=form(page, "/connect") | {"user_code": begun["user_code"]})
    page = who.front.post("/setup/connect", data=form(page, "/connect") | {"answer": "allow"})
    assert page.status_code == 200 and "connected" in page.text, page.text
    return begun["device_code"]


@requirement("together:nothing-outlives-deactivation")
def test_what_was_allowed_to_a_device_does_not_outlive_a_deactivation(house_on: House):
    client, who = add_app(house_on, device_flow=True), add_user(house_on)
    code, now_ms = device_allowed(house_on, client, who), house_on.site.clock.now_ms()
    for change in (deactivation.deactivate, deactivation.activate):
        house_on.write(change, house_on.org.id, user_id(house_on, who), actor="robin", now_ms=now_ms)
    house_on.catch_up()
    said = post(client, {"grant_type": DEVICE, "device_code": code, "client_id": client.client_id})
    refused(said, "invalid_grant")
    assert "refresh_token" in connect(who, client)


@requirement("together:exchange-without-a-person")
def test_a_token_that_an_app_signed_for_can_be_narrowed_where_it_could_be_had(house: House):
    keys = {"jwt_bearer_flow": True, "public_keys": jwk_set(), "token_exchange_flow": True, "token_exchange": True}
    client, who = add_app(house, scopes=("mcp_api", "refresh_token", "profile"), **keys), add_user(house)
    connect(who, client, scope="mcp_api profile")
    sent = {"grant_type": JWT_BEARER, "assertion": assertion(house, client, sub=who.username)}
    subject = post(client, sent).json()["access_token"]
    wanted = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", "subject_token": subject, "scope": "profile",
        "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
    }  # fmt: skip
    narrowed = post(client, wanted | asserted(assertion(house, client)))
    assert narrowed.status_code == 200 and narrowed.json()["scope"] == "profile", narrowed.text
    change_app(house, client, session_level="HIGH_ASSURANCE")
    refused(post(client, wanted | asserted(assertion(house, client))), "invalid_grant")


@requirement("together:lost-scopes")
def test_a_scope_that_an_app_has_lost_opens_nothing_for_the_tokens_that_are_out(house: House):
    client, who = add_app(house, scopes=("mcp_api", "refresh_token", "openid", "email")), add_user(house)
    token = connect(who, client, scope="mcp_api openid email")["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    told = client.front.get("/services/oauth2/userinfo", headers=headers).json()
    server = f"{house.issuer}/mcp/sobject-reads"
    assert tools_list(client.front, server, token).status_code == 200 and told["email"] == who.username
    change_app(house, client, scopes=("openid", "refresh_token"))
    assert tools_list(client.front, server, token).status_code == 403
    told = client.front.get("/services/oauth2/userinfo", headers=headers).json()
    assert told["sub"] and "email" not in told
