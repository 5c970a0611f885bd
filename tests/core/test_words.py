"""Small words of the core: ids, scopes, time, canonical resources, sealed bytes."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatelodge.core import ids, keys, mcp_servers, scopes, secrets
from gatelodge.core.clock import Clock
from gatelodge.core.orgs import Org
from gatelodge.core.secrets import KeyMissing, KeyRing
from tests.generated import MANY
from tests.requirements import requirement

ISSUERS = st.sampled_from(
    ["http://localhost:8765", "https://gate.example", "https://gate.example/Base", "https://gate.example/o/acme"]
)
NAMES = st.from_regex(mcp_servers.NAME_SHAPE, fullmatch=True)


def org_at(issuer: str) -> Org:
    return Org(id="00D", name="", label="", kind="production", refresh_window=30, issuer=issuer, path="")


@requirement("core:ids")
def test_the_checksum_is_the_one_that_real_clients_compute():
    assert ids.checksum("001A0000006Vm9r") == "IAC"


@requirement("core:ids")
@MANY
@given(st.binary(min_size=9, max_size=9), st.sampled_from([ids.ORG, ids.USER, ids.APP, ids.CONNECTION]))
def test_an_id_keeps_its_kind_and_survives_the_loss_of_case(entropy: bytes, kind: str):
    made = ids.make(kind, entropy)
    assert re.fullmatch(r"[0-9A-Za-z]{15}[A-Z0-5]{3}", made) and made.startswith(kind) and ids.is_id(made, kind)
    lost = made[:15].lower()
    bits = "".join(format(ids.CHECKSUM.index(c), "05b")[::-1] for c in made[15:])
    assert "".join(c.upper() if bit == "1" else c for c, bit in zip(lost, bits, strict=True)) == made[:15]
    swapped = made[:15].swapcase() + made[15:]
    assert ids.is_id(swapped, swapped[:3]) is (swapped == made)
    assert not ids.is_id(made[:15], kind) and not ids.is_id(made + "A", kind)


@requirement("core:ids")
def test_ids_and_keys_are_not_guessed_and_not_repeated():
    assert len({secrets.new_id(ids.USER) for _ in range(1000)}) == 1000
    made = {secrets.new_consumer_key() for _ in range(1000)}
    assert len(made) == 1000 and all(re.fullmatch(r"3MVG9[A-Za-z0-9._]{80}", key) for key in made)


@requirement("core:scopes")
@MANY
@given(st.text(max_size=60))
def test_a_scope_list_is_its_words_each_once(value: str):
    words = scopes.parse(value)
    assert len(set(words)) == len(words) and "" not in words and scopes.OFFLINE_ACCESS not in words
    assert {scopes.REFRESH_TOKEN if word == scopes.OFFLINE_ACCESS else word for word in value.split(" ")} - {""} == set(
        words
    )
    assert scopes.parse(scopes.to_wire(words)) == words


@requirement("core:clock")
@MANY
@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.booleans()), max_size=20))
def test_time_never_steps_back_whatever_the_clocks_do(steps: list[tuple[float, bool]]):
    reading = [1e9]
    clock = Clock(lambda: reading[0])
    before = clock.exact()
    for amount, is_correction in steps:
        if is_correction:
            clock.correct(reading[0] + amount)
        else:
            reading[0] += amount
        assert clock.exact() >= before
        before = clock.exact()
        assert clock.now() == int(before) and clock.now_ms() == int(before * 1000)


@requirement("core:clock")
def test_a_node_follows_the_clock_of_the_database():
    reading = [1000.0]
    clock = Clock(lambda: reading[0])
    clock.correct(1090.0)
    reading[0] += 10
    assert clock.now() == 1100


@requirement("core:canonical")
@MANY
@given(ISSUERS, NAMES, st.integers(0, 2**30), st.booleans())
def test_every_spelling_of_a_resource_that_mcp_allows_is_its_canonical_one(
    issuer: str, name: str, mask: int, slash: bool
):
    uri = mcp_servers.resource(org_at(issuer), name)
    assert mcp_servers.canonical(uri) == uri
    end = uri.index("/", len("https://"))
    shouted = "".join(c.upper() if mask >> (at % 30) & 1 else c for at, c in enumerate(uri[:end])) + uri[end:]
    assert mcp_servers.canonical(shouted + "/" * slash) == uri


@requirement("core:canonical")
@MANY
@given(ISSUERS, NAMES, st.data())
def test_nothing_else_is_taken_for_a_resource(issuer: str, name: str, data: st.DataObject):
    uri = mcp_servers.resource(org_at(issuer), name)
    at = data.draw(st.integers(0, len(uri)))
    other = uri[:at] + data.draw(st.text(max_size=3)) + uri[at + data.draw(st.integers(0, 2)) :]
    if mcp_servers.canonical(other) == uri:
        path = uri.index("/", len("https://"))
        bare = other.removesuffix("/")
        assert bare.lower() == uri.lower() and bare[-len(uri[path:]) :] == uri[path:]


@requirement("core:canonical")
@MANY
@given(st.text(max_size=60))
def test_any_text_has_a_canonical_form_which_loses_one_slash_at_most(text: str):
    found = mcp_servers.canonical(text)
    assert found.lower() == text.lower().removesuffix("/") or not text.isascii()


@requirement("core:keys")
@MANY
@given(st.binary(max_size=100), st.text(max_size=20), st.text(max_size=20))
def test_sealed_bytes_open_at_their_row_for_their_purpose_and_whole(plain: bytes, row: str, other: str):
    ring = KeyRing({"k1": secrets.random_bytes(32)})
    sealed = ring.seal("p", plain, row)
    assert ring.open("p", sealed, row) == plain and ring.seal("p", plain, row) != sealed
    if other != row:
        with pytest.raises(KeyMissing):
            ring.open("p", sealed, other)
    for purpose, changed in (("q", sealed), ("p", sealed[:-1] + bytes([sealed[-1] ^ 1]))):
        with pytest.raises(KeyMissing):
            ring.open(purpose, changed, row)
    with pytest.raises(KeyMissing, match="k1"):
        KeyRing({"k2": secrets.random_bytes(32)}).open("p", sealed, row)


@requirement("core:keys")
@MANY
@given(st.lists(st.text(max_size=5), max_size=4), st.lists(st.text(max_size=5), max_size=4))
def test_no_two_lists_of_parts_share_a_code(one: list[str], two: list[str]):
    ring = KeyRing({"k1": b"k" * 32})
    assert (ring.mac("p", *one) == ring.mac("p", *two)) is (one == two)
    assert ring.mac("p", *one) != ring.mac("q", *one)
    assert ring.mac("p", *one, key_id="k2") is None


@pytest.mark.parametrize("algorithm", keys.ALGORITHMS)
@requirement("core:keys", "discovery:jwks")
def test_a_signing_key_says_nothing_of_its_private_half(algorithm: str):
    ring = KeyRing({"k1": secrets.random_bytes(32)})
    made = keys.generate(ring, org_id="00D", algorithm=algorithm, now=0, signs_from=0)
    private = keys.unseal(ring, made).as_dict(private=True)["d"]
    assert private not in repr(made) and private not in made.public_jwk and private.encode() not in made.sealed
    assert private not in str(keys.jwk_set([made]))
    with pytest.raises(KeyMissing):
        keys.unseal(
            ring, keys.SigningKey(**{n: getattr(made, n) for n in made.__struct_fields__} | {"org_id": "other"})
        )
