"""Whose turn it is to look at an upstream."""

import asyncio

from gatelodge.core import server_health
from gatelodge.core.server_health import EVERY, SPREAD, Health
from gatelodge.words import reason
from tests.house import House
from tests.requirements import requirement
from tests.servers.offering import add_upstream


@requirement("servers:one-look")
def test_of_all_who_would_look_one_does_and_again_when_a_minute_is_over(house_on: House):
    at, now = add_upstream(house_on), 1000

    def take(now: int) -> int:
        async def all_at_once() -> list[bool]:
            store = house_on.site.store
            turns = (
                store.run(server_health.take_turn, at.org_id, at.id, chance=n, now=now) for n in range(8)
            )  # fmt: skip
            return list(await asyncio.gather(*turns))

        return sum(house_on.run(all_at_once()))

    assert take(now) == 1
    assert take(now + EVERY - 1) == 0
    assert take(now + EVERY + SPREAD) == 1
    found = Health(server_id=at.id, checked_at=now, milliseconds=12, why=reason("it is away"), speaks="2026-07-28")
    house_on.write(server_health.note, at.org_id, found)
    assert house_on.read(server_health.of_org, at.org_id)[at.id] == found
    assert not house_on.write(server_health.take_turn, "00D", at.id, chance=1, now=now + 999)
