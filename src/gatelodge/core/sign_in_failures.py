"""Guessing is slowed down, and nobody is locked out for good: failures are counted in budgets, each with a growing wait.

A browser that signed in before has a budget of its own (OWASP, device cookies), so that whoever guesses at a name
elsewhere keeps its owner waiting nowhere but elsewhere. Times are epoch milliseconds, since all nodes share the rows.
"""

import msgspec

from gatelodge.core.operation import Operation, execute, number, one

REMEMBERED = 24 * 3600 * 1000
"""Milliseconds after which a budget without failures starts anew."""
LONGEST_WAIT = 900
FREE_TRIES = 4
"""Failures that cost no wait: the fifth costs a second, each one more twice as much, and never more than the longest."""
FREE_TRIES_OF_A_NETWORK = 19
"""More, since an office is behind one address."""
FREE_TRIES_OF_A_NAME = 49
LONGEST_WAIT_OF_A_NAME = 60
"""Over all addresses together; short, since here strangers could keep an owner waiting who has a new browser."""


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """What failures are counted under; ``free`` of them cost no wait, and a wait is ``longest`` seconds at most."""

    subject: str
    free: int = FREE_TRIES
    longest: int = LONGEST_WAIT

    def wait(self, failures: int) -> int:
        """Seconds to wait after so many failures."""
        beyond = failures - self.free - 1
        return 0 if beyond < 0 else min(self.longest, 1 << min(beyond, 30))


def budgets_elsewhere(name: str, network: str, kind: str) -> tuple[Budget, ...]:
    """The budgets of a browser that this name never signed in with: together, by network, and by name."""
    return (
        Budget(subject=f"{kind} {name} {network}"),
        Budget(subject=f"{kind} network {network}", free=FREE_TRIES_OF_A_NETWORK),
        Budget(subject=f"{kind} name {name}", free=FREE_TRIES_OF_A_NAME, longest=LONGEST_WAIT_OF_A_NAME),
    )


def budget_of_device(name: str, device: str, kind: str) -> tuple[Budget, ...]:
    """The one budget of a browser that this name signed in with before."""
    return (Budget(subject=f"{kind} {name} device {device}"),)


def begin(org_id: str, budgets: tuple[Budget, ...], now_ms: int) -> Operation[int]:
    """Count a try as failed before it is made, so that tries at the same time are counted each.

    0: it may be made. Otherwise the seconds to wait, and nothing was counted.
    """
    waits: list[int] = []
    for budget in budgets:
        until = yield from _until(org_id, budget)
        waits.append(until - now_ms)
    if max(waits) > 0:
        return -(-max(waits) // 1000)
    for budget in budgets:
        failures = yield from one(
            "INSERT INTO sign_in_failures (org_id, subject, failures, at, until)"
            " VALUES (:org_id, :subject, 1, :now, 0) ON CONFLICT (org_id, subject) DO UPDATE SET at = :now,"
            " failures = CASE WHEN sign_in_failures.at < :then THEN 1 ELSE sign_in_failures.failures + 1 END"
            " WHERE sign_in_failures.until <= :now RETURNING failures AS n",
            number,
            org_id=org_id,
            subject=budget.subject,
            now=now_ms,
            then=now_ms - REMEMBERED,
        )
        if failures is None:  # another try took the turn just now
            return max(1, -(-((yield from _until(org_id, budget)) - now_ms) // 1000))
        if wait := budget.wait(failures):
            yield from execute(
                "UPDATE sign_in_failures SET until = :until WHERE org_id = :org_id AND subject = :subject",
                until=now_ms + wait * 1000,
                org_id=org_id,
                subject=budget.subject,
            )
    return 0


def forgive(org_id: str, budgets: tuple[Budget, ...]) -> Operation[None]:
    """The try was right, or never made. The first budget, which is this person's own, starts anew; of the others only
    the one try is taken back, so that signing in as oneself buys no guesses at someone else.
    """
    own, *others = budgets
    yield from execute(
        "DELETE FROM sign_in_failures WHERE org_id = :org_id AND subject = :subject",
        org_id=org_id,
        subject=own.subject,
    )
    for budget in others:
        yield from take_back(org_id, budget)


def take_back(org_id: str, budget: Budget) -> Operation[None]:
    """Uncount one try."""
    yield from execute(
        "UPDATE sign_in_failures SET failures = failures - 1, until = 0"
        " WHERE org_id = :org_id AND subject = :subject AND failures > 0",
        org_id=org_id,
        subject=budget.subject,
    )


def take_back_all(org_id: str, budgets: tuple[Budget, ...]) -> Operation[None]:
    """Uncount a try that could not be made."""
    for budget in budgets:
        yield from take_back(org_id, budget)


def forget_old(now_ms: int) -> Operation[None]:
    """Remove budgets that would start anew anyway."""
    yield from execute(
        "DELETE FROM sign_in_failures WHERE at < :then AND until <= :now", then=now_ms - REMEMBERED, now=now_ms
    )


def _until(org_id: str, budget: Budget) -> Operation[int]:
    found = yield from one(
        "SELECT until AS n FROM sign_in_failures WHERE org_id = :org_id AND subject = :subject",
        number,
        org_id=org_id,
        subject=budget.subject,
    )
    return found or 0
