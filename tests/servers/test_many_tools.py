"""A thousand tools, and tools with hostile texts: their pages stay pages that one can use."""

import html
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from playwright.sync_api import Browser, expect

from gatelodge.setup.servers import showing
from tests import browsing
from tests.generated import MANY
from tests.house import House
from tests.requirements import requirement
from tests.running import Dev
from tests.servers.offering import add_upstream, item, items, offer, reading, tool
from tests.servers.upstreams import Upstream
from tests.servers.upstreams import tool as upstream_tool
from tests.setup.offices import administrator, app_of, send, sent, words

LIST = "/setup/mcp-servers/weather/items"


@requirement("servers:many")
def test_a_thousand_tools_are_found_paged_chosen_and_saved(house: House):
    at = add_upstream(house)
    offer(house, at, *(reading(f"tool_{n:04}", description=f"Number {n}") for n in range(1000)))
    robin = administrator(house)
    page = robin.front.get(LIST)
    assert page.text.count('name="row"') == 50 and "1 to 50 of 1000" in words(page) and len(page.content) < 100_000
    found = robin.front.get(f"{LIST}?words=tool_0999")
    assert found.text.count('name="row"') == 1
    assert send(robin, f"{LIST}?words=tool_0999", **{"on-0": "on"}).status_code == 303
    assert [each.name for each in items(house, at).all if each.is_on] == ["tool_0999"]
    assert send(robin, f"{LIST}?start=950", **{f"on-{n}": "on" for n in range(50)}).status_code == 303
    assert sum(each.is_on for each in items(house, at).all) == 50
    chosen = [f"weather/tool_{n:04}" for n in range(1000)]
    path = f"/setup/apps/{app_of(house).id}/policies"
    assert send(robin, path, which_tools="selected", mcp_tools=chosen).status_code == 303
    assert app_of(house).policies.mcp_tools == tuple(chosen)


@requirement("servers:seen-is-decided")
def test_what_changed_while_the_page_was_open_is_not_decided_and_the_rest_is(house_on: House):
    at = add_upstream(house_on)
    offer(house_on, at, reading("one"), reading("two"))
    robin = administrator(house_on)
    shown = robin.front.get(LIST)
    offer(house_on, at, reading("one", description="Other."), reading("two"))
    answer = robin.front.post(LIST, data=sent(shown.text) | {"on-0": "on", "on-1": "on"})
    assert answer.status_code == 409 and "changed while you looked" in words(answer)
    assert not item(house_on, at, "one").is_on and item(house_on, at, "two").is_on


HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>\u202etxt.exe\u200b\U000e0041 😀 {{ 7*7 }}"


@requirement("servers:hostile-texts")
def test_hostile_texts_are_shown_as_texts_everywhere(house: House):
    at, name = add_upstream(house), "<b>evil</b> \u202ename"
    offer(house, at, tool(name, HOSTILE, title=HOSTILE, inputSchema={"type": HOSTILE}))
    robin = administrator(house)
    policies = f"/setup/apps/{app_of(house).id}/policies"
    for path in (LIST, f"{LIST[:-1]}?kind=tool&name=%3Cb%3Eevil%3C/b%3E%20%E2%80%AEname", policies):
        text = robin.front.get(path).text
        assert "<script>alert" not in text and "<img src=x" not in text and "<b>evil" not in text, path
        if path != policies:
            assert "U+202E right-to-left override" in text and "Hidden characters" in text, path
            assert "\u200b" not in re.sub(r'value="[^"]*"', "", text), path
    offer(house, at, tool(name, HOSTILE * 2))
    assert "Hidden characters" in robin.front.get(LIST).text


@MANY
@given(st.text(max_size=60), st.text(max_size=60))
@requirement("servers:difference")
def test_a_difference_shows_both_texts_whole_and_nothing_of_them_hides(before: str, after: str):
    for text, marked in zip((before, after), showing.marked(before, after), strict=True):
        assert not showing.is_hiding(html.unescape(str(marked)))
        seen = re.sub(r'<span class="unseen">U\+([0-9A-F]+)[^<]*</span>', lambda m: chr(int(m[1], 16)), str(marked))
        assert html.unescape(re.sub(r"</?(?:ins|del)>", "", seen)) == html.unescape(html.escape(text))


@pytest.mark.slow
@requirement("servers:difference", "pages:accessible")
def test_an_administrator_compares_and_takes_a_change_in_a_browser_with_and_without_script(
    browser: Browser, robin: Any, org: Dev
):
    upstream = Upstream(upstream_tool("forecast"))
    with upstream.running() as url:
        for name, options in (("scripted", {}), ("plain", {"java_script_enabled": False})):
            upstream.tools = [upstream_tool("forecast")]
            with browsing.window(browser, state=robin, **options) as window:
                window.goto(f"{org.issuer}/setup/mcp-servers/new")
                window.get_by_label("MCP URL").fill(url)
                window.get_by_label("Label").fill(name)
                window.get_by_label("Allow private addresses").check()
                window.get_by_role("button", name="Create").click()
                window.get_by_label("forecast", exact=True).check()
                window.get_by_role("button", name="Save").click()
                upstream.tools = [upstream_tool("forecast", "Tells the tides.")]
                window.get_by_role("button", name="Look again").click()
                expect(window.get_by_role("main")).to_contain_text("1 has changed, and is held back")
                window.goto(f"{org.issuer}/setup/mcp-servers/{name}/items?state=waiting")
                window.get_by_role("link", name="Compare forecast").click()
                expect(window.locator(".after ins")).to_have_text("tides")
                if not options:
                    assert browsing.faults(window) == []
                window.get_by_role("button", name="Take the new definition").click()
                expect(window.get_by_role("main")).not_to_contain_text("Held back")
                window.get_by_role("button", name="Activate").click()
                expect(window.locator("#live")).to_contain_text("Live on 1 of 1 nodes")
