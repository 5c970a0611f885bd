"""Where Setup and the command line do the same, and where two administrators do it at once."""

from pathlib import Path

from gatelodge.cli.verbs import perform
from gatelodge.core import keys, users
from gatelodge.core.permissions import MANAGE_USERS
from tests.house import House
from tests.requirements import requirement
from tests.setup.offices import add_user, administrator, audited, officer, send, token, words


@requirement("together:setup-rotates-alike")
def test_a_key_that_setup_retires_stays_as_long_and_is_written_down_like_one_of_the_command_line(house: House):
    stays, told = [], []
    for rotate in (by_setup, by_command):
        before = {key.kid for key in house.read(keys.of_org, house.org.id, house.site.clock.now())}
        rotate(house)
        house.catch_up()
        found = house.read(keys.of_org, house.org.id, house.site.clock.now())
        fresh = next(key for key in found if key.kid not in before)
        retired = max(key.gone_at for key in found if key.gone_at is not None)
        stays.append(retired - fresh.signs_from)
        told.append([tag for _, tag, _ in audited(house, fresh.kid)])
        house.later(2 * keys.PUBLISHED_BEFORE)
    assert stays[0] == stays[1] and told[0] == told[1] == ["org:signing_key:rotate"]


def by_setup(house: House) -> None:
    assert send(administrator(house), "/setup/org", signing_algorithm="RS256").status_code == 303


def by_command(house: House) -> None:
    house.run(perform(house.site, "keys rotate", {"algorithm": "", "now": False}))


@requirement("together:every-cookie-is-secure")
def test_the_colour_schemes_cookie_is_secure_on_https_too(tmp_path: Path):
    with House(tmp_path / "data", public_url="https://localhost:8765") as house:
        robin = administrator(house)
        answer = robin.front.post("/setup/theme", data={"form_token": token(robin), "theme": "dark"})
        (cookie,) = answer.headers.get_list("set-cookie")
        assert {"Secure", "HttpOnly", "SameSite=lax"} <= set(cookie.split("; "))


@requirement("together:no-way-up")
def test_who_manages_users_gets_no_link_to_an_administrators_password(house: House):
    robin, clerk = administrator(house), officer(house, MANAGE_USERS)
    above = users_by_name(house)[robin.username]
    for act in ("reset-link", "remove-factors"):
        said = clerk.front.post(f"/setup/users/{above}", data={"form_token": token(clerk), "act": act})
        assert said.status_code == 403 and "/login/reset" not in said.text
        assert "may do more than you" in words(said)
    beside = add_user(house, "pat@acme.example", "Standard_User")
    said = clerk.front.post(f"/setup/users/{beside}", data={"form_token": token(clerk), "act": "reset-link"})
    assert said.status_code == 403  # a standard user may use MCP servers, and the clerk may not
    nobody = add_user(house, "kit@acme.example")
    said = clerk.front.post(f"/setup/users/{nobody}", data={"form_token": token(clerk), "act": "reset-link"})
    assert "/login/reset?token=" in said.text
    said = robin.front.post(f"/setup/users/{beside}", data={"form_token": token(robin), "act": "reset-link"})
    assert "/login/reset?token=" in said.text


def users_by_name(house: House) -> dict[str, str]:
    """The ids of the org's users."""
    return {user.username: user.id for user in house.read(users.in_order, house.org.id)}
