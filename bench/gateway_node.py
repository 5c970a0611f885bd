"""A node with one upstream behind its gate, everything on; says on its first line where it is and what opens it."""

import asyncio
import json
import os
import sys
from pathlib import Path
from time import monotonic

import uvloop

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
# structlog loads these where they are, as in an environment for development; an installed node has neither.
sys.modules["rich"] = sys.modules["greenlet"] = None  # type: ignore[assignment]

from gatelodge.app import build  # noqa: E402
from gatelodge.cli import seeding, starting  # noqa: E402
from gatelodge.config import Config  # noqa: E402
from gatelodge.core import mcp_servers, secrets, server_items, tokens, users  # noqa: E402
from gatelodge.core.ids import MCP_SERVER  # noqa: E402
from gatelodge.core.mcp_servers import McpServer  # noqa: E402
from gatelodge.core.operation import announce  # noqa: E402
from gatelodge.core.permissions import USE_MCP_SERVERS  # noqa: E402
from gatelodge.core.server_items import Catalogue, Offered  # noqa: E402
from gatelodge.core.server_terms import Terms  # noqa: E402
from gatelodge.core.tokens import Claims  # noqa: E402
from gatelodge.web import server as web_server  # noqa: E402

TOOL = {"name": "echo", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": True}}


async def main(port: int, data: str, upstream: str) -> None:
    starting.give_back_large_blocks()
    app = await build(Config(public_url=f"http://localhost:{port}", data=data, is_development=True))
    site = app.site
    told = await seeding.development(site)
    await app.start()
    org = site.live.orgs()[0]
    made = McpServer(
        id=secrets.new_id(MCP_SERVER), org_id=org.id, name="upstream", label="Upstream", kind="upstream",
        source=upstream, is_active=False, terms=Terms(allows_private=True, most_connections=128),
    )  # fmt: skip
    by = {"actor": "bench", "now_ms": site.clock.now_ms()}
    await site.store.run(mcp_servers.register, made, **by)
    await site.store.run(mcp_servers.set_active, org.id, "upstream", is_active=True, **by)
    offered = Catalogue(offered=(Offered("tool", "echo", json.dumps(TOOL)),))
    await site.store.run(server_items.read_in, made, offered, **by)
    for item in (await site.store.read(server_items.of_server, made)).all:
        await site.store.run(server_items.switch, item, made, is_on=True, **by)
    await site.live.catch_up()
    opening = []
    keys = (await site.live.keys(org.id)).signer
    for user in await site.store.read(users.in_order, org.id):
        if not (await site.live.user(org.id, user.id)).access.may(USE_MCP_SERVERS):
            continue
        for each in told.apps:
            now = site.clock.now()
            claims = Claims(
                iss=org.issuer, sub=user.id, aud=f"{org.issuer}/mcp/upstream", client_id=each["consumer_key"],
                scope="mcp_api", iat=now, exp=now + 600, jti=secrets.new_token(), auth_time=now,
                authorization_id=f"0uA{len(opening):015d}", connection_id=f"0uC{len(opening):015d}",
            )  # fmt: skip
            opening.append(tokens.sign(keys.key, keys.algorithm, keys.kid, claims))
    print(
        json.dumps({"url": f"http://localhost:{port}/mcp/upstream", "pid": os.getpid(), "tokens": opening}), flush=True
    )
    starting.leave_to_rest()
    made_server = web_server.make(app)
    ending = asyncio.create_task(_end_on_line(site, org.id))
    await made_server.serve(web_server.listen((("127.0.0.1", port),)))
    ending.cancel()


async def _end_on_line(site, org_id) -> None:
    """Each line on stdin is an authorization to end; says when that was told (monotonic seconds)."""

    def ended(authorization_id: str):
        yield from announce(org_id, "authorization", authorization_id)

    while line := await asyncio.to_thread(sys.stdin.readline):
        await site.store.run(ended, line.strip())
        print(json.dumps(monotonic()), flush=True)


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3]))
