"""What an upstream MCP server is given: the secrets that were entered for it, which no page ever shows again, and what
its issuer has to be told about us.
"""

from typing import Any

from starlette.responses import Response

from gatelodge.core import server_items, upstream_secrets
from gatelodge.core.errors import Refused
from gatelodge.core.mcp_servers import McpServer
from gatelodge.core.sessions import VERIFIED_FOR
from gatelodge.core.upstream_secrets import CLIENT_SECRET, HEADER, UpstreamSecret
from gatelodge.setup.frame import Visit
from gatelodge.setup.servers.listing import server_page
from gatelodge.web.errors import BadRequest
from gatelodge.web.upstream_oauth import clients
from gatelodge.words import _

NEEDED: dict[str, tuple[str, ...]] = {
    "none": (),
    "header": (HEADER,),
    "client_credentials": (CLIENT_SECRET,),
    "token_exchange": (CLIENT_SECRET,),
    "user_grant": (CLIENT_SECRET,),
}
"""Which secrets each credential can have."""


async def show(visit: Visit, server: McpServer) -> Response:
    """GET /setup/mcp-servers/{server_name}/credential."""
    return await _page(visit, server)


async def change(visit: Visit, server: McpServer) -> Response:
    """POST: keep a secret in the place of the one before, or forget it."""
    site, actor = visit.site, visit.session.user.id
    kind, now, now_ms = visit.field("kind"), site.clock.now(), site.clock.now_ms()
    try:
        match visit.field("act"):
            case "set":
                made = upstream_secrets.sealed(
                    site.ring, visit.field("secret"), org_id=visit.org.id, server_id=server.id, kind=kind,
                    made_by=visit.session.user.username, now=now,
                )  # fmt: skip
                await site.store.run(upstream_secrets.keep, made, actor=actor, now_ms=now_ms)
            case "remove":
                _removed = await site.store.run(
                    upstream_secrets.remove, visit.org.id, server.id, kind, actor=actor, now_ms=now_ms
                )
            case other:
                raise BadRequest(_("{other!r:.40} can't be done with a credential").format(other=other))
    except Refused as refused:
        return await _page(visit, server, errors={kind: refused.message})
    await site.live.catch_up()
    return visit.go(f"/setup/mcp-servers/{server.name}/credential")


async def _page(visit: Visit, server: McpServer, *, errors: dict[str, str] | None = None) -> Response:
    now, session = visit.site.clock.now(), visit.session
    kept = {
        each.kind: each for each in await visit.site.store.read(upstream_secrets.of_server, server.org_id, server.id)
    }
    kinds = dict.fromkeys((*NEEDED[server.terms.credential], *kept))
    return await server_page(
        visit,
        server,
        await visit.site.store.read(server_items.of_server, server),
        "servers/credential.html",
        tab="credential",
        status=422 if errors else 200,
        errors=errors or {},
        is_verified=session.is_verified(now),
        verified_until=session.verified_at + VERIFIED_FOR,
        given=_given(server),
        rows=[_row(server, kind, kept.get(kind)) for kind in kinds],
        callback_url=clients.callback_url(visit.org, server) if server.terms.credential == "user_grant" else "",
        document_url=clients.document_url(visit.org, server) if visit.org.issuer.startswith("https://") else "",
    )


def _given(server: McpServer) -> str:
    """What the server is given, as a sentence."""
    terms = server.terms
    return {
        "none": _("Nothing: it is open to whoever reaches it."),
        "header": _("The header {name} with a fixed value, the same for all users.").format(name=terms.header_name),
        "client_credentials": _("A token that this org gets for itself, the same for all users."),
        "token_exchange": _("A token for each user, exchanged for what this org says of them."),
        "user_grant": _("Each user's own token: users connect their account there before their first call."),
    }[terms.credential]


def _row(server: McpServer, kind: str, kept: UpstreamSecret | None) -> dict[str, Any]:
    labels = {
        HEADER: _("Value of {name}").format(name=server.terms.header_name),
        CLIENT_SECRET: _("Client secret"),
    }
    helps = {
        HEADER: _("The whole value, for example Bearer and a token."),
        CLIENT_SECRET: _(
            "What the issuer of its tokens gave you with the client ID. Leave it out for a public client."
        ),
    }
    return {
        "kind": kind,
        "label": labels[kind],
        "help": helps[kind],
        "is_needed": kind in NEEDED[server.terms.credential],
        "last_four": kept.last_four if kept else "",
        "made": kept.made_at if kept else 0,
        "made_by": kept.made_by if kept else "",
    }
