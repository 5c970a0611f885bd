"""What OpenID Connect Core demands of every provider, where no other test asks."""

import pytest

from tests.house import House
from tests.oauth.scenes import add_app, add_user, claims_of, code_for, connect, person
from tests.requirements import requirement

SCOPES = ("openid", "profile", "refresh_token")


@requirement("openid:leniency")
@pytest.mark.parametrize(
    "preference",
    [
        {"display": "page"}, {"display": "popup"}, {"display": "hologram"}, {"ui_locales": "tlh fr-CA en"},
        {"claims_locales": "tlh fr"}, {"acr_values": "urn:none:such HIGH_ASSURANCE"}, {"login_hint": "nobody@x.example"},
        {"claims": '{"id_token":{"auth_time":{"essential":true}}}'}, {"nonce": "n-0S6_WzA2Mj"},
    ],
    ids=str,
)  # fmt: skip
def test_preferences_that_are_not_followed_fail_no_request(house: House, preference: dict[str, str]):
    client, who = add_app(house, scopes=SCOPES), person(house, 1)
    answer = client.redeem(code_for(who, client, scope="openid", **preference))
    assert answer.status_code == 200 and "auth_time" in claims_of(answer.json()["id_token"])


@requirement("openid:sub")
def test_a_subject_is_short_and_never_somebody_elses(house_on: House):
    subjects = set()
    for _ in range(3):
        who = add_user(house_on)
        said = {
            claims_of(connect(who, add_app(house_on, scopes=SCOPES), scope="openid")["id_token"])["sub"]
            for _ in range(2)
        }
        assert len(said) == 1, "one user is one subject, whichever app asks"
        subjects |= said
    assert len(subjects) == 3 and all(len(each) <= 255 and each.isascii() for each in subjects)
