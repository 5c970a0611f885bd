"""Chains of hashes: what is written down can't be changed, removed, added or moved afterwards without being found.

Each row's hash is SHA-256 over the hash before it and the row's columns as a JSON array, so that anybody can compute it
from an export. An org has one chain per kind of record, numbered without gaps; its head is one row, whose lock makes the
order (decision 0039).
"""

import hashlib
from collections.abc import Sequence

import msgspec

from gatelodge.core import secrets
from gatelodge.core.operation import Operation, Value, execute, many, one, text
from gatelodge.core.secrets import KeyRing
from gatelodge.words import _

AUDIT = "audit"
CALLS = "calls"
NAMES = (AUDIT, CALLS)
PURPOSE = "chain-seal"
ENCODER = msgspec.json.Encoder()


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """Where a chain stands: the number and hash of its newest row. ``first_seq`` and ``first_hash`` are those of the last
    row that was purged (0 and "" for a chain that is whole); ``seal`` is over the row ``sealed_seq``.
    """

    org_id: str
    name: str
    first_seq: int
    first_hash: str
    seq: int
    hash: str
    sealed_seq: int
    seal: str


COLUMNS = "org_id, name, first_seq, first_hash, seq, hash, sealed_seq, seal"


def link(before: str, columns: Sequence[Value]) -> str:
    """The hash of a row that follows the row with the hash ``before``."""
    return hashlib.sha256(before.encode() + ENCODER.encode(columns)).hexdigest()


def take(org_id: str, name: str) -> Operation[Head]:
    """A chain's head, locked until the transaction ends; a chain that isn't there begins."""
    found = yield from one(
        f"INSERT INTO chains ({COLUMNS}) VALUES (:org_id, :name, 0, '', 0, '', 0, '')"
        f" ON CONFLICT (org_id, name) DO UPDATE SET seq = chains.seq RETURNING {COLUMNS}",
        Head,
        org_id=org_id,
        name=name,
    )
    assert found is not None  # inserted or locked
    return found


def move(head: Head, seq: int, hash: str) -> Operation[None]:
    """The chain has grown to this row."""
    yield from execute(
        "UPDATE chains SET seq = :seq, hash = :hash WHERE org_id = :org_id AND name = :name",
        seq=seq,
        hash=hash,
        org_id=head.org_id,
        name=head.name,
    )


def cut(head: Head, seq: int, hash: str) -> Operation[None]:
    """What came up to this row was purged: the chain is verified from here on."""
    yield from execute(
        "UPDATE chains SET first_seq = :seq, first_hash = :hash WHERE org_id = :org_id AND name = :name",
        seq=seq,
        hash=hash,
        org_id=head.org_id,
        name=head.name,
    )


def find(org_id: str, name: str) -> Operation[Head | None]:
    """A chain's head as it stands; None: nothing was written yet."""
    sql = f"SELECT {COLUMNS} FROM chains WHERE org_id = :org_id AND name = :name"
    return (yield from one(sql, Head, org_id=org_id, name=name))


def unsealed(after: tuple[str, str]) -> Operation[list[Head]]:
    """The chains of every org that have grown since they were sealed, a page at a time; ``after``: org and name."""
    return (
        yield from many(
            f"SELECT {COLUMNS} FROM chains WHERE seq > sealed_seq AND (org_id, name) > (:org_id, :name)"
            " ORDER BY org_id, name LIMIT :limit",
            Head,
            org_id=after[0],
            name=after[1],
            limit=1000,
        )
    )


def seal(head: Head, made: str) -> Operation[None]:
    """Keep the seal of this head, unless a later one is sealed."""
    yield from execute(
        "UPDATE chains SET sealed_seq = :seq, seal = :seal WHERE org_id = :org_id AND name = :name"
        " AND sealed_seq < :seq",
        seq=head.seq,
        seal=made,
        org_id=head.org_id,
        name=head.name,
    )


def sealed(ring: KeyRing, head: Head) -> str:
    """The seal of a head: who writes the database alone can't make one."""
    made = ring.mac(PURPOSE, head.org_id, head.name, str(head.seq), head.hash)
    assert made is not None  # the current key is on the ring
    return f"{ring.current_id}.{made}"


def is_sealed(ring: KeyRing, org_id: str, name: str, seq: int, row: str, seal: str) -> bool:
    """Whether this seal was made by us over the row ``seq`` with the hash ``row``."""
    key_id, _, mac = seal.rpartition(".")
    expected = ring.mac(PURPOSE, org_id, name, str(seq), row, key_id=key_id)
    return expected is not None and secrets.are_equal(mac, expected)


class Check:
    """Goes along a chain, row by row from its first (after ``seq`` with the hash ``last``) to the one ``until``, and says
    what is wrong.
    """

    MOST = 20

    def __init__(self, name: str, seq: int, last: str, until: int = 1 << 62) -> None:
        self.name, self.seq, self.until = name, seq, until
        self.hash: str = last
        self.rows = 0
        self.problems: list[str] = []
        self.seen: dict[int, str] = {}

    def watch(self, seq: int) -> None:
        """Remember the hash of this row when it comes by."""
        self.seen[seq] = self.hash if seq == self.seq else ""

    def add(self, seq: int, hash: str, columns: Sequence[Value]) -> None:
        """The next row that is there."""
        if seq > self.seq + 1:
            first, last = self.seq + 1, seq - 1
            gap = (
                _("row {first} of the {name} was").format(first=first, name=self.name)
                if first == last
                else _("rows {first} to {last} of the {name} were").format(first=first, last=last, name=self.name)
            )
            self.found(_("{gap} removed").format(gap=gap))
        elif seq <= self.seq:
            self.found(_("row {seq} of the {name} stands twice, or out of its order").format(seq=seq, name=self.name))
        elif hash != (expected := link(self.hash, columns)):
            self.found(
                _("row {seq} of the {name} isn't what was written: {expected} became {hash}").format(
                    seq=seq, name=self.name, expected=expected[:12], hash=hash[:12]
                )
            )
        self.rows += 1
        self.seq, self.hash = seq, hash
        if seq in self.seen:
            self.seen[seq] = hash

    def end(self, head: Head) -> None:
        """The last row has come by: the chain must end where its head says."""
        if self.seq < head.seq:
            self.found(
                _("the {name} ends at row {seq}, and its head is row {seq2}: the end was cut off").format(
                    name=self.name, seq=self.seq, seq2=head.seq
                )
            )
        elif self.seq > head.seq:
            self.found(
                _("the {name} has {seq} rows, and its head is row {seq2}: rows were added").format(
                    name=self.name, seq=self.seq, seq2=head.seq
                )
            )
        elif self.hash != head.hash:
            self.found(
                _("the head of the {name} isn't the hash of its last row, {seq}").format(name=self.name, seq=head.seq)
            )

    def found(self, problem: str) -> None:
        """Something is wrong; the first few are told."""
        if len(self.problems) < self.MOST:
            self.problems.append(problem)


def orgs_with(name: str) -> Operation[list[str]]:
    """The orgs that have such a chain."""
    sql = "SELECT org_id AS value FROM chains WHERE name = :name ORDER BY org_id LIMIT :limit"
    return (yield from many(sql, text, name=name, limit=1000))
