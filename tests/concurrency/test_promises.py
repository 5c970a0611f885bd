"""The promises about what happens once, over HTTP against running servers."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import msgspec
import pytest

from gatelodge.core import orgs, propagation
from gatelodge.core.apps import registry
from gatelodge.store import open_store
from tests.concurrency.deployments import Deployment, callers, on_postgres, on_sqlite
from tests.postgres import Cluster
from tests.requirements import requirement
from tests.running import eventually

pytestmark = pytest.mark.slow
CODES, CALLERS, FAMILIES = 200, 16, 20
Run = Callable[..., Any]
Tokens = dict[str, Any]


@pytest.fixture(scope="module", params=["one process on SQLite", "two on PostgreSQL"])
def deployment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Shared by the tests here: each works on codes and connections of its own."""
    data = tmp_path_factory.mktemp("deployment") / "data"
    if "SQLite" in request.param:
        with on_sqlite(data) as made:
            yield made
    else:
        with on_postgres(data, request.getfixturevalue("postgres_server")) as made:
            yield made


@requirement("concurrency:code-redeemed-once", "concurrency:replayed-code-kills-tokens")
def test_a_code_is_redeemed_once_and_its_replay_kills_what_it_gave(deployment: Deployment, run_async: Run):
    async def story() -> list[Tokens]:
        async with callers(deployment, CALLERS) as crowd:
            won = []
            for n in range(CODES):
                code = await crowd[n % CALLERS].code()
                answers = await asyncio.gather(*(each.redeem(code) for each in crowd))
                assert sorted(status for status, _ in answers) == [200] + [400] * (CALLERS - 1), n
                assert {body["error"] for status, body in answers if status == 400} == {"invalid_grant"}
                won += [body for status, body in answers if status == 200]
            refreshed = [await crowd[n % CALLERS].refresh(tokens["refresh_token"]) for n, tokens in enumerate(won)]
            assert {(status, body["error"]) for status, body in refreshed} == {(400, "invalid_grant")}
            return won

    for tokens in run_async(story())[::10]:
        for node in range(len(deployment.ports)):
            assert eventually(lambda at=node, token=tokens["access_token"]: deployment.mcp(token, at) == 401)


@requirement("concurrency:refresh-one-successor")
def test_a_refresh_token_has_one_successor_whoever_asks(deployment: Deployment, run_async: Run):
    async def story() -> list[Tokens]:
        async with callers(deployment, CALLERS) as crowd:
            last = []
            for n in range(FAMILIES):
                _, tokens = await crowd[n % CALLERS].redeem(await crowd[0].code())
                for _ in range(3):
                    answers = await asyncio.gather(*(each.refresh(tokens["refresh_token"]) for each in crowd))
                    assert {status for status, _ in answers} == {200}
                    assert len({body["refresh_token"] for _, body in answers}) == 1
                    assert answers[0][1]["refresh_token"] != tokens["refresh_token"]
                    tokens = answers[n % CALLERS][1]
                last.append(tokens)
            return last

    for tokens in run_async(story())[::5]:
        assert [deployment.mcp(tokens["access_token"], node) for node in range(2)] == [200, 200]


@requirement("concurrency:refresh-chains-converge")
def test_chains_of_two_rotations_inside_the_window_converge(deployment: Deployment, run_async: Run):
    async def story() -> None:
        async with callers(deployment, CALLERS) as crowd:
            for n in range(FAMILIES):
                ahead, behind = crowd[n % 2], crowd[(n + 1) % 2]
                _, first = await ahead.redeem(await ahead.code())
                _, second = await ahead.refresh(first["refresh_token"])
                _, third = await ahead.refresh(second["refresh_token"])
                status, caught_up = await behind.refresh(first["refresh_token"])
                assert (status, caught_up["refresh_token"]) == (200, third["refresh_token"])
                # Every process, whichever token it holds, does two rotations at once with all the others.
                held = [(first, second, third)[k % 3]["refresh_token"] for k in range(CALLERS)]
                held = await asyncio.gather(*(chain(each, token) for each, token in zip(crowd, held, strict=True)))
                newest = max(held, key=lambda token: int(token.split(".")[2]))
                answers = await asyncio.gather(*(each.refresh(newest) for each in crowd))
                assert {status for status, _ in answers} == {200}
                assert len({body["refresh_token"] for _, body in answers}) == 1

    async def chain(caller: Any, token: str) -> str:
        for _ in range(2):
            status, body = await caller.refresh(token)
            assert status == 200, body
            token = body["refresh_token"]
        return token

    run_async(story())


@requirement("concurrency:refresh-replay-ends-its-connection")
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_replay_after_the_window_ends_its_connection_and_no_other(
    tmp_path: Any, kind: str, request: pytest.FixtureRequest
):
    grace = ("--refresh-grace", "1s")
    server = request.getfixturevalue("postgres_server") if kind == "postgresql" else None
    started = on_postgres(tmp_path / "data", server, *grace) if server else on_sqlite(tmp_path / "data", *grace)
    with started as deployment, deployment.client() as client:
        other, stolen = (client.redeem(code_of(client)).json() for _ in range(2))
        newer = client.refresh(stolen["refresh_token"]).json()
        # Used again and again it is forgiven, until the window, which doesn't slide, is over.
        assert eventually(lambda: client.refresh(stolen["refresh_token"]).status_code == 400, 10)
        refused = client.refresh(newer["refresh_token"])
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
        for node in range(len(deployment.ports)):
            assert eventually(lambda at=node: deployment.mcp(newer["access_token"], at) == 401, 30)
            # A node that is starved of time answers 503 for a while; one that ended too much says 401 for ever.
            assert eventually(lambda at=node: deployment.mcp(other["access_token"], at) == 200, 30)
        assert client.refresh(other["refresh_token"]).status_code == 200


def code_of(client: Any) -> str:
    answer = client.front.get(client.authorize_url())
    return httpx2.URL(answer.headers["location"]).params["code"]


@requirement("propagation:unknown-is-looked-up", "propagation:change-within-a-second")
def test_a_new_app_works_at_once_and_a_changed_one_soon_on_every_node(
    tmp_path: Any, postgres_server: Cluster, gatelodge: Callable[..., Any], run_async: Run
):
    with on_postgres(tmp_path / "data", postgres_server) as deployment:
        where = ("--database", deployment.database, "--master-key-file", str(tmp_path / "data/master.key"))
        made = gatelodge(
            "app", "create", "--name", "Fresh", "--email", "a@b.example", "--callback", "https://fresh.example/cb",
            "--json", *where,
        )  # fmt: skip
        key = msgspec.json.decode(made.stdout)["consumer_key"]
        asks = f"/services/oauth2/authorize?response_type=code&client_id={key}&code_challenge={'x' * 43}"
        asks += "&code_challenge_method=S256"

        def location(node: int) -> str:
            with deployment.front(node) as front:
                return front.get(asks).headers.get("location", "")

        assert ["/flow?request=" in location(node) for node in (0, 1)] == [True, True]
        run_async(disable(deployment, key))
        for node in (0, 1):
            assert eventually(lambda at=node: "app_blocked" in location(at))


async def disable(deployment: Deployment, key: str) -> None:
    """As a third node would: the change reaches the others by the feed alone."""
    store = await open_store(deployment.database)
    try:
        org = (await store.read(orgs.all_orgs, deployment.issuer))[0]
        app = next(
            each for each in await store.read(registry.in_order, org.id, limit=50) if each.consumer_key == key
        )  # fmt: skip
        await store.run(
            propagation.change_app,
            app,
            revision=app.revision,
            settings=app.settings,
            policies=msgspec.structs.replace(app.policies, is_enabled=False),
            actor="test",
            now_ms=app.updated_at * 1000,
            delay=0,
        )
    finally:
        await store.close()
