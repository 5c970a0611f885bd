"""Known MCP clients, as data: their callback URLs and how each is connected. Dated, since clients change."""

from typing import Literal

import msgspec


class Preset(msgspec.Struct, frozen=True, kw_only=True):
    """One MCP client. ``callback_urls`` fill the form; ``asks_for_url``: its URL must be pasted from the client, and
    begins with one of ``pasted``.

    ``place`` is where in the client to go. ``paste`` is what to paste there, a command or a file's content, with
    {url}, {key} and {name} to be filled in; "" where a person fills in a form of the client.
    """

    name: str
    label: str
    hint: str
    tile: str
    callback_urls: tuple[str, ...]
    checked: str
    runs: Literal["here", "in a cloud"] = "here"
    asks_for_url: bool = False
    pasted: tuple[str, ...] = ()
    place: str = ""
    paste: str = ""


PRESETS = (
    Preset(
        name="postman",
        label="Postman app",
        hint="Desktop, over HTTP",
        tile="Po",
        callback_urls=("https://oauth.pstmn.io/v1/callback",),
        checked="2026-11-23",
        place="New > MCP > HTTP; Authorization: OAuth 2.0, Authorization Code (With PKCE), SHA-256, no secret",
    ),
    Preset(
        name="postman-web",
        label="Postman web",
        hint="In the browser",
        tile="Pw",
        callback_urls=("https://oauth.pstmn.io/v1/browser-callback",),
        checked="2026-11-23",
        runs="in a cloud",
        place="New > MCP > HTTP; Authorization: OAuth 2.0, Authorization Code (With PKCE), SHA-256, no secret;"
        " Authorize using browser selected",
    ),
    Preset(
        name="cursor",
        label="Cursor",
        hint="Desktop and web agents",
        tile="Cu",
        callback_urls=(
            "cursor://anysphere.cursor-mcp/oauth/callback",
            "http://localhost:8787/callback",
            "https://www.cursor.com/agents/mcp/oauth/callback",
        ),
        checked="2026-11-23",
        place="~/.cursor/mcp.json",
        paste='{{"mcpServers": {{"{name}": {{"url": "{url}", "auth": {{"CLIENT_ID": "{key}"}}}}}}}}',
    ),
    Preset(
        name="claude",
        label="Claude",
        hint="Web and desktop",
        tile="Cl",
        callback_urls=("https://claude.ai/api/mcp/auth_callback", "https://claude.com/api/mcp/auth_callback"),
        checked="2026-11-23",
        runs="in a cloud",
        place="Settings > Connectors > Add custom connector; the client id under Advanced settings",
    ),
    Preset(
        name="chatgpt",
        label="ChatGPT",
        hint="Paste its URL",
        tile="Gp",
        callback_urls=(),
        checked="2026-11-23",
        runs="in a cloud",
        asks_for_url=True,
        pasted=("https://chatgpt.com/connector/oauth/", "https://chatgpt.com/connector_platform_oauth_redirect"),
        place="Settings > Apps > Create app; Registration method: User-defined OAuth client",
    ),
    Preset(
        name="vscode",
        label="VS Code",
        hint="Copilot agents",
        tile="Vs",
        callback_urls=(
            "http://127.0.0.1:33418",
            "http://127.0.0.1:33418/",
            "https://vscode.dev/redirect",
            "https://insiders.vscode.dev/redirect",
        ),
        checked="2026-11-23",
        place=".vscode/mcp.json",
        paste='{{"servers": {{"{name}": {{"type": "http", "url": "{url}", "oauth": {{"clientId": "{key}"}}}}}}}}',
    ),
    Preset(
        name="claude-code",
        label="Claude Code",
        hint="In the terminal",
        tile="Cc",
        callback_urls=("http://localhost:8080/callback", "http://localhost:8080/oauth/callback"),
        checked="2026-11-23",
        place="a terminal",
        paste="claude mcp add --transport http --client-id {key} --callback-port 8080 {name} {url}",
    ),
    Preset(
        name="codex",
        label="Codex",
        hint="In the terminal",
        tile="Cx",
        callback_urls=("http://127.0.0.1:5555/callback", "http://localhost:5555/callback"),
        checked="2026-11-23",
        place="a terminal",
        paste="codex mcp add {name} --url {url} --oauth-client-id {key}",
    ),
    Preset(
        name="mcp-inspector",
        label="MCP Inspector",
        hint="Test bench",
        tile="In",
        callback_urls=(
            "http://127.0.0.1:6276/oauth/callback",
            "http://localhost:6274/oauth/callback",
            "http://localhost:6274/oauth/callback/debug",
        ),
        checked="2026-11-23",
        place="a terminal",
        paste="mcp-inspector --cli {url} --transport http --client-id {key} --method tools/list",
    ),
    Preset(
        name="other",
        label="Other",
        hint="Set it by hand",
        tile="+",
        callback_urls=(),
        checked="2026-11-23",
        asks_for_url=True,
    ),
)
BY_NAME = {preset.name: preset for preset in PRESETS}


def lacks_pasted_url(preset: Preset, callback_urls: tuple[str, ...]) -> bool:
    """Whether the callback URL that this client shows in its own settings is still missing."""
    return bool(preset.pasted) and not any(url.startswith(preset.pasted) for url in callback_urls)


def to_paste(preset: Preset, *, url: str, key: str, name: str) -> str:
    """What to paste into this client for this server; a file's JSON is laid out for reading."""
    filled = preset.paste.format(url=url, key=key, name=name)
    return msgspec.json.format(filled, indent=2) if filled.startswith("{") else filled


def in_one_line(preset: Preset, *, url: str, key: str, name: str) -> str:
    """The same for a terminal: where to go and what to enter there."""
    filled = preset.paste.format(url=url, key=key, name=name)
    if not filled:
        return f"{preset.place}; URL {url}, client id {key}"
    return f"{preset.place}: {filled}" if filled.startswith("{") else filled
