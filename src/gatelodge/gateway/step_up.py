"""What a call answers that needs more scopes than its token has: one challenge with all of them (RFC 6750 §3.1, MCP:
Runtime Insufficient Scope Errors), and a link for clients that never step up, to a page where the user agrees.
"""

from urllib.parse import urlencode

import msgspec
from starlette.responses import Response

from gatelodge.core.orgs import Org
from gatelodge.core.scopes import MCP_API
from gatelodge.gateway.caller import Caller
from gatelodge.gateway.protected_resource import metadata_url
from gatelodge.web.access_tokens import NotAccepted, challenges

NEEDS_SCOPE = -32000
"""Of the range that JSON-RPC 2.0 §5.1 leaves to servers."""


def page_url(org: Org, caller: Caller, missing: tuple[str, ...]) -> str:
    """Where the user lets the app of this connection do more, or an administrator lets the app ask for it."""
    asked = urlencode({"connection": caller.connection_id, "server": caller.server, "scope": " ".join(missing)})
    return f"{org.issuer}/setup/step-up?{asked}"


def challenge(org: Org, caller: Caller, missing: tuple[str, ...], what: str, id: msgspec.Raw) -> Response:
    """The refusal of one request, by its JSON-RPC ``id``. All the scopes are named that a next token needs: those that
    this one has, which a client would otherwise lose, and the missing ones.
    """
    needed = tuple(dict.fromkeys((*(s for s in caller.scopes if s != "refresh_token"), MCP_API, *missing)))
    url = page_url(org, caller, missing)
    why = f"{what} needs the scopes {' '.join(missing)}"
    where = f'resource_metadata="{metadata_url(org, caller.server)}", scope="{" ".join(needed)}"'
    error = {
        "code": NEEDS_SCOPE,
        "message": f"{why}. Connect again and allow them, or open {url} to allow them for this connection.",
        "data": {"scopes": list(missing), "url": url},
    }
    body = msgspec.json.encode({"jsonrpc": "2.0", "id": id, "error": error})
    headers = {
        "WWW-Authenticate": challenges(NotAccepted(403, "insufficient_scope", why), where),
        "Cache-Control": "no-store",
    }
    return Response(body, 403, headers, media_type="application/json")
