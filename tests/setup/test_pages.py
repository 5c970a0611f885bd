"""Every page in Chromium, in an org with something on each: both themes, wide and narrow, with and without JavaScript, by
keyboard, in forced colours, with wider text.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from gatelodge.setup.tree import TREE
from tests import browsing
from tests.postgres import _free_port as free_port
from tests.requirements import requirement
from tests.running import Dev, Node, running, running_node
from tests.setup import furnishing, places, seeing

LOOKED_AT = (
    "pages:accessible", "pages:fit", "pages:quiet-console", "pages:by-keyboard", "pages:forced-colours",
    "pages:wider-text", "pages:without-motion", "pages:targets",
)  # fmt: skip
OWN = [page for page in TREE if not page.permissions]
"""Pages of everybody's own."""


@pytest.fixture(scope="module")
def org(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    """Not an empty one: a table without rows has no fault."""
    data, port = tmp_path_factory.mktemp("furnished") / "data", free_port()
    url = f"http://localhost:{port}"
    furnishing.furnish(data, url)
    flags = ["dev", "--json", "--port", str(port), "--data", str(data), "--public-url", url]
    with running(flags, f"{url}/readyz") as (process, line):
        yield Dev(process, json.loads(line), data)


@requirement("pages:none-forgotten")
def test_every_row_for_people_is_among_the_pages_that_are_looked_at():
    shown = {row.path for row in places.ROWS if "GET" in row.methods} - set(places.REDIRECTS)
    assert shown == set(places.BY_ROW) | {"/setup/first"}


@pytest.mark.slow
@pytest.mark.parametrize("go", {**places.BY_ROW, **places.BY_STATE}.values(), ids={**places.BY_ROW, **places.BY_STATE})
@requirement(*LOOKED_AT)
def test_an_administrators_pages_are_accessible_and_fit(page: Page, org: Dev, go: places.GO):
    go(page, org)
    assert browsing.faults(page) == []
    assert seeing.faults(page) == []


@pytest.mark.slow
@pytest.mark.parametrize("go", places.FOR_A_STRANGER.values(), ids=places.FOR_A_STRANGER)
@requirement(*LOOKED_AT)
def test_the_pages_of_sign_in_are_accessible_and_fit(browser: Browser, org: Dev, go: places.GO):
    with browsing.window(browser) as page:
        go(page, org)
        assert browsing.faults(page) == []
        assert seeing.faults(page) == []


@pytest.mark.slow
@requirement("pages:fit", "pages:hostile-text")
def test_a_name_of_markup_emoji_and_one_endless_word_fits_every_page_of_its_app(page: Page, org: Dev):
    page.goto(f"{org.issuer}/setup/apps")
    page.locator(".apps td a", has_text=furnishing.HOSTILE).first.click()
    page.wait_for_url("**/setup/apps/0xI*")
    at = page.url
    page.set_viewport_size(browsing.NARROW)
    for below in ("", "/edit", "/delete", "/policies", "/connect", "/users", "/activity", "/usage"):
        page.goto(f"{at}{below}")
        expect(page.get_by_role("heading", level=1)).to_contain_text(furnishing.HOSTILE)
        assert browsing.overflow(page) == 0, below


@pytest.mark.slow
@requirement("pages:by-keyboard")
def test_the_frame_of_every_page_is_walked_through_by_keyboard_too(page: Page, org: Dev):
    page.goto(f"{org.issuer}/setup")
    for size in (seeing.WIDE, browsing.NARROW):
        page.set_viewport_size(size)
        assert seeing.by_keyboard(page, "body") == []


@pytest.mark.slow
@requirement("pages:accessible", "pages:fit", "setup:permissions")
def test_a_user_without_permissions_sees_pages_that_say_so(browser: Browser, org: Dev):
    with browsing.window(browser, state=browsing.signed_in(browser, org, 2)) as page:
        for name, go in places.FOR_A_USER.items():
            go(page, org)
            assert browsing.faults(page) == [], name
            expect(page.get_by_role("navigation", name="Setup").get_by_role("link")).to_have_count(len(OWN))
        expect(page.get_by_role("main")).to_contain_text("needs the permission “Create, edit, and delete External")


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A fresh production org, which nobody administers yet."""
    folder, port = tmp_path_factory.mktemp("production"), free_port()
    database, key = str(folder / "gatelodge.db"), folder / "master.key"
    with running_node(database, key, f"http://localhost:{port}", port) as node:
        yield node


@pytest.mark.slow
@requirement("setup:first-administrator", "setup:empty-list", "pages:accessible", "pages:fit")
def test_the_one_time_link_makes_the_first_administrator_who_finds_an_empty_list(browser: Browser, production: Node):
    link = re.search(r"http://\S+/setup/first\?token=\S+", production.said)
    assert link, production.said
    with browsing.window(browser) as page:
        page.goto(link[0])
        assert browsing.faults(page) == []
        page.get_by_label("Your name").fill("Ada Byron")
        page.get_by_label("Username").fill("ada")
        page.get_by_label("Password").fill("a long enough password")
        page.get_by_role("button", name="Create the administrator").click()
        expect(page.get_by_label("Username")).to_have_value("ada")
        expect(page.get_by_label("Username")).to_have_accessible_description(re.compile("form of an e-mail address"))
        assert browsing.faults(page) == []
        page.get_by_label("Username").fill("ada@acme.example")
        page.get_by_label("Password").fill("a long enough password")
        page.get_by_role("button", name="Create the administrator").click()
        page.goto(f"{production.public_url}/setup/apps")
        expect(page.get_by_role("heading", name="No apps yet")).to_be_visible()
        expect(page.locator(".empty a")).to_have_count(10)
        assert browsing.faults(page) == []
    with browsing.window(browser) as page:
        page.goto(link[0])
        expect(page).to_have_url(f"{production.public_url}/login")


@pytest.mark.slow
@requirement("pages:without-script", "pages:fit")
def test_without_javascript_every_page_says_the_same_and_offers_nothing_that_needs_it(
    page: Page, plain: Page, org: Dev
):
    for name, go in {**places.BY_ROW, **places.BY_STATE}.items():
        go(page, org)
        go(plain, org)
        assert plain.get_by_role("heading").all_inner_texts() == page.get_by_role("heading").all_inner_texts(), name
        plain.set_viewport_size(browsing.NARROW)
        assert browsing.overflow(plain) == 0, name
        assert plain.locator("[data-copy]:visible").count() == 0, name


@pytest.mark.slow
@requirement("pages:reduced-colours")
def test_in_forced_colours_what_is_selected_still_shows(browser: Browser, robin: Any, org: Dev, tmp_path: Path):
    with browsing.window(browser, state=robin, forced_colors="active") as page:
        places.BY_ROW["/setup/apps/{app_id}"](page, org)
        border = page.locator(".st").first.evaluate("node => getComputedStyle(node).borderTopStyle")
        assert border == "solid"
