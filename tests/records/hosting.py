"""A records server over a database of the test's own, asked as its MCP clients ask it."""

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2

from gatelodge.core.apps.policies import Policies
from gatelodge.core.mcp_servers import McpServer
from gatelodge.core.permissions import ADMINISTRATOR, Access
from gatelodge.core.permitting import Permitted, Who
from gatelodge.core.server_items import with_hosted
from gatelodge.core.server_kinds import RECORDS
from gatelodge.gateway.caller import Caller
from gatelodge.gateway.records.server import RecordsServer
from gatelodge.gateway.records.sources import Source
from tests.gateway.speaking import ACCEPT, META, MODERN
from tests.house import House


@contextlib.contextmanager
def hosted(org: House, database: Path, **options: Any) -> Iterator[Callable[[str], Any]]:
    """Ask SOQL of this database; an answer that is an error is its list of errors."""
    source = Source(dialect="sqlite", path=str(database), makes_sample=database.exists())
    server = RecordsServer("own", "Own", source, now=lambda: org.time, **options)
    access, scopes = Access((ADMINISTRATOR,)), ("mcp_api",)
    own = McpServer(
        id="1g1", org_id=org.org.id, name="own", label="Own", kind=RECORDS, source=str(database), is_active=True,
        variant="sobject-reads",
    )  # fmt: skip
    who = Who(app="An_App", policies=Policies(), user="u@x", access=access, scopes=scopes)
    caller = Caller(
        org_id=org.org.id, user_id="005", username="u@x", user_label="U", email="u@x", time_zone="UTC",
        client_id="c", app_id="0xI", authorization_id="0uA", connection_id="0uC", scopes=scopes, server="own",
        access=access, permitted=Permitted(who, own, with_hosted(own, [])),
    )  # fmt: skip

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        await server.serve(scope, receive, send, caller)

    client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=answer), base_url="http://own")

    def ask(soql: str) -> Any:
        params = {"name": "soqlQuery", "arguments": {"q": soql}, "_meta": META}
        headers = {
            "MCP-Protocol-Version": MODERN,
            "Mcp-Method": "tools/call",
            "Mcp-Name": "soqlQuery",
            "Accept": ACCEPT,
        }
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        return json.loads(org.run(client.post("/", json=body, headers=headers)).json()["result"]["content"][0]["text"])

    org.run(server.start())
    try:
        yield ask
    finally:
        org.run(server.stop())
