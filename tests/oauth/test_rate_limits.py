"""How much one caller may send: 429 with Retry-After, for that app and address alone, and sign-ins starve nobody."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from gatelodge.config import Config, ConfigRefused, check
from gatelodge.web.limits import MOST_BUCKETS, RateLimits
from tests.house import House
from tests.oauth.confidential import add_confidential, asked, revoke
from tests.oauth.scenes import add_app, connect, person, refused
from tests.people import OAuthClient, form
from tests.requirements import requirement

LIMIT = 20


@pytest.fixture(scope="module")
def limited_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("limited"), rate_limit=LIMIT, trusted_proxy=("203.0.113.0/24",)) as made:
        yield made


@pytest.fixture
def limited(limited_house: House) -> House:
    """A house whose buckets are full again."""
    limited_house.later(700)
    return limited_house


def spend(client: OAuthClient, times: int = LIMIT, address: str = "198.51.100.1") -> None:
    for _ in range(times):
        assert ask(client, address).status_code == 400


def ask(client: OAuthClient, address: str = "198.51.100.1") -> httpx2.Response:
    sent = {"grant_type": "refresh_token", "client_id": client.client_id, "refresh_token": "x"}
    return client.front.post("/services/oauth2/token", data=sent, headers={"X-Forwarded-For": address})


@requirement("rate-limits:by-app-and-address")
def test_one_app_at_one_address_is_told_when_to_come_again(limited: House):
    client = add_app(limited)
    spend(client)
    answer = ask(client)
    assert "rate_limit_exceeded" in refused(answer, "temporarily_unavailable", 429)
    assert answer.headers["retry-after"] == "3"  # a minute's worth fills up evenly: one in three seconds
    limited.later(2)
    assert ask(client).status_code == 429
    limited.later(1)
    assert ask(client).status_code == 400
    assert ask(client).status_code == 429
    limited.later(60)
    spend(client)
    assert ask(client).status_code == 429


@requirement("rate-limits:by-app-and-address")
def test_other_apps_and_other_addresses_go_on(limited: House):
    client, other = add_app(limited), add_app(limited)
    spend(client)
    assert ask(client).status_code == 429
    assert ask(other).status_code == 400
    assert ask(client, "198.51.100.2").status_code == 400
    # An IPv6 network of 64 bits is one household.
    spend(client, address="2001:db8:1:2::1")
    assert ask(client, "2001:db8:1:2::ffff").status_code == 429
    assert ask(client, "2001:db8:1:3::1").status_code == 400


@requirement("rate-limits:by-app-and-address")
def test_an_address_that_makes_up_apps_is_stopped_too(limited: House):
    client = add_app(limited)
    for n in range(10 * LIMIT):
        sent = {"grant_type": "x", "client_id": f"made up {n}"}
        address = {"X-Forwarded-For": "198.51.100.9"}
        assert client.front.post("/services/oauth2/token", data=sent, headers=address).status_code == 400
    assert ask(client, "198.51.100.9").status_code == 429
    assert ask(client, "198.51.100.8").status_code == 400


@requirement("rate-limits:every-endpoint")
def test_authorize_revoke_and_introspect_count_with_token(limited: House):
    held = add_confidential(limited)
    client = held.client

    def authorize() -> httpx2.Response:
        return client.front.get(client.authorize_url(), headers={"X-Forwarded-For": "198.51.100.1"})

    at = {"headers": {"X-Forwarded-For": "198.51.100.1"}}
    spend(client, LIMIT - 3)
    assert authorize().status_code == 303
    assert revoke(client, "x", **at).status_code == 200
    assert asked(held, "x", headers=held.basic | at["headers"]).status_code == 200
    page = authorize()
    assert page.status_code == 429 and int(page.headers["retry-after"]) >= 1 and "location" not in page.headers
    refused(revoke(client, "x", **at), "temporarily_unavailable", 429)
    answer = asked(held, "x", headers=held.basic | at["headers"])
    refused(answer, "temporarily_unavailable", 429)
    assert int(answer.headers["retry-after"]) >= 1


@requirement("rate-limits:off")
def test_without_a_limit_nothing_is_counted(tmp_path: Path):
    with House(tmp_path / "data", rate_limit=0) as house:
        client = add_app(house)
        assert {ask(client).status_code for _ in range(3 * LIMIT)} == {400}
    with pytest.raises(ConfigRefused, match="--rate-limit -1"):
        check(Config(public_url="http://localhost:8765", rate_limit=-1))


@requirement("rate-limits:bounded")
def test_a_flood_from_many_addresses_costs_memory_to_a_bound():
    limits = RateLimits(LIMIT)
    for n in range(MOST_BUCKETS):
        limits.check("00D", "app", f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}", 0)
    assert len(limits._buckets) == MOST_BUCKETS


@requirement("rate-limits:sign-ins-starve-nobody")
def test_a_hundred_sign_ins_at_once_leave_the_token_endpoint_answering(fresh_house: House):
    house = fresh_house
    client = add_app(house)
    tokens = connect(person(house), client)
    page = house.client().get("/login")
    fields = form(page, "/login") | {"password": "a guess"}
    cookies = {"Cookie": page.headers["set-cookie"].partition(";")[0]}
    order: list[str] = []

    async def sign_in(n: int) -> int:
        """A stranger of a household and a name of their own: each costs a hash, and none is asked to wait."""
        transport = httpx2.ASGITransport(app=house.app, client=(f"198.51.{n}.7", 5000))
        async with httpx2.AsyncClient(transport=transport, base_url=house.issuer) as http:
            answer = await http.post("/login", data=fields | {"username": f"nobody{n}@acme.example"}, headers=cookies)
        order.append("sign-in")
        return answer.status_code

    async def refresh(http: httpx2.AsyncClient) -> int:
        sent = {"grant_type": "refresh_token", "client_id": client.client_id, "refresh_token": tokens["refresh_token"]}
        answer = await http.post("/services/oauth2/token", data=sent)
        order.append("token")
        return answer.status_code

    async def crowd() -> tuple[list[int], list[int]]:
        transport = httpx2.ASGITransport(app=house.app, client=("203.0.113.7", 5000))
        async with httpx2.AsyncClient(transport=transport, base_url=house.issuer) as http:
            signing = [asyncio.ensure_future(sign_in(n)) for n in range(100)]
            await asyncio.sleep(0)  # they are all under way before the first refresh
            refreshed = [await refresh(http) for _ in range(20)]
            return refreshed, await asyncio.gather(*signing)

    refreshed, signed_in = house.run(crowd())
    assert refreshed == [200] * 20
    # Those who wait are bounded: the others hear so at once.
    assert set(signed_in) <= {400, 503} and signed_in.count(400) >= 64
    assert order.index("token") < len(order) - 20
    assert "sign-in" in order[order.index("token") :]
