"""What a node serves of an org, each as it is read from its rows."""

import msgspec

from gatelodge.core import keys, mcp_servers, permissions, server_items, tokens, users
from gatelodge.core.mcp_servers import McpServer
from gatelodge.core.operation import Operation
from gatelodge.core.server_items import Items


class LiveUser(msgspec.Struct, frozen=True):
    """A user with everything that permission sets add up to."""

    user: users.User
    access: permissions.Access


class LiveServer(msgspec.Struct, frozen=True):
    """An active MCP server with what it offers."""

    server: McpServer
    items: Items


class Signer(msgspec.Struct, frozen=True):
    """The org's key that signs now, unsealed."""

    kid: str
    algorithm: str
    key: keys.Key

    def __repr__(self) -> str:
        return f"Signer({self.kid})"


class OrgKeys(msgspec.Struct, frozen=True, kw_only=True):
    """The org's key that signs, all its keys that verify, and the JWK Set of both; right until ``until`` (epoch
    seconds), when another key begins to sign or one has gone. ``algorithms`` are those that ID tokens are signed with
    now or next.
    """

    signer: Signer
    verifying: dict[str, tokens.VerifyingKey]
    published: bytes
    algorithms: tuple[str, ...]
    until: int


def read_user(org_id: str, user_id: str) -> Operation[LiveUser | None]:
    """An active user with their permissions."""
    user = yield from users.find(org_id, user_id)
    if user is None or not user.is_active:
        return None
    return LiveUser(user, (yield from permissions.access_of(org_id, user_id)))


def read_servers(org_id: str) -> Operation[list[LiveServer]]:
    """The org's active MCP servers by name, with what they offer."""
    servers = yield from mcp_servers.of_org(org_id)
    items = yield from server_items.of_org(org_id)
    active = (server for server in servers if server.is_active)
    return [LiveServer(each, server_items.with_hosted(each, items.get(each.id, []))) for each in active]
