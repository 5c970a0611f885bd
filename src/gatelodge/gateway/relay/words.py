"""The words of MCP on the wire: revisions, methods, error codes, and the keys of ``_meta``."""

from typing import Final

MODERN: Final = ("2026-07-28",)
"""Revisions whose requests each stand alone."""
LEGACY: Final = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
"""Revisions that begin with ``initialize``, oldest first."""

VERSION_KEY: Final = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES_KEY: Final = "io.modelcontextprotocol/clientCapabilities"
CLIENT_KEY: Final = "io.modelcontextprotocol/clientInfo"
LEVEL_KEY: Final = "io.modelcontextprotocol/logLevel"
SERVER_KEY: Final = "io.modelcontextprotocol/serverInfo"
SUBSCRIPTION_KEY: Final = "io.modelcontextprotocol/subscriptionId"
ENVELOPE: Final = frozenset({VERSION_KEY, CAPABILITIES_KEY, CLIENT_KEY, LEVEL_KEY})
"""What each request of 2026-07-28 carries, and no earlier one."""

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603
RESOURCE_NOT_FOUND: Final = -32002
"""Of the old era alone; 2026-07-28 says INVALID_PARAMS."""
HEADER_MISMATCH: Final = -32020
MISSING_CAPABILITY: Final = -32021
UNSUPPORTED_VERSION: Final = -32022
STATUS: Final = {
    PARSE_ERROR: 400,
    INVALID_REQUEST: 400,
    INVALID_PARAMS: 400,
    HEADER_MISMATCH: 400,
    MISSING_CAPABILITY: 400,
    UNSUPPORTED_VERSION: 400,
    METHOD_NOT_FOUND: 404,
}
"""The HTTP status of an error in 2026-07-28; of any other, and in the old era, it is 200."""

TASKS: Final = "tasks/"
"""How the methods of tasks begin, of 2025-11-25 and of the extension of 2026-07-28."""
TASKS_EXTENSION: Final = "io.modelcontextprotocol/tasks"
CALL: Final = "tools/call"
DISCOVER: Final = "server/discover"
INITIALIZE: Final = "initialize"
LISTEN: Final = "subscriptions/listen"
CANCELLED: Final = "notifications/cancelled"
NAMED: Final = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
"""The parameter that the header Mcp-Name repeats."""
ASKED: Final = {**NAMED, "resources/subscribe": "uri", "resources/unsubscribe": "uri"}
"""The parameter that says what a request is about."""
LISTS: Final = {
    "tools": ("tool", "name"),
    "prompts": ("prompt", "name"),
    "resources": ("resource", "uri"),
    "resourceTemplates": ("template", "uriTemplate"),
}
"""The list in a result: what it holds, and what each is called by."""
LISTING: Final = {
    "tools/list": "tools",
    "prompts/list": "prompts",
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
}
JSON: Final = "application/json"
EVENTS: Final = "text/event-stream"
