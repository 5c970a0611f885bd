"""Registering an upstream, entering its secrets, connecting to it, and asking what it is given."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import msgspec

from gatelodge.core import mcp_servers, users
from gatelodge.core.apps.policies import Policies
from gatelodge.core.ids import MCP_SERVER
from gatelodge.core.mcp_servers import McpServer
from gatelodge.core.permissions import Access
from gatelodge.core.permitting import Permitted, Who
from gatelodge.core.secrets import new_id
from gatelodge.core.server_items import Items
from gatelodge.core.server_terms import Terms
from gatelodge.gateway import credentials
from gatelodge.gateway.caller import Caller
from tests.house import House
from tests.people import Person, form
from tests.upstreams.issuing import Upstream


def register(house: House, upstream: Upstream, name: str = "tickets", **terms: Any) -> McpServer:
    """An active upstream in our network."""
    told: dict[str, Any] = {"actor": "a test", "now_ms": house.site.clock.now_ms()}
    made = McpServer(
        id=new_id(MCP_SERVER),
        org_id=house.org.id,
        name=name,
        label="Tickets",
        kind="upstream",
        source=upstream.url,
        is_active=False,
        terms=Terms(allows_private=True, **terms),
    )
    house.write(mcp_servers.register, made, **told)
    house.write(mcp_servers.set_active, house.org.id, name, is_active=True, **told)
    house.catch_up()
    return msgspec.structs.replace(made, is_active=True)


def caller(house: House, server: McpServer, n: int = 1) -> Caller:
    """The n-th person, calling through some app."""
    user = house.read(users.find_by_username, house.org.id, house.told.users[n]["username"])
    who = Who(app="An app", policies=Policies(), user=user.username, access=Access(), scopes=("mcp_api",))
    return Caller(
        org_id=house.org.id,
        user_id=user.id,
        username=user.username,
        user_label=user.name,
        email=user.email,
        time_zone="UTC",
        client_id=house.told.apps[0]["consumer_key"],
        app_id="",
        authorization_id="",
        connection_id="",
        scopes=("mcp_api",),
        server=server.name,
        access=Access(),
        permitted=Permitted(who, server, Items(())),
    )


def given(house: House, server: McpServer, n: int = 1, **refused: Any) -> dict[str, str]:
    """The headers of one call of the n-th person."""
    return house.run(credentials.headers_for(house.site, house.org, server, caller(house, server, n), **refused))


def to_the_issuer(who: Person, server: McpServer) -> httpx2.Response:
    """The person agrees here and is sent to the issuer."""
    page = who.front.get(f"/setup/upstreams/{server.name}?again=1")
    assert page.status_code == 200, page.text
    path = f"/setup/upstreams/{server.name}"
    return who.front.post(path, data=form(page, path))


def at_the_issuer(sent: httpx2.Response) -> str:
    """The issuer asks nothing: where it sends the browser back to."""
    assert sent.status_code == 303, (sent.status_code, sent.text)
    return httpx2.get(sent.headers["location"], follow_redirects=False).headers["location"]


def connect(who: Person, server: McpServer) -> httpx2.Response:
    """The whole way there and back."""
    return who.front.get(at_the_issuer(to_the_issuer(who, server)))


def asked_of(sent: httpx2.Response) -> dict[str, str]:
    """The parameters of the request at the issuer."""
    return {name: values[0] for name, values in parse_qs(urlsplit(sent.headers["location"]).query).items()}
