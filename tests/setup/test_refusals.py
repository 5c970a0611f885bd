"""Pages that say no: each with a code that has a page of its own, and a reference under which it is written down."""

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from gatelodge.core import error_codes
from gatelodge.core.told_refusals import KEPT
from tests.conftest import copy_of
from tests.house import House
from tests.oauth.scenes import add_app, person
from tests.people import Person
from tests.requirements import requirement
from tests.setup.offices import another_org, sign_in, words

CODE = re.compile(r"/errors/(GL-\d{4})")
REFERENCE = re.compile(r"<code>([0-7][0-9A-HJKMNP-TV-Z]{25})</code>")
PAGES = Path(__file__).parents[2] / "docs/reference/error-codes.md"


@pytest.fixture
def production(tmp_path: Path, furnished: Path) -> Iterator[House]:
    """The same records behind a node that was not started for development."""
    made = copy_of(furnished, tmp_path / "data")
    made.config = msgspec.structs.replace(made.config, is_development=False)
    with made:
        yield made


def refused_callback(house: House, who: Person) -> str:
    client = add_app(house, label="Notes")
    return who.go(client.authorize_url(redirect_uri="https://evil.example/callback")).text


@pytest.mark.parametrize("number", error_codes.CODES)
@requirement("refusals:code-has-a-page")
def test_every_code_has_its_page_for_everybody_and_in_the_docs(house: House, number: str):
    front, code = house.client(), error_codes.CODES[number]
    page = words(front.get(f"/errors/{number}"))
    for sentence in (code.title, code.plain, code.means, code.fix):
        assert sentence in page
    assert number in words(front.get("/errors"))
    docs = PAGES.read_text("utf-8")
    assert f"## {number}" in docs and code.means in docs


@requirement("refusals:code-has-a-page")
def test_a_code_that_there_is_not_is_said_so(house: House):
    page = house.client().get("/errors/GL-9999")
    assert page.status_code == 404 and "GL-9999" in words(page) and CODE.search(page.text)


@requirement("refusals:has-a-code")
def test_every_kind_of_refusal_page_shows_its_code_and_a_reference(house: House):
    stranger, user, admin = person(house, 1), sign_in(person(house, 2)), sign_in(person(house, 0))
    client = add_app(house)
    said = {
        error_codes.UNKNOWN_CLIENT: stranger.go(client.authorize_url(client_id="3MVG9" + "x" * 80)),
        error_codes.NO_CLIENT: stranger.front.get("/services/oauth2/authorize"),
        error_codes.CALLBACK: stranger.go(client.authorize_url(redirect_uri="https://evil.example/")),
        error_codes.AMBIGUOUS: stranger.front.get("/services/oauth2/authorize?client_id=a&client_id=b"),
        error_codes.EXPIRED: stranger.front.get("/flow?request=nothing"),
        error_codes.SIGN_OUT: stranger.front.get("/services/auth/idp/oidc/logout?client_id=nobody"),
        error_codes.PROVIDER: stranger.front.get("/login/callback"),
        error_codes.FOREIGN_FORM: stranger.front.post("/login", data={"form_token": "x"}),
        error_codes.UNREADABLE: stranger.front.get("/setup/connect?user_code=%ff"),
        error_codes.NO_MCP: user.go(client.authorize_url()),
        error_codes.NO_PERMISSION: user.front.get("/setup/apps"),
        error_codes.NOT_FOUND: admin.front.get("/errors/nothing"),
    }
    for number, page in said.items():
        assert page.status_code >= 400 and CODE.findall(page.text) == [number], (number, page.text)
        assert len(REFERENCE.findall(page.text)) == 1, number
    references = {REFERENCE.findall(page.text)[0] for page in said.values()}
    assert len(references) == len(said)


@requirement("refusals:written-down-for-a-day")
def test_an_administrator_opens_for_a_day_what_was_told_under_a_reference_and_nobody_else_does(house_on: House):
    reference = REFERENCE.findall(refused_callback(house_on, person(house_on, 1)))[0]
    admin, user = sign_in(person(house_on, 0)), sign_in(person(house_on, 2))
    page = admin.front.get(f"/setup/errors/{reference}")
    assert page.status_code == 200
    assert "https://evil.example/callback" in words(page) and error_codes.CALLBACK in words(page)
    assert reference in words(admin.front.get("/setup/search", params={"q": reference.lower()}))
    assert user.front.get(f"/setup/errors/{reference}").status_code == 403
    eve = another_org(house_on)
    assert eve.front.get(f"/o/other/setup/errors/{reference}").status_code == 404
    house_on.later(KEPT + 1)
    assert sign_in(person(house_on, 0)).front.get(f"/setup/errors/{reference}").status_code == 404


@requirement("refusals:plain-half")
def test_an_end_user_of_a_production_org_gets_the_plain_half_and_an_administrator_in_that_browser_the_rest(
    production: House,
):
    client = add_app(production, label="Notes")
    url = client.authorize_url(redirect_uri="https://evil.example/callback")
    for who in (person(production, 1), sign_in(person(production, 2))):
        page = words(who.go(url))
        assert error_codes.CODES[error_codes.CALLBACK].plain in page and error_codes.CALLBACK in page
        assert "evil.example" not in page and "client.example" not in page
    page = sign_in(person(production, 0)).go(url).text
    assert "https://evil.example/callback" in re.sub("</?mark>", "", page) and "Open the app in Setup" in page


@requirement("refusals:bounded")
def test_a_flood_of_refusals_from_one_address_is_told_each_time_and_written_down_thirty_times_a_minute(house: House):
    front, admin = house.client(), sign_in(person(house, 0))
    references = [REFERENCE.findall(front.get("/flow?request=nothing").text)[0] for _ in range(40)]
    kept = [admin.front.get(f"/setup/errors/{each}").status_code == 200 for each in references]
    assert sum(kept) == 30 and kept[0] and not kept[-1]
    house.later(61)
    later = REFERENCE.findall(front.get("/flow?request=nothing").text)[0]
    assert admin.front.get(f"/setup/errors/{later}").status_code == 200
