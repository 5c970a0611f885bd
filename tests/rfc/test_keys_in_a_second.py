"""A signing key is never taken from under the tokens that it has signed."""

from tests.house import House
from tests.oauth.scenes import add_app, connect, header_of, opens, person
from tests.oauth.test_keys import jwks, rotate
from tests.requirements import requirement


@requirement("openid:signing-keys", "keys:now")
def test_two_rotations_in_one_second_leave_the_tokens_between_them_good(house_on: House):
    client, who = add_app(house_on), person(house_on)
    given = []
    for _ in range(3):
        rotate(house_on, now=True)
        given.append(connect(who, client)["access_token"])
    assert all(opens(client, each) for each in given)
    assert len({header_of(each)["kid"] for each in given}) == 3, "and each signs from its turn on"
    house_on.later(13 * 3600)
    assert [key["kid"] for key in jwks(house_on)] == [header_of(given[-1])["kid"]], "and the last one stays"
