"""Bound tokens, where two RFCs meet: what introspection tells of them, and what is no proof."""

from gatelodge.core import rotation
from tests.house import House
from tests.oauth.confidential import SECRET_FLOWS, Confidential, add_confidential, introspect
from tests.oauth.flows import EC, app_of, grant, proof, stage
from tests.oauth.scenes import code_for, person
from tests.requirements import requirement


@requirement("rfc7662:bound")
def test_introspection_names_the_key_and_the_type_of_a_bound_token(house_on: House):
    app, robin = add_confidential(house_on, **SECRET_FLOWS), person(house_on)
    url = f"{house_on.issuer}/services/oauth2/token"
    sent = grant(app.client, code_for(robin, app.client)) | app.post
    body = app.client.front.post(url, data=sent, headers={"DPoP": proof(house_on, url)}).json()
    for kind in ("access_token", "refresh_token"):
        told = introspect(app, body[kind])
        assert told["active"] and told["cnf"] == {"jkt": EC.thumbprint()}, kind
    assert introspect(app, body["access_token"])["token_type"] == "DPoP"
    plain = app.client.redeem(code_for(robin, app.client), client_secret=app.secret).json()
    assert "cnf" not in introspect(app, plain["access_token"])


@requirement("rfc9449:proof")
def test_two_proofs_in_one_request_are_none(house_on: House):
    app, robin = add_confidential(house_on), person(house_on)
    url = f"{house_on.issuer}/services/oauth2/token"
    sent = {"client_id": app.client.client_id} | grant(app.client, code_for(robin, app.client))
    twice = [("DPoP", proof(house_on, url)), ("DPoP", proof(house_on, url))]
    answer = app.client.front.post(url, data=sent, headers=twice)
    assert answer.status_code == 400 and answer.json()["error"] == "invalid_dpop_proof"
    assert app.client.front.post(url, data=sent, headers=twice[:1]).status_code == 200, "and nothing was used up"


@requirement("introspect:what-is-told", "clients:staged-refresh")
def test_a_refresh_token_of_the_key_before_is_told_active_as_long_as_it_works(house_on: House):
    app, robin = add_confidential(house_on, **SECRET_FLOWS), person(house_on)
    held = app.client.redeem(code_for(robin, app.client), client_secret=app.secret).json()
    staged, secret = stage(house_on, app.client)
    house_on.write(
        rotation.apply_staged, app_of(house_on, app.client), actor="robin", now_ms=house_on.site.clock.now_ms()
    )
    house_on.catch_up()
    applied = Confidential(staged, secret)
    assert introspect(applied, held["refresh_token"])["active"]
    assert introspect(applied, held["access_token"]) == {"active": False}, "it names a key that is no more"
    assert staged.refresh(held["refresh_token"], client_secret=secret).status_code == 200
