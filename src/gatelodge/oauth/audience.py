"""Which MCP server a token will open: one canonical string, decided when the user is asked (RFC 8707)."""

from gatelodge.core.mcp_servers import canonical, resource
from gatelodge.core.orgs import Org
from gatelodge.core.propagation import LiveClient
from gatelodge.core.scopes import MCP_API
from gatelodge.live import LiveServer
from gatelodge.oauth.errors import OAuthError

MOST_LISTED = 20


def servers_for(client: LiveClient, active: dict[str, LiveServer]) -> dict[str, LiveServer]:
    """The active MCP servers that the app's policies let it use, by name."""
    allowed = client.policies.mcp_servers
    return {name: server for name, server in active.items() if allowed is None or name in allowed}


def decide(
    asked: str | None, *, org: Org, client: LiveClient, scopes: tuple[str, ...], active: dict[str, LiveServer]
) -> str:
    """The ``aud`` of the tokens of this request. Raises ``OAuthError`` (invalid_target, RFC 8707 §2)."""
    usable = servers_for(client, active) if MCP_API in scopes else {}
    uris = [resource(org, name) for name in usable]
    if asked is not None:
        wanted = canonical(asked)
        if wanted in uris or wanted == org.issuer:
            return wanted
        if MCP_API not in scopes and wanted in [resource(org, name) for name in active]:
            raise OAuthError(
                "invalid_target", f"an MCP server needs the scope mcp_api, and {client.api_name} asks for none"
            )
        raise OAuthError(
            "invalid_target", f"{asked:.200} is no MCP server that {client.api_name} may use; {_list(uris)}"
        )
    if MCP_API not in scopes:
        return org.issuer
    if len(uris) == 1:
        return uris[0]
    if client.policies.default_mcp_server in usable:
        return resource(org, client.policies.default_mcp_server)
    raise OAuthError("invalid_target", f"send the parameter resource, or name a Default MCP server; {_list(uris)}")


def _list(uris: list[str]) -> str:
    """The servers by URI, as many as fit into a Location header."""
    more = f" and {len(uris) - MOST_LISTED} more" if len(uris) > MOST_LISTED else ""
    return f"it may use: {' '.join(uris[:MOST_LISTED])}{more}" if uris else "no MCP server is active for it"
