"""A page of another origin in Chromium, which decides by itself what the page may send and read."""

import functools
import os
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from playwright.sync_api import Page, sync_playwright

from tests.requirements import requirement
from tests.running import Dev

ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
FETCH = """async ([url, options]) => {
    try {
        const answer = await fetch(url, options);
        return {status: answer.status, text: await answer.text(), challenge: answer.headers.get("www-authenticate")};
    } catch (error) { return {status: 0, text: String(error), challenge: null}; }
}"""
MCP = {
    "method": "POST",
    "headers": {
        "Content-Type": "application/json", "Authorization": "Bearer x", "MCP-Protocol-Version": "2026-07-28",
        "Mcp-Method": "tools/list",
    },
    "body": '{"jsonrpc": "2.0", "id": 1, "method": "tools/list"}',
}  # fmt: skip


class Quiet(SimpleHTTPRequestHandler):
    """Files, and no word about it."""

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing."""


@pytest.fixture
def origin(tmp_path: Path) -> Iterator[str]:
    """Where the page is from: this computer, but another port, so another origin."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("<!doctype html><title>A client in a page</title>")
    made = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(tmp_path / "site")))
    serving = threading.Thread(target=made.serve_forever)
    serving.start()
    yield f"http://localhost:{made.server_port}"
    made.shutdown()
    serving.join()
    made.server_close()


@pytest.fixture
def page(origin: str) -> Iterator[Page]:
    path = os.environ.get("GATELODGE_TEST_CHROMIUM", "/usr/bin/chromium")
    assert Path(path).exists(), f"the tests need Chromium at {path}: on Debian, apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        opened = browser.new_page()
        opened.goto(f"{origin}/index.html")
        yield opened
        browser.close()


@requirement("cors:any-origin", "cors:mcp-servers", "cors:nothing-else")
@pytest.mark.slow
def test_a_client_in_a_page_discovers_and_calls_what_it_may_and_nothing_else(
    page: Page, origin: str, own_dev: Dev, gatelodge: Callable[..., "CompletedProcess[str]"]
):
    issuer = own_dev.issuer

    def fetched(path: str, **options: Any) -> dict[str, Any]:
        return page.evaluate(FETCH, [f"{issuer}{path}", options])

    sent = {"method": "POST", "headers": {"Content-Type": "application/x-www-form-urlencoded", "DPoP": "x"}}
    assert issuer in fetched("/.well-known/oauth-authorization-server")["text"]
    assert issuer in fetched("/.well-known/oauth-protected-resource/mcp/sobject-reads")["text"]
    assert fetched("/id/keys")["status"] == 200
    assert "invalid_client" in fetched("/services/oauth2/token", body="grant_type=x", **sent)["text"]
    assert "invalid_client" in fetched("/services/oauth2/revoke", body="token=x", **sent)["text"]
    userinfo = fetched("/services/oauth2/userinfo", headers={"Authorization": "Bearer x"})
    assert userinfo["status"] == 401 and "invalid_token" in userinfo["challenge"]
    for path in ("/services/oauth2/introspect", "/setup", "/flow"):
        assert fetched(path)["status"] == 0, path
    assert fetched("/mcp/sobject-reads", **MCP)["status"] == 0
    allowed = gatelodge("server", "allow-origin", "sobject-reads", origin, "--data", str(own_dev.data))
    assert allowed.returncode == 0, allowed.stderr
    answers = (fetched("/mcp/sobject-reads", **MCP) for _ in range(200))
    challenged = next(answer for answer in answers if answer["status"])  # within a second: the feed
    assert challenged["status"] == 401 and "resource_metadata" in challenged["challenge"]
