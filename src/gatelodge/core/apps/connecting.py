"""How each MCP client is connected to an app: numbered steps with exact values, what to paste, and install links.

What a client's pages and files are called is the client's own; ``presets`` says when each was last looked at.
"""

import base64
import shlex
from urllib.parse import quote

import msgspec

from gatelodge.core.apps import callbacks, presets
from gatelodge.core.apps.presets import PRESETS, Preset
from gatelodge.core.scopes import MCP_API, REFRESH_TOKEN
from gatelodge.words import _

SCOPE = f"{MCP_API} {REFRESH_TOKEN}"
CALLBACK_PORT = 8080


class Pasted(msgspec.Struct, frozen=True):
    """A text to be pasted somewhere: where, and what."""

    where: str
    text: str


class Link(msgspec.Struct, frozen=True):
    """A link that opens the client with everything filled in."""

    label: str
    url: str


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """What a client connects to: one MCP server, and the app's consumer key. ``name`` is what the client will call it;
    ``issuer`` is where it signs in.
    """

    name: str
    url: str
    key: str
    issuer: str


class Guide(msgspec.Struct, frozen=True, kw_only=True):
    """How one client is connected to one server. ``values`` are label and value, to be typed in as they are."""

    preset: Preset
    steps: tuple[str, ...]
    values: tuple[tuple[str, str], ...]
    pasted: tuple[Pasted, ...] = ()
    links: tuple[Link, ...] = ()

    @property
    def is_reachable(self) -> bool:
        """Whether the client can reach the server where it is: one in a cloud can't reach the user's own machine."""
        return self.preset.runs == "here" or not callbacks.is_on_this_computer(dict(self.values)[_("Server URL")])


def guide(preset: Preset, place: Place) -> Guide:
    """How this client is connected there."""
    values = ((_("Server URL"), place.url), (_("Client ID (consumer key)"), place.key))
    steps, pasted, links = GUIDES[preset.name](place)
    return Guide(preset=preset, steps=steps, values=values, pasted=pasted, links=links)


def fitting(callback_urls: tuple[str, ...]) -> tuple[Preset, ...]:
    """The clients that this app's callback URLs let in, in the order of the presets."""
    return tuple(
        preset
        for preset in PRESETS
        if preset.name == "other"
        or any(url in callback_urls for url in preset.callback_urls)
        or (preset.pasted and not presets.lacks_pasted_url(preset, callback_urls))
    )


_Parts = tuple[tuple[str, ...], tuple[Pasted, ...], tuple[Link, ...]]


def _sign_in() -> str:
    return _("Your browser opens this org: sign in, and allow what the page names.")


def _claude(place: Place) -> _Parts:
    steps = (
        _("In Claude, open Settings, then Connectors, and choose Add custom connector."),
        _("Enter the name {name} and the server URL.").format(name=place.name),
        _("Open Advanced settings and paste the client ID. Leave the client secret empty."),
        _("Choose Add, then Connect. In Team and Enterprise plans an owner adds the connector first."),
        _sign_in(),
    )
    return steps, (), ()


def _chatgpt(place: Place) -> _Parts:
    steps = (
        _("In ChatGPT, open Settings, then Apps, and choose Create app (developer mode)."),
        _("Enter the name {name} and the server URL.").format(name=place.name),
        _("Under Advanced settings choose the registration method User-defined OAuth client, and paste the client ID."),
        _("ChatGPT shows a callback URL of its own there: an administrator adds it to this app."),
        _sign_in(),
    )
    return steps, (), ()


def _cursor(place: Place) -> _Parts:
    server = {"url": place.url, "auth": {"CLIENT_ID": place.key, "scopes": SCOPE.split()}}
    packed = base64.b64encode(msgspec.json.encode(server)).decode()
    link = f"cursor://anysphere.cursor-deeplink/mcp/install?name={quote(place.name)}&config={quote(packed, safe='')}"
    steps = (
        _("Open the install link, or paste the text into ~/.cursor/mcp.json."),
        _("In Cursor, open Settings, then Tools and MCP, and choose Connect beside {name}.").format(name=place.name),
        _sign_in(),
    )
    text = _json({"mcpServers": {place.name: server}})
    return steps, (Pasted("~/.cursor/mcp.json", text),), (Link(_("Install in Cursor"), link),)


def _vscode(place: Place) -> _Parts:
    server = {"type": "http", "url": place.url, "oauth": {"clientId": place.key}}
    asked = quote(msgspec.json.encode({"name": place.name, **server}).decode(), safe="")
    steps = (
        _("Open the install link, or paste the text into .vscode/mcp.json of your folder."),
        _("Choose Start above the server's entry, or run the command MCP: List Servers."),
        _sign_in(),
    )
    links = (
        Link(_("Install in VS Code"), f"vscode:mcp/install?{asked}"),
        Link(_("Install in VS Code Insiders"), f"vscode-insiders:mcp/install?{asked}"),
    )
    return steps, (Pasted(".vscode/mcp.json", _json({"servers": {place.name: server}})),), links


def _claude_code(place: Place) -> _Parts:
    command = (
        f"claude mcp add --transport http --client-id {place.key} --callback-port {CALLBACK_PORT} {shlex.quote(place.name)}"
        f" {shlex.quote(place.url)}"
    )
    steps = (
        _("Run the command in a terminal."),
        _("In Claude Code, enter /mcp, choose {name}, and then Authenticate.").format(name=place.name),
        _sign_in(),
    )
    return steps, (Pasted(_("A terminal"), command),), ()


def _codex(place: Place) -> _Parts:
    command = f"codex mcp add {shlex.quote(place.name)} --url {shlex.quote(place.url)} --oauth-client-id {place.key}"
    steps = (
        _("Write the line into ~/.codex/config.toml: it fixes the port that the callback URL names."),
        _("Run the command in a terminal. It opens the browser; codex mcp login {name} does so again.").format(
            name=place.name
        ),
        _sign_in(),
    )
    pasted = (Pasted("~/.codex/config.toml", "mcp_oauth_callback_port = 5555"), Pasted(_("A terminal"), command))
    return steps, pasted, ()


def _postman(place: Place) -> _Parts:
    fields = {
        "grant_type": "authorization_code_with_pkce",
        "challengeAlgorithm": "S256",
        "authUrl": f"{place.issuer}/services/oauth2/authorize",
        "accessTokenUrl": f"{place.issuer}/services/oauth2/token",
        "clientId": place.key,
        "clientSecret": "",
        "scope": SCOPE,
        "client_authentication": "body",
    }
    steps = (
        _("In Postman, choose New, then MCP, then HTTP, and enter the server URL."),
        _("Under Authorization choose OAuth 2.0 and Authorization Code (With PKCE), with SHA-256."),
        _("Enter the values below. Leave the client secret empty, and send the credentials in the body."),
        _("Choose Get New Access Token. ") + _sign_in(),
        _("Use the token, then Connect."),
    )
    return steps, (Pasted(_("Values of the OAuth 2.0 form"), _json(fields)),), ()


def _inspector(place: Place) -> _Parts:
    command = (
        f"npx @modelcontextprotocol/inspector --cli {shlex.quote(place.url)} --transport http --client-id {place.key}"
        " --method tools/list"
    )
    server = {"type": "streamable-http", "url": place.url}
    steps = (
        _("Run npx @modelcontextprotocol/inspector in a terminal; its page opens."),
        _("Choose Streamable HTTP, enter the server URL, and under Authentication paste the client ID."),
        _("Choose Connect. ") + _sign_in(),
    )
    return (
        steps,
        (Pasted("mcp.json", _json({"mcpServers": {place.name: server}})), Pasted(_("A terminal"), command)),
        (),
    )


def _other(place: Place) -> _Parts:
    steps = (
        _("Enter the server URL in the client. It discovers everything else from there (RFC 9728)."),
        _("Where it asks for a client ID, paste the consumer key. Leave a client secret empty."),
        _sign_in(),
    )
    remote = (
        f"npx mcp-remote {shlex.quote(place.url)} {CALLBACK_PORT} --static-oauth-client-info"
        f" {shlex.quote(msgspec.json.encode({'client_id': place.key}).decode())}"
    )
    return steps, (Pasted(_("For a client that can send no client ID"), remote),), ()


GUIDES = {
    "postman": _postman,
    "postman-web": _postman,
    "cursor": _cursor,
    "claude": _claude,
    "chatgpt": _chatgpt,
    "vscode": _vscode,
    "claude-code": _claude_code,
    "codex": _codex,
    "mcp-inspector": _inspector,
    "other": _other,
}
"""One row for each preset."""


def _json(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
