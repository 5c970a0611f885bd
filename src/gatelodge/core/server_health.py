"""How upstreams are: what the last look at each found, and whose turn it is to look again.

A look is taken once for the whole deployment and not by every node: one statement decides which of them has the turn.
"""

from typing import Any

import msgspec

from gatelodge.core.operation import Operation, execute, many, one, text
from gatelodge.words import Reason, verbatim

EVERY = 60
"""Seconds between two looks at one server, and up to so many more by chance: not all at once."""
EVERY_COMMAND = 600
"""The same for a local command, of which each look starts a process."""
SPREAD = 12
SOONEST = 10
"""Seconds from one look to the next where something shows that the server has changed, and up to ``SPREAD`` more."""
MOST_SERVERS = 1000


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """What the last look found: when (epoch seconds, 0 for never), in how many milliseconds, why it failed (None when it
    didn't), and which protocol version the server speaks.
    """

    server_id: str
    checked_at: int
    milliseconds: int
    why: Reason | None
    speaks: str

    @property
    def is_well(self) -> bool:
        """Whether the server answered."""
        return bool(self.checked_at) and not self.why

    @property
    def has_failed(self) -> bool:
        """Whether somebody looked and the server didn't answer; False while nobody has looked."""
        return bool(self.checked_at and self.why)


def begin(org_id: str, server_id: str) -> Operation[None]:
    """Nobody has looked at this server yet; a look is due."""
    yield from execute(
        "INSERT INTO server_health (server_id, org_id, next_at, checked_at, milliseconds, why, speaks)"
        " VALUES (:server_id, :org_id, 0, 0, 0, '', '')",
        server_id=server_id,
        org_id=org_id,
    )


def take_turn(
    org_id: str, server_id: str, *, chance: int, now: int, every: int = EVERY, is_early: bool = False
) -> Operation[bool]:
    """True for exactly one caller each time a look is due: the next one in ``every`` seconds, and some more by ``chance``,
    which is any number that chance made. ``is_early``: there is a reason to look before that time is over.
    """
    taken = yield from one(
        "UPDATE server_health SET next_at = :next_at WHERE org_id = :org_id AND server_id = :server_id"
        " AND next_at <= :due RETURNING server_id AS value",
        text,
        server_id=server_id,
        org_id=org_id,
        next_at=now + every + chance % SPREAD,
        due=now + every - SOONEST if is_early else now,
    )
    return taken is not None


def note(org_id: str, found: Health) -> Operation[None]:
    """Keep what a look found, and nothing when the server has been removed meanwhile."""
    yield from execute(
        "UPDATE server_health SET checked_at = :checked_at, milliseconds = :milliseconds, why = :why, speaks = :speaks"
        " WHERE org_id = :org_id AND server_id = :server_id",
        org_id=org_id,
        server_id=found.server_id,
        checked_at=found.checked_at,
        milliseconds=found.milliseconds,
        why=msgspec.json.encode(found.why).decode() if found.why else "",
        speaks=found.speaks,
    )


def of_org(org_id: str) -> Operation[dict[str, Health]]:
    """What the last look at each of the org's servers found, by its id."""
    found = yield from many(
        "SELECT server_id, checked_at, milliseconds, why, speaks FROM server_health WHERE org_id = :org_id"
        " ORDER BY server_id LIMIT :limit",
        _health,
        org_id=org_id,
        limit=MOST_SERVERS,
    )
    return {each.server_id: each for each in found}


def _health(*, why: str, **columns: Any) -> Health:
    """A ``Health`` from its row. A sentence that an older version kept is shown as it stands."""
    said = None if not why else verbatim(why)
    if why.startswith("{"):
        said = msgspec.json.decode(why, type=Reason)
    return Health(why=said, **columns)
