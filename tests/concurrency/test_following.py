"""How a node follows the feed: nothing missed, nothing remembered too long."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from gatelodge.cli.seeding import new_app
from gatelodge.core import authorizations, connections, propagation, tokens
from gatelodge.core.apps import registry
from gatelodge.core.operation import Operation, announce, execute
from gatelodge.live import LiveNode
from gatelodge.live import cache as cache_module
from gatelodge.live.cache import Cache
from tests.house import House
from tests.requirements import requirement


def another_node(house: House) -> LiveNode:
    """A second node on the same database, which reads the feed when the test says so."""
    site = house.site
    node = LiveNode(site.store, site.clock, site.ring, node_id="other", name="other", public_url=house.issuer)
    house.run(node._catch_up())
    return node


def end_many(record_ids: list[str]) -> Operation[None]:
    for record_id in record_ids:
        yield from announce("00D", "connection", record_id)


def ended_in_silence(record_id: str, org_id: str, now: int) -> Operation[None]:
    """A connection that ended while this node was away for so long that the change is no longer kept."""
    yield from execute(
        "INSERT INTO connections (id, org_id, authorization_id, user_id, app_id, client_id, scopes, resource,"
        " signed_in_at, level, methods, dpop_jkt, grant_type, created_at, used_at, ended_at)"
        " VALUES (:id, :org_id, '', '', '', '', '', '', :now, '', '', '', '', :now, :now, :now)",
        id=record_id,
        org_id=org_id,
        now=now,
    )
    yield from announce(org_id, "connection", record_id)


@requirement("propagation:no-gap")
def test_more_changes_than_one_look_brings_are_all_applied(house_on: House, monkeypatch: pytest.MonkeyPatch):
    node = another_node(house_on)
    monkeypatch.setattr(propagation, "MOST_CHANGES", 3)
    record_ids = [f"record-{n}" for n in range(20)]
    house_on.write(end_many, record_ids)
    house_on.write(end_many, ["one-more"])
    house_on.run(node._catch_up())
    for record_id in (*record_ids, "one-more"):
        assert house_on.run(node.has_ended(record_id))
    assert node.applied == house_on.read(propagation.newest_change)


@requirement("propagation:no-gap")
def test_a_node_behind_the_oldest_change_that_is_kept_reads_everything_anew(house_on: House):
    node = another_node(house_on)
    house_on.write(ended_in_silence, "long-ago", house_on.org.id, house_on.site.clock.now())
    house_on.write(drop_changes)
    house_on.write(end_many, ["just-now"])
    house_on.run(node._catch_up())
    assert house_on.run(node.has_ended("long-ago"))
    assert node.applied == house_on.read(propagation.newest_change)


def drop_changes() -> Operation[None]:
    yield from execute("DELETE FROM changes")


@requirement("propagation:fill-races-change")
def test_an_answer_read_while_a_change_was_applied_is_not_kept(run_async: Callable[..., Any]):
    async def story() -> None:
        database, gate = {"app": "old"}, asyncio.Event()

        async def fill(key: str) -> str:
            read = database[key]
            await gate.wait()
            return read

        cache = Cache[str, str](fill)
        slow = asyncio.create_task(cache.get("app"))
        await asyncio.sleep(0)
        database["app"] = "new"
        cache.drop("app")
        gate.set()
        assert await slow == "old"  # the request came before the change
        assert await cache.get("app") == "new"
        database["app"] = "newer"
        assert await cache.get("app") == "new"  # from memory, until the change is applied
        cache.clear()
        assert await cache.get("app") == "newer"

    run_async(story())


@requirement("propagation:memory-is-bounded")
def test_the_memory_of_answers_is_bounded(run_async: Callable[..., Any], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cache_module, "MOST_CACHED", 10)

    async def fill(key: int) -> int:
        return key

    async def story() -> None:
        cache = Cache[int, int](fill)
        for key in range(100):
            assert await cache.get(key) == key
        assert len(cache._entries) == 10

    run_async(story())


@requirement("propagation:memory-is-bounded")
def test_what_ended_is_forgotten_once_no_token_of_it_can_live(house: House):
    house.write(end_many, ["early"])
    house.catch_up()
    house.later(tokens.LONGEST_LIFETIME)
    house.write(end_many, ["late"])
    house.catch_up()
    house.run(house.site.live._beat())
    assert house.run(house.site.live.has_ended("early"))
    house.later(2 * tokens.LEEWAY + 1)
    house.run(house.site.live._beat())
    assert not house.run(house.site.live.has_ended("early"))
    assert house.run(house.site.live.has_ended("late"))


@requirement("propagation:memory-is-bounded", "propagation:reads-anew-after-an-outage")
def test_a_node_that_starts_knows_what_ended_before(house_on: House):
    now = house_on.site.clock.now()
    house_on.write(ended_in_silence, "before", house_on.org.id, now)
    house_on.later(tokens.LONGEST_LIFETIME - 1)
    assert house_on.run(another_node(house_on).has_ended("before"))
    house_on.later(tokens.LEEWAY + 2)
    assert not house_on.run(another_node(house_on).has_ended("before"))
    assert house_on.read(connections.ended_since, now) == ["before"]
    assert house_on.read(authorizations.ended_since, now) == []


def an_app(house: House) -> registry.ExternalClientApp:
    key = next(app["consumer_key"] for app in house.told.apps if app["preset"] == "claude-code")
    apps = house.read(registry.in_order, house.org.id, limit=50)
    return next(app for app in apps if app.consumer_key == key)


def changed(house: House, app: registry.ExternalClientApp, *, delay: int, **policies: Any) -> Any:
    return house.write(
        propagation.change_app,
        app,
        revision=app.revision,
        settings=msgspec.structs.replace(app.settings, description="changed"),
        policies=msgspec.structs.replace(app.policies, **policies),
        actor="test",
        now_ms=house.site.clock.now_ms(),
        delay=delay,
    )


@requirement("propagation:delay")
def test_a_change_goes_live_after_the_delay_and_disabling_at_once(house_on: House):
    app = an_app(house_on)
    node = house_on.site.live

    def revision() -> tuple[int, bool]:
        house_on.catch_up()
        found = house_on.run(node.client(house_on.org.id, app.consumer_key))
        return found.revision, found.is_enabled

    assert revision() == (1, True)
    second = changed(house_on, app, delay=30)
    assert revision() == (1, True)
    house_on.later(29)
    assert revision() == (1, True)
    house_on.later(1.5)
    assert revision() == (2, True)
    changed(house_on, second, delay=30, is_enabled=False)
    assert revision() == (3, False)


@requirement("propagation:delay", "propagation:unknown-is-looked-up")
def test_a_new_app_is_held_back_by_the_delay_and_says_for_how_long(house_on: House):
    model = an_app(house_on)
    settings = msgspec.structs.replace(model.settings, label="Fresh", api_name="Fresh")
    made = new_app(house_on.site, house_on.org.id, settings, preset="other", created_by="test")
    node = house_on.site.live
    assert house_on.run(node.client(house_on.org.id, made.consumer_key)) is None
    house_on.write(propagation.create_app, made, actor="a test", now_ms=house_on.site.clock.now_ms(), delay=30)
    house_on.catch_up()
    assert house_on.run(node.client(house_on.org.id, made.consumer_key)) is None
    assert house_on.run(node.seconds_until_live(house_on.org.id, made.consumer_key)) == 30
    house_on.later(30.5)
    assert house_on.run(node.client(house_on.org.id, made.consumer_key)).name == "Fresh"
    assert house_on.run(node.seconds_until_live(house_on.org.id, made.consumer_key)) == 0


@requirement("propagation:live-on-nodes")
def test_an_app_counts_the_nodes_that_have_applied_its_change(house_on: House):
    app, other = an_app(house_on), another_node(house_on)
    now = house_on.site.clock.now_ms
    house_on.run(other._beat())
    house_on.run(other._acknowledge())
    changed(house_on, app, delay=0)
    house_on.catch_up()

    def live_on() -> tuple[int, int]:
        found = house_on.read(propagation.live_on, house_on.org.id, app.consumer_key, now())
        return found.live_nodes, found.nodes

    assert live_on() == (1, 2)
    house_on.run(other._catch_up())
    house_on.run(other._acknowledge())
    assert live_on() == (2, 2)
    house_on.later(propagation.NODE_IS_GONE_AFTER + 1)
    house_on.run(house_on.site.live._beat())
    assert live_on() == (1, 1)
