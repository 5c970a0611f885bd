"""An upstream with a fixed header, and a database of one's own, set up in a browser with and without script."""

import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests import browsing
from tests.requirements import requirement
from tests.running import Dev
from tests.servers.upstreams import Upstream
from tests.servers.upstreams import tool as upstream_tool

KEY = "Bearer sk-live-0123456789abcdef"
WAYS: tuple[tuple[str, dict[str, Any]], ...] = (("scripted", {}), ("plain", {"java_script_enabled": False}))


def enter_secret(window: Page, org: Dev, name: str) -> None:
    window.goto(f"{org.issuer}/setup/mcp-servers/{name}/settings")
    window.get_by_label("Credential").select_option("header")
    window.get_by_role("button", name="Save").click()
    window.get_by_role("link", name="Credential", exact=True).click()
    if window.get_by_role("link", name="Verify it").count():
        window.get_by_role("link", name="Verify it").click()
        window.get_by_label("Password").fill(org.user(0)["password"])
        window.keyboard.press("Enter")
    window.get_by_label("Enter it").fill(KEY)
    window.get_by_role("button", name="Keep it").click()
    expect(window.get_by_role("main")).to_contain_text("••••cdef")


@pytest.mark.slow
@requirement("servers:read-with-credential", "servers:conditions", "pages:accessible")
def test_an_upstream_with_a_fixed_header_is_set_up_with_and_without_script(browser: Browser, robin: Any, org: Dev):
    upstream = Upstream(upstream_tool("forecast"), upstream_tool("send_alert", reads=False))
    upstream.wants = KEY
    with upstream.running() as url:
        for name, options in WAYS:
            with browsing.window(browser, state=robin, **options) as window:
                window.goto(f"{org.issuer}/setup/mcp-servers/new")
                window.get_by_label("MCP URL").fill(url)
                window.get_by_label("Label").fill(name)
                window.get_by_label("Allow private addresses").check()
                window.get_by_role("button", name="Create").click()
                enter_secret(window, org, name)
                window.get_by_role("button", name="Look again").click()
                expect(window.get_by_role("main")).to_contain_text("2 are new")
                window.get_by_role("link", name=re.compile("What it offers")).first.click()
                window.get_by_role("button", name="Turn on all that only read").click()
                expect(window.get_by_label("forecast", exact=True)).to_be_checked()
                expect(window.get_by_label("send_alert", exact=True)).not_to_be_checked()
                window.get_by_role("link", name="Details forecast").click()
                window.get_by_label("Ask a person first").check()
                window.get_by_role("button", name="Save").click()
                if not options:
                    assert browsing.faults(window) == []
                window.get_by_role("link", name="Approval", exact=True).click()
                expect(window.locator(".chip")).to_have_text(["forecast"])
                window.get_by_role("button", name="Activate").click()
                expect(window.locator("#live")).to_contain_text("Live on 1 of 1 nodes")


@pytest.mark.slow
@requirement("records:setup", "pages:accessible")
def test_a_database_is_shown_as_records_with_and_without_script(browser: Browser, robin: Any, org: Dev):
    folder = Path(org.data) / "records"
    folder.mkdir(exist_ok=True)
    with sqlite3.connect(folder / "crm.db") as made:
        made.execute("CREATE TABLE accounts (id INTEGER PRIMARY KEY, name TEXT NOT NULL)")
        made.execute("CREATE TABLE loose (what TEXT)")
    made.close()
    for name, options in WAYS:
        with browsing.window(browser, state=robin, **options) as window:
            window.goto(f"{org.issuer}/setup/mcp-servers/new?kind=records")
            window.get_by_label("Database URL").fill("sqlite:///crm.db")
            window.get_by_label("Label").fill(f"crm {name}")
            window.get_by_role("button", name="Create").click()
            expect(window.get_by_role("main")).to_contain_text("1 object was found.")
            window.get_by_label("Names, labels, and what is hidden").fill('[objects.accounts]\nname = "Customer"')
            window.get_by_role("button", name="Check it").click()
            expect(window.locator(".chip")).to_have_text(["Customer"])
            if not options:
                assert browsing.faults(window) == []
            window.get_by_role("button", name="Save").click()
            expect(window.locator(".chip")).to_have_text(["Customer"])
