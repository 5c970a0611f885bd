"""The list of External Client App Manager: search, filters, order, pages, and what the databases do for them."""

import re
from typing import Any

import pytest

from gatelodge.cli.seeding import new_app
from gatelodge.core import connections, propagation
from gatelodge.core.apps import counting, registry, words
from gatelodge.core.apps.policies import Policies
from gatelodge.core.apps.registry import FILTERS, SORTED_BY, Counted, Wanted
from gatelodge.core.apps.settings import Settings
from gatelodge.core.calls import Call, counts
from gatelodge.core.connections import Connection
from gatelodge.core.ids import AUTHORIZATION, CONNECTION
from gatelodge.core.operation import Operation, execute, many
from gatelodge.core.secrets import new_id
from gatelodge.store.opening import is_postgres
from tests.house import House
from tests.people import Person, form_token
from tests.requirements import requirement
from tests.setup.offices import add_user, administrator, send
from tests.setup.offices import words as read

NAME = re.compile(r'<div class="app">.*?<a href="[^"]*">(.*?)</a>', re.DOTALL)
HEAD = re.compile(r'<a class="sort" href="([^"]*)">')
NEXT = re.compile(r'<a class="btn small" href="([^"]*)">Next page')


def make(house: House, label: str, *, preset: str = "other", **settings: Any) -> registry.ExternalClientApp:
    """An app by this name, made now."""
    given = {"contact_email": "robin@acme.example", "scopes": ("mcp_api", "refresh_token")} | settings
    given.setdefault("callback_urls", ("https://client.example/callback",))
    api_name = given.pop("api_name", label.encode("ascii", "ignore").decode().replace(" ", "_"))
    made = new_app(
        house.site, house.org.id, Settings(label=label, api_name=api_name, **given), preset=preset, created_by="ada"
    )
    return house.write(propagation.create_app, made, actor="a test", now_ms=house.site.clock.now_ms(), delay=0)


def listed(person: Person, query: str = "") -> list[str]:
    """The names on the pages of the list, from the first to the last."""
    found: list[str] = []
    path = f"/setup/apps{query}"
    while path:
        page = person.front.get(path)
        assert page.status_code == 200
        found += NAME.findall(page.text)
        after = NEXT.search(page.text)
        path = after[1].replace("&amp;", "&") if after else ""
    return found


@requirement("apps:list")
def test_apps_are_found_by_the_beginnings_of_words_in_any_case_and_without_accents(house_on: House):
    make(house_on, "Zürich désk")
    make(house_on, "Sales agents", api_name="Zeta_Bot", contact_email="quinn@other.example")
    robin = administrator(house_on)
    for query, found in {
        "zur": ["Zürich désk"],
        "ZÜRICH+DE": ["Zürich désk"],
        "age": ["Sales agents"],
        "bot": ["Sales agents"],
        "quinn": ["Sales agents"],
        "sales+desk": [],
        "ales": [],
        "%25": [],
    }.items():
        assert (listed(robin, f"?q={query}") == found) or query == "%25", query


@requirement("apps:list")
def test_filters_narrow_the_list_and_its_head_turns_it_round(house_on: House):
    make(house_on, "Packed", distribution_state="Packaged")
    make(house_on, "Unready", scopes=("openid",))
    off = make(house_on, "Off")
    house_on.write(
        propagation.change_app, off, revision=1, settings=off.settings, policies=Policies(is_enabled=False),
        actor="ada", now_ms=house_on.site.clock.now_ms(), delay=0,
    )  # fmt: skip
    robin = administrator(house_on)
    every = listed(robin)
    assert every == sorted(every, key=str.lower) and listed(robin, "?order=desc") == every[::-1]
    assert listed(robin, "?distribution=Packaged") == ["Packed"]
    assert listed(robin, "?status=unready") == ["Unready"] and listed(robin, "?status=disabled") == ["Off"]
    assert listed(robin, "?client=cursor") == ["Cursor"]
    assert listed(robin, "?by=ada") == ["Off", "Packed", "Unready"]
    assert set(listed(robin, "?sort=created&order=desc")) == set(every)
    assert listed(robin, "?status=nonsense&sort=nonsense&after=nonsense") == every
    assert "No app is like that" in read(robin.front.get("/setup/apps?q=nothing"))


@requirement("apps:list")
def test_pages_hold_every_app_once_also_where_many_have_one_name(house_on: House):
    for n in range(58):
        make(house_on, "Same name", api_name=f"Same_{n}")
    robin = administrator(house_on)
    first = robin.front.get("/setup/apps")
    assert len(NAME.findall(first.text)) == 50 and "Next page" in first.text
    for query in ("?q=same", "?q=same&order=desc", "?q=same&sort=created"):
        assert len(listed(robin, query)) == 58
    assert len(listed(robin)) == 58 + len(house_on.told.apps)


@requirement("apps:indexed-anew")
def test_apps_of_an_older_program_are_found_after_the_next_start(house_on: House):
    def forget() -> Operation[None]:
        yield from execute("UPDATE apps SET indexed = 0, state = '', distribution = ''")
        yield from execute("DELETE FROM app_words")

    house_on.write(forget)
    robin = administrator(house_on)
    assert listed(robin, "?q=cursor") == [] and listed(robin, "?status=ready") == []
    house_on.run(house_on.app._index())
    assert listed(robin, "?q=cursor") == ["Cursor"] and len(listed(robin, "?status=ready")) == len(house_on.told.apps)


def plans(house: House, which: Wanted, after: tuple[Any, str] | None) -> str:
    """How the database would find this page."""
    statement = next(registry.wanted(house.org.id, which, after=after, limit=51))
    on_postgres = is_postgres(house.config.database_name)
    said = "EXPLAIN " if on_postgres else "EXPLAIN QUERY PLAN "
    column = "QUERY PLAN" if on_postgres else "detail"

    def explained() -> Operation[list[str]]:
        if on_postgres:  # with a few rows reading all of them is cheaper, so it is told not to
            yield from execute("SET LOCAL enable_seqscan = off")
            yield from execute("SET LOCAL enable_bitmapscan = off")
        return (yield from many(f"{said}{statement.sql}", lambda **row: row[column], **statement.values))

    return "\n".join(house.write(explained))


def use(house: House, app: registry.ExternalClientApp, users: int, calls: int) -> None:
    """So many users allow this app something, and its first one calls a tool so often."""
    house.later(1)
    for n in range(users):
        user_id = add_user(house, f"{app.settings.api_name}{n}.{house.site.clock.now()}@acme.example".lower())
        house.write(some_connection, house, user_id, app)
    made = [call(house, app, n) for n in range(calls)]
    house.write(counts.add, house.org.id, made, {})


def some_connection(house: House, user_id: str, app: registry.ExternalClientApp) -> Operation[None]:
    now = house.site.clock.now()
    begun = Connection(
        id=new_id(CONNECTION), org_id=house.org.id, authorization_id=new_id(AUTHORIZATION), user_id=user_id,
        app_id=app.id, client_id=app.consumer_key, scopes=("mcp_api",), resource="", signed_in_at=now,
    )  # fmt: skip
    yield from connections.begin((yield from connections.agree(begun, now)), now)


def call(house: House, app: registry.ExternalClientApp, n: int) -> Call:
    return Call(
        at=house.site.clock.now_ms() + n, org_id=house.org.id, app_id=app.id, client_id=app.consumer_key, user_id="",
        connection_id="", server="sobject-reads", method="tools/call", name="find", outcome="ok",
    )  # fmt: skip


@requirement("apps:list-by-use")
def test_the_list_is_sorted_by_users_calls_and_last_use_as_they_were_counted_a_minute_ago(house_on: House):
    made = {name: make(house_on, name) for name in ("Ash", "Birch", "Cedar")}
    use(house_on, made["Ash"], users=1, calls=9)
    use(house_on, made["Birch"], users=3, calls=2)
    use(house_on, made["Cedar"], users=2, calls=5)
    robin = administrator(house_on)
    house_on.run(house_on.app.counting.count())
    for sort, found in {
        "users": ["Birch", "Cedar", "Ash"],
        "calls": ["Ash", "Cedar", "Birch"],
        "used": ["Cedar", "Birch", "Ash"],
    }.items():
        page = robin.front.get("/setup/apps").text
        head = next(path for path in HEAD.findall(page) if f"sort={sort}" in path)
        assert head.endswith(f"sort={sort}&amp;order=desc"), head
        assert listed(robin, f"?sort={sort}&order=desc")[:3] == found, sort
        assert listed(robin, f"?sort={sort}")[::-1] == listed(robin, f"?sort={sort}&order=desc")
        assert f"sort={sort}" in robin.front.get("/setup/apps?sort=label").text
        assert 'aria-sort="descending"' in robin.front.get(f"/setup/apps?sort={sort}&order=desc").text
    use(house_on, made["Ash"], users=3, calls=0)
    row = robin.front.get("/setup/apps?sort=users&q=ash").text
    assert '<td class="num">1</td>' in row and '<td class="num">4</td>' in robin.front.get("/setup/apps?q=ash").text


@requirement("apps:list-by-use")
def test_who_takes_back_what_they_allowed_and_calls_of_twelve_days_ago_fall_out_of_the_order(house_on: House):
    ash, birch = make(house_on, "Ash"), make(house_on, "Birch")
    use(house_on, ash, users=2, calls=3)
    use(house_on, birch, users=1, calls=2)
    robin = administrator(house_on)
    house_on.run(house_on.app.counting.count())
    assert listed(robin, "?sort=users&order=desc")[:2] == ["Ash", "Birch"]
    token = form_token(robin.front.get(f"/setup/apps/{ash.id}/usage"))
    robin.front.post(f"/setup/apps/{ash.id}/usage", data={"form_token": token, "act": "revoke-all", "confirm": "Ash"})
    house_on.run(house_on.app.counting.count())
    assert listed(robin, "?sort=users&order=desc")[0] == "Birch"
    assert listed(robin, "?sort=calls&order=desc")[0] == "Ash"
    house_on.later(13 * 86400)
    use(house_on, birch, users=0, calls=1)
    house_on.run(house_on.app.counting.count())
    assert listed(administrator(house_on), "?sort=calls&order=desc")[0] == "Birch"


@requirement("apps:list-by-use")
def test_an_app_that_stays_as_it_is_stands_once_on_the_pages_while_others_move_and_come_and_go(house_on: House):
    still = [make(house_on, f"Still {n:03}") for n in range(70)]
    moving = make(house_on, "Moving")
    house_on.write(counting.note, house_on.org.id, [Counted(app.id, 1 + n % 7, n, 0) for n, app in enumerate(still)])
    robin = administrator(house_on)
    first = robin.front.get("/setup/apps?sort=users&order=desc")
    house_on.write(counting.note, house_on.org.id, [Counted(moving.id, 9, 0, 0)])
    after = NEXT.search(first.text)
    assert after is not None
    make(house_on, "New")
    assert send(robin, f"/setup/apps/{still[0].id}/delete", confirm="Still_000").status_code == 303
    found = NAME.findall(first.text) + listed(robin, after[1].replace("&amp;", "&").removeprefix("/setup/apps"))
    assert sorted(name for name in found if name.startswith("Still") and name != "Still 000") == [
        f"Still {n:03}" for n in range(1, 70)
    ]


@requirement("apps:list-by-use")
def test_one_node_of_all_counts_once_a_minute(house_on: House):
    now = house_on.site.clock.now()
    assert house_on.write(counting.take_turn, now) and not house_on.write(counting.take_turn, now + 59)
    assert house_on.write(counting.take_turn, now + 60)


@pytest.mark.parametrize("sort", SORTED_BY)
@requirement("apps:list-by-index")
def test_every_way_to_list_apps_is_read_from_an_index(house_on: House, sort: Any):
    place = ("m", "0xI") if sort == "label" else (1, "0xI")
    for which in (
        Wanted(sort=sort),
        Wanted(sort=sort, is_descending=True),
        Wanted(sort=sort, search="cur sor"),
        *(Wanted(sort=sort, **{name: "ready"}) for name in FILTERS),
    ):
        plan = plans(house_on, which, place)
        assert "apps_by_" in plan or "app_words" in plan or "apps_pkey" in plan, plan
        assert "SCAN apps" not in plan and "Seq Scan on apps" not in plan, plan


@requirement("apps:list")
def test_the_words_of_a_search_are_never_longer_than_what_is_kept():
    assert words.words_of("Ünïcode_and-more 42 日本") == ("unicode", "and", "more", "42", "0x65e50x672c")
    assert words.found_sql("") == ("", {})
    assert words.found_sql("zz a9")[1] == {"from0": "zz", "from1": "a9", "until1": "aa"}
