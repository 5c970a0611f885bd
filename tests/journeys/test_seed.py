"""The journey that must always work: an administrator registers an app in Setup, and a client uses it for a user."""

import json
import re

import pytest
from playwright.sync_api import Browser

from tests import browsing
from tests.journeys import setup_pages as setup
from tests.journeys.python_client import PythonClient
from tests.requirements import requirement
from tests.running import Dev

CALLBACK = "https://claude.ai/api/mcp/auth_callback"
SCOPES = ("Access MCP servers (mcp_api)", "Perform requests at any time (refresh_token)")
JWT = "Issue JSON Web Token (JWT)-based access tokens for named users"
PKCE = "Require Proof Key for Code Exchange (PKCE) extension for Supported Authorization Flows"
ROTATION = "Enable Refresh Token Rotation"
OTHERS = (
    "Issue access tokens in access_token parameter",
    "Enable Client Credentials Flow",
    "Require Secret for Web Server Flow",
    "Require Secret for Refresh Token Flow",
    "Enable Authorization Code and Credentials Flow",
)


@pytest.mark.slow
@requirement("journey:seed", "journey:python-sdk")
def test_an_app_made_in_setup_lets_a_client_call_a_tool_for_a_user(dev: Dev, browser: Browser):
    with browsing.window(browser) as page:
        setup.sign_in_to_setup(page, dev)
        setup.quick_find(page, "external client", then="External Client App Manager")  # 1
        setup.click_new(page)  # 2
        setup.fill_basic_information(
            page, External_Client_App_Name="Acme assistant", Contact_Email="it@acme.example"
        )  # 3
        setup.enable_oauth(page)  # 4
        setup.enter_callback_url(page, CALLBACK)  # 5
        setup.include_scopes(page, *SCOPES)  # 6
        setup.choose_security(page, select=(JWT, PKCE), selected=(ROTATION,), deselected=OTHERS)  # 7
        setup.create(page)  # 8
        assert re.fullmatch(r"Live on 1 of 1 nodes, after \d+ ms", setup.live_on(page))  # the page's last note
        key = setup.consumer_key(page)  # 9
        assert len(key) == 85 and key.startswith("3MVG9")

    client = PythonClient(dev.mcp_url, key, CALLBACK, "2026-07-28")  # paste both into the client
    client.begin_calling("soqlQuery", {"q": "SELECT COUNT() FROM Account"})
    with browsing.window(browser) as page:
        client.receive(setup.sign_in_and_allow(page, client.page_to_open(), dev.user(1), CALLBACK))
    assert json.loads(client.result().content[0].text)["totalSize"] == 400
