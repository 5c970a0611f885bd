"""Whoever writes the database behind our back is found, and what they did is named."""

from typing import Any

import msgspec
import pytest

from gatelodge.core import audit, calls, chains
from gatelodge.core.calls import Batch, Call
from gatelodge.core.operation import execute
from gatelodge.web import chain_check
from gatelodge.web.chain_check import KeptHeads
from tests.house import House
from tests.requirements import requirement

TABLES = {"audit": "audit_events", "calls": "calls"}
MADE = 1000


def furnished(house: House) -> str:
    """Ten calls and ten events more in both chains, sealed; the org's id."""
    org_id = house.org.id
    for n in range(10):
        at = int(house.time * 1000) + n
        house.write(audit.record, org_id, at, "005", "app:settings:change", f"0xI{n}", {"label": ["A", f"{n}"]})
        house.write(calls.write, org_id, Batch([call(org_id, at)], [], {}))
    house.run(house.site.calls.seal())
    return org_id


def call(org_id: str, at: int) -> Call:
    named = {"app_id": "0xI", "client_id": "c", "user_id": "005", "connection_id": "0uC", "server": "s"}
    return Call(org_id=org_id, at=at, method="tools/call", **named)


def problems(house: House, name: str, kept: KeptHeads | None = None) -> list[str]:
    found = {each.name: each for each in house.run(chain_check.verify(house.site, house.org, kept))}
    assert found["calls" if name == "audit" else "audit"].problems == []
    return found[name].problems


def sql(house: House, statement: str, **values: Any) -> None:
    def tamper() -> Any:
        yield from execute(statement, **values)

    house.write(tamper)


def newest(house: House, name: str) -> int:
    return house.read(chains.find, house.org.id, name).seq


@pytest.fixture(params=["audit", "calls"])
def chain(request: pytest.FixtureRequest, house_on: House) -> tuple[House, str, str, int]:
    """A house, a chain, its table, and the number of a row in its middle."""
    furnished(house_on)
    assert problems(house_on, request.param) == []
    return house_on, request.param, TABLES[request.param], newest(house_on, request.param) - 5


@requirement("chain:tampering")
def test_a_changed_row_is_found_whatever_column_it_was(chain: tuple[House, str, str, int]):
    house, name, table, n = chain
    columns = audit.COLUMNS if name == "audit" else calls.records.COLUMNS
    for column in columns.split(", "):
        if column in ("org_id", "seq"):
            continue
        is_number = column in ("at", "status", "duration_us", "bytes_in", "bytes_out", "rows")
        before = f"was_{column}"
        sql(house, f"ALTER TABLE {table} ADD COLUMN {before} {'BIGINT' if is_number else 'TEXT'}")
        sql(house, f"UPDATE {table} SET {before} = {column}")
        changed = f"{column} + 1" if is_number else f"{column} || 'x'"
        sql(house, f"UPDATE {table} SET {column} = {changed} WHERE seq = {n}")
        assert any(f"row {n} of the {name}" in each for each in problems(house, name)), column
        sql(house, f"UPDATE {table} SET {column} = {before}")
        assert problems(house, name) == [], column
        sql(house, f"ALTER TABLE {table} DROP COLUMN {before}")


@requirement("chain:tampering")
def test_a_removed_row_is_found(chain: tuple[House, str, str, int]):
    house, name, table, n = chain
    sql(house, f"DELETE FROM {table} WHERE seq = {n}")
    assert problems(house, name) == [f"row {n} of the {name} was removed"]
    sql(house, f"DELETE FROM {table} WHERE seq = {n + 1}")
    assert problems(house, name) == [f"rows {n} to {n + 1} of the {name} were removed"]


@requirement("chain:tampering")
def test_an_added_row_is_found_at_the_end_and_in_between(chain: tuple[House, str, str, int]):
    house, name, table, n = chain
    columns = (audit.COLUMNS if name == "audit" else calls.records.COLUMNS).replace("seq, ", "")
    last = newest(house, name)
    copied = f"INSERT INTO {table} (seq, {columns}) SELECT {{}}, {columns} FROM {table} WHERE seq = {n}"
    sql(house, copied.format(last + 1))
    assert problems(house, name) == [f"rows after row {last} of the {name}, its head, were added"]
    sql(house, f"DELETE FROM {table} WHERE seq > {last}")
    sql(house, f"UPDATE {table} SET seq = seq + {MADE} WHERE seq > {n}")
    sql(house, f"UPDATE {table} SET seq = seq - {MADE} + 1 WHERE seq > {MADE}")
    sql(house, copied.format(n + 1))
    found = problems(house, name)
    assert found[0].startswith(f"row {n + 1} of the {name} isn't what was written")


@requirement("chain:tampering")
def test_rows_that_changed_places_are_found(chain: tuple[House, str, str, int]):
    house, name, table, n = chain
    sql(house, f"UPDATE {table} SET seq = {MADE} WHERE seq = {n}")
    sql(house, f"UPDATE {table} SET seq = {n} WHERE seq = {n + 1}")
    sql(house, f"UPDATE {table} SET seq = {n + 1} WHERE seq = {MADE}")
    assert problems(house, name)[0].startswith(f"row {n} of the {name} isn't what was written")


@requirement("chain:tampering")
def test_a_cut_is_found_at_the_end_and_at_the_beginning(chain: tuple[House, str, str, int]):
    house, name, table, n = chain
    last, org_id = newest(house, name), house.org.id
    kept = house.run(chain_check.export(house.site, house.org)).kept
    hashes = {each.seq: each.hash for each in house.read((audit if name == "audit" else calls).after, org_id, 0)}
    assert problems(house, name, kept) == []
    sql(house, f"DELETE FROM {table} WHERE seq <= {n}")
    assert problems(house, name)[0].endswith("were removed")
    head = "UPDATE chains SET {} = :n, {} = :hash WHERE name = :name"
    sql(house, head.format("first_seq", "first_hash"), n=n, hash=hashes[n], name=name)
    assert problems(house, name) == [
        f"the {name} begins after row {n}, and the audit knows of no purge up to there: the beginning was cut off"
    ]
    sql(house, head.format("first_seq", "first_hash"), n=n, hash="", name=name)
    if name == "calls":
        said = problems(house, name)
        assert any("nothing says that the rows before were purged" in each for each in said)
    sql(house, f"DELETE FROM {table} WHERE seq > {last - 2}")
    found = problems(house, name)
    assert f"the {name} ends at row {last - 2}, and its head is row {last}: the end was cut off" in found
    sql(house, head.format("seq", "hash"), n=last - 2, hash=hashes[last - 2], name=name)
    assert f"row {last} of the {name} was sealed, and its head is row {last - 2}: it was cut" in problems(house, name)
    # With an older copy of the seal too, only the head that was kept elsewhere tells.
    sql(house, "UPDATE chains SET sealed_seq = 0, seal = '' WHERE name = :name", name=name)
    cut = f"row {last} of the {name} was exported, and its head is row {last - 2}: it was cut"
    found = house.run(chain_check.verify(house.site, house.org, kept))
    assert any(cut in each.problems for each in found)


@requirement("chain:tampering")
def test_a_chain_that_was_made_anew_is_found_by_its_seal_and_by_a_kept_head(chain: tuple[House, str, str, int]):
    house, name, table, _ = chain
    org_id = house.org.id
    kept = house.run(chain_check.export(house.site, house.org)).kept
    owner: Any = audit if name == "audit" else calls.records
    rows = house.read(owner.after, org_id, 0)
    first = house.read(chains.find, org_id, name)
    link = first.first_hash
    for row in rows:
        changed = msgspec.structs.replace(row, **{("actor" if name == "audit" else "user_id"): "somebody else"})
        link = chains.link(link, owner.linked(changed, row.seq))
        column = "actor" if name == "audit" else "user_id"
        sql(house, f"UPDATE {table} SET {column} = 'somebody else', hash = :hash WHERE seq = {row.seq}", hash=link)
    sql(house, "UPDATE chains SET hash = :hash WHERE name = :name", hash=link, name=name)
    said = f"row {first.seq} of the {name} isn't the one that was sealed: all up to it may be false"
    assert problems(house, name) == [said]
    sql(house, "UPDATE chains SET sealed_seq = 0, seal = '' WHERE name = :name", name=name)
    assert problems(house, name) == []
    assert problems(house, name, kept) == [said.replace("sealed", "exported")]
    forged = msgspec.structs.replace(
        kept, heads=kept.heads | {name: msgspec.structs.replace(kept.heads[name], hash=link)}
    )
    assert problems(house, name, forged)[0].endswith("wasn't made by this deployment, or was changed")
