"""A device gets in with the help of a person at another one, in Chromium from the code to the token."""

import httpx2
import pytest
from playwright.sync_api import Browser, expect

from tests import browsing
from tests.devices import Device
from tests.people import tools_list
from tests.requirements import requirement
from tests.running import Dev


@pytest.mark.slow
@pytest.mark.parametrize("has_script", [True, False], ids=["with script", "without"])
@requirement("journey:device", "device:flow")
def test_a_device_is_let_in_by_a_person_who_enters_its_code_signs_in_and_confirms(
    dev: Dev, browser: Browser, has_script: bool
):
    device, user = Device(dev), dev.user(1)
    code = device.codes["user_code"]
    assert device.poll().json()["error"] == "authorization_pending"
    with browsing.window(browser, java_script_enabled=has_script) as page:
        page.goto(device.codes["verification_uri"])
        page.get_by_label("Code").fill(code.lower().replace("-", " "))
        page.keyboard.press("Enter")
        browsing.fill_sign_in(page, user)
        expect(page.get_by_label("Code")).to_have_value(code)
        page.get_by_role("button", name="Continue").click()
        expect(page.get_by_role("heading")).to_have_text("Allow Kiosk?")
        for said in (code, user["username"], "SObject Reads"):
            expect(page.get_by_role("main")).to_contain_text(said)
        page.get_by_role("button", name="Allow").click()
        expect(page.get_by_role("heading")).to_have_text("The device is connected")
        tokens = device.poll().json()
        with httpx2.Client(timeout=20) as http:
            assert tools_list(http, dev.mcp_url, tokens["access_token"]).status_code == 200
        page.goto(f"{dev.issuer}/setup/connections")
        expect(page.get_by_role("region", name="Kiosk", exact=True)).to_contain_text("SObject Reads")


@pytest.mark.slow
@requirement("journey:device", "device:deny")
def test_a_link_with_the_code_in_it_still_asks_and_who_denies_is_heard(dev: Dev, browser: Browser):
    device = Device(dev)
    with browsing.window(browser) as page:
        page.goto(device.codes["verification_uri_complete"])
        expect(page.get_by_label("Code")).to_have_value(device.codes["user_code"])
        page.get_by_role("button", name="Continue").click()
        browsing.fill_sign_in(page, dev.user(1))
        page.get_by_role("button", name="Continue").click()
        page.get_by_role("button", name="Deny").click()
        expect(page.get_by_role("heading")).to_have_text("Nothing was allowed")
    assert device.poll().json()["error"] == "access_denied"
