"""The rule of refresh rotation under histories that nobody would think of: reads and rotations of many holders in any
order and at any time, compared with the rule written down a second time.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatelodge.core import connections, refresh, secrets
from gatelodge.core.apps.policies import Policies
from gatelodge.core.connections import Connection
from gatelodge.core.errors import Denied
from gatelodge.core.ids import CONNECTION
from gatelodge.core.operation import Operation
from gatelodge.core.refresh import Family, Held, Terms
from tests.generated import MANY
from tests.house import House
from tests.oauth.scenes import add_app, add_user, claims_of, connect, person, set_active
from tests.requirements import requirement

MS = 1000
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("read"), st.integers(0, 4)),  # the token so many before the newest; later, rotated with it
        st.tuples(st.just("rotate"), st.integers(0, 3)),  # one of those who have read
        st.tuples(st.just("use"), st.integers(0, 3)),  # both at once
        st.tuples(st.just("use"), st.just(0)),  # the honest way
        st.tuples(st.just("ahead"), st.integers(1, 3)),  # a number that this row has not reached
        st.tuples(st.just("wait"), st.sampled_from([1, 999, MS, 5 * MS, 29 * MS, 30 * MS, 31 * MS, 121 * MS])),
    ),
    max_size=25,
)


class Rule:
    """The rule again, as simply as it can be said."""

    def __init__(self, window: int) -> None:
        self.window, self.n, self.is_over = window, 1, False
        self.superseded: dict[int, int] = {}

    def use(self, n: int, now: int) -> int | None:
        """The number that the answer carries; None: refused."""
        if self.is_over:
            return None
        if n == self.n:
            self.superseded[n] = now
            self.n += 1
            return self.n
        known = sorted(self.superseded)[-16:]
        if n in known and self.window and now - self.superseded[n] <= self.window * MS:
            return self.n
        self.is_over = True
        return None


def terms(window: int) -> Terms:
    """Those of an app with rotation, and of the org that has this window."""
    return Terms(policies=Policies(), rotates=True, window=window)


def begin(like: Connection, connection_id: str, family: Family) -> Operation[None]:
    """A connection beside another, with its family."""
    made = Connection(**{name: getattr(like, name) for name in like.__struct_fields__} | {"id": connection_id})
    yield from connections.begin(made, 0)
    yield from refresh.begin_for(made, family)


@pytest.fixture
def place(house_on: House) -> tuple[House, Connection]:
    """A house and a connection in it, to which others are added."""
    tokens = connect(person(house_on), add_app(house_on))
    found = house_on.read(connections.find, house_on.org.id, claims_of(tokens["access_token"])["connection_id"])
    assert found is not None
    return house_on, found


@requirement("refresh:rule", "refresh:window", "refresh:strict", "refresh:replay-ends-connection")
def test_whatever_the_history_the_store_follows_the_rule(place: tuple[House, Connection]):
    house, like = place

    async def play(steps: list[tuple[str, int]], window: int) -> None:
        store, org_id, now = house.site.store, like.org_id, 1_800_000_000_000
        ids = [secrets.new_id(CONNECTION) for _ in range(2)]
        families = [
            Family(
                id=secrets.new_token()[:22],
                org_id=org_id,
                connection_id="",
                salt="s",
                n=1,
                recent=(),
                began_at=now // MS,
                used_at=now // MS,
            )
            for _ in range(2)
        ]
        for connection_id, family in zip(ids, families, strict=True):
            await store.run(begin, like, connection_id, family)
        rule, waiting = Rule(window), []

        async def rotate(held: Held, n: int) -> None:
            wanted = rule.use(n, now)
            answer = await store.run(refresh.rotate, held, n, terms=terms(window), now_ms=now)
            if wanted is None:
                assert isinstance(answer, Denied) and answer.error == "invalid_grant"
            else:
                assert not isinstance(answer, Denied), (answer, n, rule.n)
                assert answer.family.n == wanted and answer.connection.id == ids[0]

        for what, amount in steps:
            if what == "wait":
                now += amount
            elif what == "rotate" and waiting:
                await rotate(*waiting.pop(amount % len(waiting)))
            held = await store.read(refresh.find_live, org_id, families[0].id)
            assert (held is None) is rule.is_over
            if held is None:
                continue
            assert held.family.n == rule.n and len(held.family.recent) <= refresh.MOST_RECENT
            n = max(1, rule.n - amount)
            if what == "read":
                waiting.append((held, n))
            elif what == "use":
                await rotate(held, n)
            elif what == "ahead":
                await rotate(held, rule.n + amount)
        alive = [await store.read(connections.find, org_id, connection_id) is not None for connection_id in ids]
        assert alive == [not rule.is_over, True]  # the other connection of the same user is never touched

    @MANY
    @given(STEPS, st.sampled_from([0, 1, 30, 120]))
    def check(steps: list[tuple[str, int]], window: int) -> None:
        house.run(play(steps, window))

    check()


@requirement("refresh:ended", "refresh:rule")
def test_who_loses_to_the_end_of_a_user_and_not_to_a_rotation_ends_nothing(house_on: House):
    """The user is deactivated between the look at the family and its rotation."""
    client, who = add_app(house_on), add_user(house_on)
    token = connect(who, client)["refresh_token"]
    presented = refresh.parse(token)
    assert presented is not None
    held = house_on.read(refresh.find_live, house_on.org.id, presented.family)
    set_active(house_on, who, is_active=False)
    answer = house_on.write(refresh.rotate, held, 1, terms=terms(30), now_ms=house_on.site.clock.now_ms())
    assert isinstance(answer, Denied) and "ended" in answer.description
    set_active(house_on, who, is_active=True)
    assert client.refresh(token).status_code == 200


@requirement("refresh:forgery")
@MANY
@given(st.text(max_size=120) | st.from_regex(r"[A-Za-z0-9_.-]{0,120}", fullmatch=True))
def test_no_text_is_taken_for_a_token_unless_it_has_four_whole_parts(text: str):
    presented = refresh.parse(text)
    if presented is not None:
        assert text == f"{presented.key_id}.{presented.family}.{presented.n}.{presented.mac}"
        assert len(presented.mac) == 43 and presented.n > 0 and presented.mac not in repr(presented)


@requirement("refresh:forgery", "refresh:master-keys")
@MANY
@given(
    st.lists(st.sampled_from(["k1", "k2", "k3"]), min_size=1, max_size=3, unique=True),
    st.integers(1, 10**15),
    st.integers(1, 10**15),
    st.sampled_from(["id", "org_id", "salt"]),
)
def test_a_token_is_ours_only_with_its_key_its_family_and_its_number(names: list[str], n: int, other: int, field: str):
    bytes_of = {name: secrets.random_bytes(32) for name in ("k1", "k2", "k3")}
    ring = secrets.KeyRing({name: bytes_of[name] for name in names})
    family = Family(id="f" * 22, org_id="o", connection_id="c", salt="s", n=n, recent=(), began_at=0, used_at=0)
    presented = refresh.parse(refresh.write(ring, family))
    assert presented is not None and presented.key_id == names[0] and refresh.is_ours(ring, presented, family)
    turned = secrets.KeyRing({name: bytes_of[name] for name in reversed(names)})
    assert refresh.is_ours(turned, presented, family)
    without = secrets.KeyRing({name: bytes_of[name] for name in ("k1", "k2", "k3") if name != names[0]})
    assert not refresh.is_ours(without, presented, family)
    values = {name: getattr(family, name) for name in family.__struct_fields__}
    assert not refresh.is_ours(ring, presented, Family(**values | {field: values[field] + "x"}))
    if other != n:
        assert not refresh.is_ours(ring, refresh.Presented("k1", family.id, other, presented.mac), family)
