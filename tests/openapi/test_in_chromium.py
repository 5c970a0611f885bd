"""A REST API is added in a browser, its operations are looked at and chosen, and one is called by an app."""

import json
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Browser, Page, expect

from tests import browsing
from tests.openapi.apis import DOCUMENT, Api
from tests.people import OAuthClient, Person, call_tool
from tests.requirements import requirement
from tests.running import Dev

WAYS: tuple[tuple[str, dict[str, Any]], ...] = (("scripted", {}), ("plain", {"java_script_enabled": False}))
CALLBACK = "http://localhost:9/callback"


def called(org: Dev, server: str, tool: str, *each: dict[str, Any]) -> list[dict[str, Any]]:
    """What an app that a person allows gets from a tool, for each of these arguments."""
    with httpx2.Client(base_url=org.issuer, timeout=20) as http:
        user = org.user(0)
        who = Person(http, user["username"], user["password"])
        key = org.new_app(f"Caller of {server}", "--callback", CALLBACK)
        client = OAuthClient(front=http, issuer=org.issuer, client_id=key, redirect_uri=CALLBACK)
        url = f"{org.issuer}/mcp/{server}"
        code = who.allow(client.authorize_url(resource=url))["code"]
        token = client.redeem(code).json()["access_token"]
        return [call_tool(http, url, token, tool, arguments).json()["result"] for arguments in each]


def add(window: Page, org: Dev, label: str, url: str, document: str = "") -> None:
    """The form, filled in: with the URL of the document, or with the document itself."""
    window.goto(f"{org.issuer}/setup/mcp-servers/new?kind=openapi")
    window.get_by_label("Base URL of the API").fill(url)
    window.get_by_label("Label").fill(label)
    if document:
        window.get_by_label("Or the document itself").fill(document)
    else:
        window.get_by_label("URL of the document").fill(f"{url}/openapi.json")
    window.get_by_label("Allow private addresses").check()
    window.get_by_role("button", name="Create").click()


@pytest.mark.slow
@requirement("openapi:setup", "pages:accessible")
def test_an_api_is_added_its_operations_are_chosen_and_one_is_called(browser: Browser, robin: Any, org: Dev):
    api = Api()
    with api.running() as url:
        for name, options in WAYS:
            with browsing.window(browser, state=robin, **options) as window:
                window.goto(f"{org.issuer}/setup/mcp-servers/new")
                window.get_by_role("link", name="REST API (OpenAPI)").click()
                expect(window.get_by_label("URL of the document")).to_be_visible()
                if not options:
                    assert browsing.faults(window) == []
                add(window, org, name, url, "" if options else json.dumps(DOCUMENT))
                main = window.get_by_role("main")
                expect(main).to_contain_text("listPets")
                expect(window.get_by_label("getPet", exact=True)).not_to_be_checked()
                window.get_by_label("getPet", exact=True).check()
                window.get_by_role("button", name="Save", exact=True).click()
                expect(window.get_by_label("getPet", exact=True)).to_be_checked()
                expect(window.get_by_label("createPet", exact=True)).not_to_be_checked()
                if not options:
                    assert browsing.faults(window) == []
                window.get_by_role("link", name="Details getPet").click()
                expect(main).to_contain_text("What is sent")
                expect(main).to_contain_text("/pets/{petId}")
                if not options:
                    assert browsing.faults(window) == []
                window.goto(f"{org.issuer}/setup/mcp-servers/{name}")
                window.get_by_role("button", name="Activate").click()
                expect(main).to_contain_text("Active")
                found, refused = called(org, name, "getPet", {"petId": "7"}, {"petId": "../users"})
                assert json.loads(found["content"][0]["text"]) == {"said": "GET"}
                assert api.asked[-1]["target"] == "/v1/pets/7"
                assert refused["isError"] and "can't hold /" in refused["content"][0]["text"]


@pytest.mark.slow
@requirement("openapi:setup")
def test_what_is_wrong_with_a_document_stands_beside_its_field_and_what_was_typed_stays(
    browser: Browser, robin: Any, org: Dev
):
    for _, options in WAYS:
        with browsing.window(browser, state=robin, **options) as window:
            add(window, org, "Old", "https://api.example", '{"swagger": "2.0"}')
            expect(window.locator("#document-error")).to_contain_text("says Swagger 2.0")
            expect(window.get_by_label("Or the document itself")).to_have_value('{"swagger": "2.0"}')
            expect(window.get_by_label("Base URL of the API")).to_have_value("https://api.example")
