"""Tools that ask a person first, called by clients of both eras."""

from typing import Any

import httpx2

from gatelodge.core import approval_rules, mcp_servers, server_items
from gatelodge.core.approval_rules import Rule
from tests.gateway.speaking import META, SERVER, Client, token
from tests.house import House
from tests.people import Person, form

TOOL = "soqlQuery"
QUERY = {"q": "SELECT Name FROM Account LIMIT 1"}
CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
OPENS_URLS = META | {CAPABILITIES: {"elicitation": {"url": {}}}}


def mark(house: House, tool: str = TOOL, **changes: Any) -> None:
    """An administrator decides about a tool of the records server."""
    server = house.read(mcp_servers.find, house.org.id, SERVER)
    item = house.read(server_items.of_server, server).find("tool", tool)
    told = {"is_on": True, "mark": item.mark, "actor": "a test", "now_ms": house.site.clock.now_ms()}
    assert house.write(server_items.change, item, server, **(told | changes))
    house.catch_up()


def rule(house: House, **said: Any) -> None:
    """Who is asked about the records server's calls."""
    server = house.read(mcp_servers.find, house.org.id, SERVER)
    told = {"actor": "a test", "now_ms": house.site.clock.now_ms()}
    house.write(approval_rules.keep, house.org.id, server.id, Rule(**said), ("Standard_User",), **told)


def client(house: House, n: int = 1, **changes: Any) -> Client:
    """The n-th person's client."""
    return Client(house, token(house, n, **changes))


def call(of: Client, arguments: dict[str, Any] | None = None, tool: str = TOOL, **params: Any) -> httpx2.Response:
    """A call of a modern client that opens URLs."""
    said = {"name": tool, "arguments": QUERY if arguments is None else arguments, "_meta": OPENS_URLS}
    return of.modern("tools/call", said | params)


def result(answer: httpx2.Response) -> dict[str, Any]:
    """The result of an answered request."""
    assert answer.status_code == 200, (answer.status_code, answer.text)
    return answer.json()["result"]


def url_of(answer: httpx2.Response) -> str:
    """The page that a held call leads to, by either way."""
    found = result(answer)
    if "inputRequests" in found:
        return found["inputRequests"]["approval"]["params"]["url"]
    text = found["content"][0]["text"]
    return next(word for word in text.split() if "/setup/approvals/" in word)


def decide(who: Person, url: str, answer: str = "approve") -> httpx2.Response:
    """A person opens the page and says yes or no."""
    page = who.front.get(url)
    assert page.status_code == 200, page.text
    path = url[url.index("/setup/") :]
    return who.front.post(path, data=form(page, path) | {"answer": answer})
