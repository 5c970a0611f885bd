"""Forged tokens: each is refused in one look, with the same challenge, and nothing is fetched on its word."""

import re
import socket
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatelodge.cli import seeding
from gatelodge.core import orgs
from tests.gateway.forging import B64, FORGERIES, Workshop
from tests.gateway.speaking import Client
from tests.generated import MANY
from tests.house import House
from tests.requirements import requirement


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    """An org and its neighbour, and a token of the first in an attacker's hands."""
    with House(tmp_path_factory.mktemp("forged") / "data") as house:
        house.run(seeding.make_org(house.site, name="neighbour", label="Neighbour", kind=orgs.SANDBOX))
        house.catch_up()
        yield Workshop(house, house.site.live.org_at("neighbour"))


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the process tries to reach while the test runs: nothing is reached."""
    tried: list[str] = []

    def refuse(*arguments: object, **_: object) -> None:
        tried.append(repr(arguments))
        raise OSError("no network here")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return tried


@requirement("gateway:forged-tokens")
def test_the_workshop_can_make_a_token_that_is_good(workshop: Workshop):
    for good in (workshop.good, workshop.inside(), workshop.inside(workshop.header(typ="application/at+jwt"))):
        assert Client(workshop.house, good).modern("tools/list").status_code == 200


@pytest.mark.parametrize("name", FORGERIES)
@requirement("gateway:forged-tokens")
def test_a_forged_token_is_refused_and_nothing_is_fetched(workshop: Workshop, no_network: list[str], name: str):
    forged = FORGERIES[name](workshop)
    assert forged != workshop.good
    answer = workshop.house.client().post(
        f"{workshop.house.issuer}/mcp/sobject-reads",
        headers=[("Authorization", f"Bearer {forged}".encode("latin-1"))],
        content=b"{}",
    )
    assert answer.status_code == 401, answer.text
    header = answer.headers["www-authenticate"]
    assert header.startswith('Bearer error="invalid_token", error_description="'), header
    assert re.fullmatch(r"[ -~]+", header) and len(header) < 2000
    assert 'resource_metadata="http://localhost:8765/.well-known/' in header and 'scope="mcp_api"' in header
    assert forged not in answer.text, "a token is never said back"
    assert no_network == []


@requirement("gateway:forged-tokens")
def test_there_are_more_kinds_of_forgery_than_anybody_would_try_by_hand():
    assert len(FORGERIES) >= 100


@MANY
@given(place=st.integers(0), letter=st.sampled_from(B64 + ".=+/%"))
@requirement("gateway:forged-tokens")
def test_no_single_character_of_a_token_can_be_another(workshop: Workshop, place: int, letter: str):
    good = workshop.good
    at = place % len(good)
    changed = good[:at] + letter + good[at + 1 :]
    answer = Client(workshop.house, changed).modern("tools/list")
    assert answer.status_code == (200 if changed == good else 401)


@MANY
@given(text=st.text(st.characters(min_codepoint=33, max_codepoint=255), min_size=1, max_size=300))
@requirement("gateway:forged-tokens")
def test_no_text_is_a_token_and_none_breaks_the_gate(workshop: Workshop, text: str):
    answer = workshop.house.client().post(
        f"{workshop.house.issuer}/mcp/sobject-reads",
        headers=[("Authorization", f"Bearer {text}".encode("latin-1"))],
        content=b"{}",
    )
    assert answer.status_code == 401
