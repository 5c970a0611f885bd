"""A name of an upstream that leads elsewhere tomorrow, or within one second: what was checked is what is connected to."""

import asyncio
import contextlib
from collections.abc import Iterator

import pytest

from tests.gateway.relay.rough import Rough
from tests.gateway.relay.standing import Gate
from tests.requirements import requirement
from tests.running import free_port

CALL = {"name": "do", "arguments": {}}
GOOD, FORBIDDEN = "::1", "0.0.0.0"
"""On Linux both are this machine. The second may never be asked, and would reach whoever listens on 127.0.0.1."""


class Names:
    """A name server that gives one answer after another, and the last one from then on."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)

    async def __call__(self, host: str, port: int) -> list[str]:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


class Places:
    """One port at two addresses: the upstream that an administrator means, and a service of this machine's own."""

    def __init__(self, gate: Gate, names: Names) -> None:
        self.port, self.upstream, self.victim = free_port(), Rough(), Rough()
        gate.house.site.outbound._resolve = names

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}/mcp"


@contextlib.contextmanager
def places(gate: Gate, names: Names) -> Iterator[Places]:
    made = Places(gate, names)

    async def listen() -> list[asyncio.Server]:
        return [
            await asyncio.start_server(made.upstream, "::1", made.port),
            await asyncio.start_server(made.victim, "127.0.0.1", made.port),
        ]

    servers = gate.house.run(listen())
    try:
        yield made
    finally:
        for server in servers:
            gate.house._loop.call_soon_threadsafe(server.close)


@requirement("relay:rebinding")
def test_a_name_that_leads_to_another_address_the_second_time_leads_nobody_there(gate: Gate):
    names = Names([GOOD])
    with places(gate, names) as made:
        server = gate.upstream(made.url)
        assert gate.client().modern("tools/call", CALL).status_code == 200
        names.answers = [[GOOD], [FORBIDDEN]]
        relay = gate.house.app._gateway.relaying._relay
        gate.house._loop.call_soon_threadsafe(relay.forget, server.id)  # as when a server is turned off and on
        statuses = {gate.client().modern("tools/call", CALL).status_code for _ in range(4)}
        assert statuses <= {200, 502} and made.victim.asked == []
        names.answers = [[FORBIDDEN]]
        gate.house._loop.call_soon_threadsafe(relay.forget, server.id)
        refused = gate.client().modern("tools/call", CALL)
        assert refused.status_code == 502 and "may not be asked" in refused.json()["error"]["message"]
        assert made.victim.asked == []


@pytest.mark.parametrize("found", [[GOOD, FORBIDDEN], [FORBIDDEN, GOOD], ["169.254.169.254"], [GOOD, "fe80::1"]])
@requirement("relay:rebinding")
def test_a_name_of_which_one_address_may_not_be_asked_is_not_asked_at_all(gate: Gate, found: list[str]):
    names = Names([GOOD])
    with places(gate, names) as made:
        server = gate.upstream(made.url)
        made.upstream.asked.clear()
        names.answers = [found]
        gate.house._loop.call_soon_threadsafe(gate.house.app._gateway.relaying._relay.forget, server.id)
        refused = gate.client().modern("tools/call", CALL)
        assert refused.status_code == 502 and "may not be asked" in refused.json()["error"]["message"]
        assert made.upstream.asked == [] and made.victim.asked == []
