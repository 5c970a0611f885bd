"""Draws the pictures of this folder from an org in which things have happened. Run it with the Python of .venv."""
# ruff: noqa: INP001

import json
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlencode

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent.parent))

from playwright.sync_api import Browser, Page  # noqa: E402

from tests import browsing  # noqa: E402
from tests.running import Dev, running  # noqa: E402
from tests.setup import furnishing  # noqa: E402

PORT = 8765
WINDOW = {"width": 1440, "height": 860}
TALL = {"width": 1440, "height": 1000}


def main() -> None:
    """Start the org where the documents say it is, and go through it."""
    url = f"http://localhost:{PORT}"
    with tempfile.TemporaryDirectory() as folder:
        furnishing.furnish(Path(folder), url)
        started = running(["dev", "--json", "--data", folder, "--port", str(PORT)], f"{url}/readyz")
        with started as (process, told), browsing.chromium() as browser:
            draw(browser, Dev(process, json.loads(told), Path(folder)))


def draw(browser: Browser, dev: Dev) -> None:
    """One picture after another."""
    state = browsing.signed_in(browser, dev)
    for scheme in ("light", "dark"):
        with browsing.window(browser, state=state, viewport=WINDOW, color_scheme=scheme) as page:
            page.goto(f"{dev.issuer}/setup/apps")
            keep(page, f"apps-{scheme}")
    with browsing.window(browser, state=state, viewport=WINDOW) as page:
        page.goto(f"{dev.issuer}/setup/apps/new?preset=claude")
        keep(page, "new-app")
        page.goto(authorize(dev, "http://127.0.0.1:8080/callback"))
        keep(page, "refused", "main")
    with browsing.window(browser, viewport=TALL) as page:
        page.goto(authorize(dev, "http://localhost:8080/callback"))
        browsing.fill_sign_in(page, dev.user(1))
        keep(page, "consent", "main")


def authorize(dev: Dev, redirect_uri: str) -> str:
    """What Claude Code opens in the browser."""
    asked = {
        "response_type": "code",
        "client_id": dev.key("claude-code"),
        "redirect_uri": redirect_uri,
        "scope": "mcp_api refresh_token",
        "resource": dev.mcp_url,
        "code_challenge": "a" * 43,
        "code_challenge_method": "S256",
    }
    return f"{dev.issuer}/services/oauth2/authorize?{urlencode(asked)}"


def keep(page: Page, name: str, part: str = "") -> None:
    """Save the window, or one part of it with some air around."""
    page.wait_for_load_state("networkidle")
    clip = None
    if part:
        box = page.locator(part).bounding_box()
        assert box is not None, f"there is no {part} on {page.url}"
        clip = {"x": box["x"] - 48, "y": box["y"] - 32, "width": box["width"] + 96, "height": box["height"] + 64}
    page.screenshot(path=HERE / f"{name}.png", clip=clip)


if __name__ == "__main__":
    main()
