"""What an upstream gets from the gate, and what it doesn't: its own credential, and calls that a person has approved."""

from gatelodge.core import mcp_servers, server_items, upstream_secrets
from gatelodge.core.upstream_secrets import HEADER
from tests.approvals.asking import OPENS_URLS, decide, result, url_of
from tests.gateway.relay.rough import rough
from tests.gateway.relay.standing import Gate
from tests.oauth.scenes import person
from tests.requirements import requirement
from tests.setup.offices import sign_in


def arguments() -> dict[str, str]:
    return {"text": "exactly this"}


@requirement("credentials:kinds", "approvals:held", "approvals:once")
def test_a_relayed_call_carries_the_servers_own_credential_and_waits_for_the_approval_of_its_arguments(gate: Gate):
    house = gate.house
    with rough(house) as (upstream, url):
        server = gate.register(url, credential="header", header_name="X-Api-Key")
        made = upstream_secrets.sealed(
            house.site.ring, "the key of this org", org_id=house.org.id, server_id=server.id, kind=HEADER,
            made_by="a test", now=house.site.clock.now(),
        )  # fmt: skip
        now_ms = house.site.clock.now_ms()
        house.write(upstream_secrets.keep, made, actor="005", now_ms=now_ms)
        gate.read_in(server)
        known = house.read(mcp_servers.find, house.org.id, server.name)
        item = house.read(server_items.of_server, known).of_kind("tool")[0]
        told = {"is_on": True, "mark": item.mark, "asks_first": True, "actor": "a test", "now_ms": now_ms}
        assert house.write(server_items.change, item, known, **told)
        house.catch_up()
        of = gate.client(n=0)
        said = {"name": item.name, "arguments": arguments(), "_meta": OPENS_URLS}
        held = of.modern("tools/call", said)
        assert not upstream.calls and result(held)["resultType"] == "input_required"
        assert decide(sign_in(person(house, 0)), url_of(held)).status_code == 303
        back = {"requestState": result(held)["requestState"], "inputResponses": {"approval": {"action": "accept"}}}
        answered = of.modern("tools/call", said | back)
        assert answered.status_code == 200, answered.text
        [call] = upstream.calls
        assert call.headers["x-api-key"] == "the key of this org" and "authorization" not in call.headers
        assert call.message["params"]["arguments"] == said["arguments"]
        assert "requestState" not in call.message["params"] and "inputResponses" not in call.message["params"]
        assert "inputRequests" in result(of.modern("tools/call", said)) and len(upstream.calls) == 1
