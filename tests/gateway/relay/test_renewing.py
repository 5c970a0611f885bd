"""An upstream that takes a token no more: it is fetched anew once, and what was refused, and so not done, is sent again."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from gatelodge.core import upstream_secrets
from gatelodge.core.upstream_secrets import CLIENT_SECRET
from tests.gateway.relay.rough import MODERN, Asked, answer, begin, chunk, rough, well
from tests.gateway.relay.standing import Gate
from tests.gateway.speaking import META
from tests.requirements import requirement
from tests.upstreams.issuing import Upstream as Issuer

CALL = {"name": "do", "arguments": {}}


class Strict:
    """Takes one token at a time, in either era; everything else gets 401."""

    def __init__(self, era: str) -> None:
        self.era, self.takes = era, "Bearer given-1"

    async def __call__(self, asked: Asked, writer: asyncio.StreamWriter) -> None:
        if asked.headers.get("authorization") != self.takes:
            await answer(writer, b"{}", "401 Unauthorized", "WWW-Authenticate: Bearer")
        elif asked.called == "initialize" and self.era == "legacy":
            result: dict[str, Any] = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}}
            result["serverInfo"] = {"name": "strict", "version": "1"}
            body = {"jsonrpc": "2.0", "id": asked.message["id"], "result": result}
            await answer(writer, body, "200 OK", "Mcp-Session-Id: theirs")
        elif asked.called.startswith("notifications/"):
            await answer(writer, b"", "202 Accepted")
        elif asked.called == "subscriptions/listen" or asked.method == "GET":
            await begin(writer)
            await chunk(writer, b": heard\n\n")
            writer.write(b"0\r\n\r\n")
        else:
            await well(asked, writer)


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer() as made:
        yield made


def registered(gate: Gate, issuer: Issuer, url: str, era: str) -> None:
    """The upstream, with the org's own credential at its issuer, read and turned on."""
    house = gate.house
    server = gate.register(
        url, credential="client_credentials", token_url=f"{issuer.origin}/token", client_id="us", era=era
    )
    made = upstream_secrets.sealed(
        house.site.ring, "the secret of this org", org_id=house.org.id, server_id=server.id, kind=CLIENT_SECRET,
        made_by="a test", now=house.site.clock.now(),
    )  # fmt: skip
    house.write(upstream_secrets.keep, made, actor="005", now_ms=house.site.clock.now_ms())
    house.catch_up()
    gate.offer(server, house.run(house.app._gateway.relaying.catalogue(house.org, server, None)))


@pytest.mark.parametrize("era", ["modern", "legacy"])
@requirement("relay:renewed")
def test_a_token_that_is_refused_is_fetched_once_for_all_and_each_call_done_once(gate: Gate, issuer: Issuer, era: str):
    strict = Strict(era)
    with rough(gate.house, strict) as (upstream, url):
        registered(gate, issuer, url, era)
        client = gate.client()
        assert client.modern("tools/call", CALL).status_code == 200 and len(issuer.asked("/token")) == 1
        strict.takes = "Bearer given-2"
        upstream.asked.clear()

        async def at_once() -> list[int]:
            body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"_meta": META, **CALL}}
            headers = client.headers | {
                "MCP-Protocol-Version": MODERN, "Mcp-Method": "tools/call", "Mcp-Name": "do",
                "Accept": "application/json, text/event-stream",
            }  # fmt: skip
            sent = [client.front._http.post(client.url, json=body, headers=headers) for _ in range(6)]
            return [each.status_code for each in await asyncio.gather(*sent)]

        assert gate.house.run(at_once()) == [200] * 6
        assert len(issuer.asked("/token")) == 2
        taken = [each for each in upstream.calls if each.headers["authorization"] == "Bearer given-2"]
        assert len(taken) == 6 and len(upstream.calls) <= 12


@pytest.mark.parametrize("era", ["modern", "legacy"])
@requirement("relay:renewed", "relay:upstream-credential")
def test_an_upstream_that_takes_no_token_is_asked_twice_and_no_more(gate: Gate, issuer: Issuer, era: str):
    strict = Strict(era)
    with rough(gate.house, strict) as (upstream, url):
        registered(gate, issuer, url, era)
        assert gate.client().modern("tools/call", CALL).status_code == 200
        strict.takes = "Bearer of nobody"
        upstream.asked.clear()
        refused = gate.client().modern("tools/call", CALL)
        assert refused.status_code == 502 and "client_credentials" in refused.json()["error"]["message"]
        assert len(upstream.calls) == 2 and len(issuer.asked("/token")) == 2


@requirement("relay:renewed")
def test_a_session_that_is_begun_with_a_refused_token_is_begun_with_another(gate: Gate, issuer: Issuer):
    strict = Strict("legacy")
    with rough(gate.house, strict) as (upstream, url):
        registered(gate, issuer, url, "legacy")
        strict.takes = "Bearer given-2"
        assert gate.client(n=1).modern("tools/call", CALL).status_code == 200, "of the new era: we begin the session"
        strict.takes = "Bearer given-3"
        begun = gate.client(n=1).legacy("initialize", {"protocolVersion": "2025-11-25", "capabilities": {}}, None)
        assert begun.status_code == 200 and begun.headers["mcp-session-id"]
        assert len(issuer.asked("/token")) == 3
        assert [each.headers["authorization"] for each in upstream.calls] == ["Bearer given-2"]


@requirement("relay:renewed")
def test_a_stream_that_is_refused_is_opened_with_another_token(gate: Gate, issuer: Issuer):
    strict = Strict("modern")
    with rough(gate.house, strict) as (_, url):
        registered(gate, issuer, url, "modern")
        strict.takes = "Bearer given-2"
        got = gate.client().modern("subscriptions/listen", {"notifications": {}})
        assert got.status_code == 200 and ": heard" in got.text
        assert len(issuer.asked("/token")) == 2


@requirement("relay:renewed", "relay:timeouts")
def test_a_call_that_may_have_been_done_is_not_sent_again(gate: Gate, issuer: Issuer):
    strict = Strict("modern")
    with rough(gate.house, strict) as (upstream, url):
        registered(gate, issuer, url, "modern")

        async def leave(asked: Asked, writer: asyncio.StreamWriter) -> None:
            writer.close()

        upstream.asked.clear()
        upstream.behave = leave
        got = gate.client().modern("tools/call", CALL)
        assert got.status_code == 502 and len(upstream.calls) == 1 and len(issuer.asked("/token")) == 1
