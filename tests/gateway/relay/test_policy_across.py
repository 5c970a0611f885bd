"""What an administrator decides bites at relayed servers as at hosted ones: clients and upstreams of either era."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gatelodge.core import orgs
from gatelodge.core.scopes import Scope
from tests.approvals.asking import decide
from tests.gateway.relay.standing import Gate, everything, standing
from tests.gateway.relay.test_sessions import begin, told, within
from tests.oauth.scenes import person
from tests.requirements import requirement
from tests.servers.test_commands import tell
from tests.setup.offices import sign_in

ERAS = pytest.mark.parametrize(("server", "era"), [(s, e) for s in ("older", "newer") for e in ("old", "new")])
ASKS, SCOPED, PLAIN = "test_simple_text", "test_image_content", "test_error_handling"
NEEDED = "pictures_read"


@pytest.fixture(scope="module")
def crossing(tmp_path_factory: pytest.TempPathFactory, furnished: Path) -> Iterator[Gate]:
    """Upstreams of each era: one tool asks a person first, another needs a scope, a third is as usual."""
    data = tmp_path_factory.mktemp("policies") / "data"
    with everything("legacy") as old, everything("modern") as new, standing(furnished, data) as gate:
        scope = Scope(NEEDED, "See pictures", "See the pictures that you may see")
        told_by: dict[str, Any] = {"actor": "a test", "now_ms": gate.house.site.clock.now_ms()}
        gate.house.write(orgs.change_scopes, gate.house.org.id, (), (scope,), **told_by)
        for name, url in (("older", old), ("newer", new)):
            gate.upstream(url, name)
        yield gate


class Calling:
    """A client of one era, with a session where its era has them."""

    def __init__(self, gate: Gate, server: str, era: str) -> None:
        self._client, self._era = gate.client(server, 1), era
        self._session = begin(self._client) if era == "old" else ""

    def call(self, tool: str, **arguments: Any) -> Any:
        params = {"name": tool, "arguments": arguments}
        if self._era == "old":
            return within(self._client, self._session, "tools/call", params)
        return self._client.modern("tools/call", params)

    def lists(self) -> str:
        if self._era == "old":
            return within(self._client, self._session, "tools/list").text
        return self._client.modern("tools/list").text


@ERAS
@requirement("relay:policy")
def test_a_call_that_asks_first_waits_for_its_approval_and_goes_through_once(crossing: Gate, server: str, era: str):
    tell(crossing.house, "tools", server, "--ask-first", ASKS)
    crossing.house.catch_up()
    calling = Calling(crossing, server, era)
    held = told(calling.call(ASKS, n=era))["result"]
    assert held["isError"] and "Nothing was done yet" in held["content"][0]["text"]
    page = re.search(r"/setup/approvals/\w+", held["content"][0]["text"])[0]
    assert decide(sign_in(person(crossing.house, 1)), f"{crossing.url}{page}").status_code == 303
    assert "Nothing was done yet" in calling.call(ASKS, n="other").text, "for these arguments and no others"
    assert "simple text" in calling.call(ASKS, n=era).text
    assert "Nothing was done yet" in calling.call(ASKS, n=era).text, "once"


@ERAS
@requirement("relay:policy", "step-up:challenge")
def test_a_call_that_lacks_a_scope_is_challenged_with_all_that_it_needs(crossing: Gate, server: str, era: str):
    tell(crossing.house, "tools", server, "--scopes", f"{SCOPED}={NEEDED}")
    crossing.house.catch_up()
    calling = Calling(crossing, server, era)
    assert SCOPED in calling.lists(), "what can still be got is listed"
    refused = calling.call(SCOPED)
    assert refused.status_code == 403
    challenge = refused.headers["www-authenticate"]
    assert 'error="insufficient_scope"' in challenge and f'scope="mcp_api {NEEDED}"' in challenge
    assert f"/.well-known/oauth-protected-resource/mcp/{server}" in challenge
    assert "/setup/step-up?" in refused.json()["error"]["data"]["url"]


@ERAS
@requirement("relay:policy")
def test_a_read_only_server_hides_and_refuses_what_writes(crossing: Gate, server: str, era: str):
    tell(crossing.house, "tools", server, "--mark", f"{PLAIN}=write", "--mark", "test_headers=read")
    tell(crossing.house, "set", server, "read_only=true")
    crossing.house.catch_up()
    try:
        calling = Calling(crossing, server, era)
        listed = calling.lists()
        assert PLAIN not in listed and "test_headers" in listed
        assert told(calling.call(PLAIN))["error"]["message"] == f"Unknown tool: {PLAIN}"
        assert "result" in told(calling.call("test_headers"))
    finally:
        tell(crossing.house, "set", server, "read_only=false")
        crossing.house.catch_up()
