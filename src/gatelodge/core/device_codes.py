"""Device codes (RFC 8628): a client without a browser shows a short code, and polls while its user enters it elsewhere.

Neither code is stored: of the long one the digest, of the short one a MAC, since its few letters could be tried through.
"""

import msgspec

from gatelodge.core import authorizations, connections
from gatelodge.core.connections import Connection
from gatelodge.core.errors import Denied, Refused
from gatelodge.core.operation import Operation, execute, number, one, remove_some, text

LIFETIME = 600
"""Seconds in which the user must enter the code."""
INTERVAL = 5
"""Seconds between two polls, and how many more each poll too early costs (RFC 8628 §3.5)."""
LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
"""Consonants: no word comes up, and none looks like a digit (RFC 8628 §6.1)."""
LENGTH = 8
PURPOSE = "device-code"
MOST_GUESSES = 10
GUESSES_FOR = 600
"""Seconds in which an address may type so many wrong codes."""
MOST_PER_ADDRESS = 200
PENDING, DENIED = "", "denied"


class DeviceCode(msgspec.Struct, frozen=True, kw_only=True):
    """One request of one device. ``polled_at`` is in epoch milliseconds; ``address`` is where the device is;
    ``allowed_by`` is the user who said yes ("" for nobody).
    """

    digest: str
    org_id: str
    user_code: str
    client_id: str
    scopes: tuple[str, ...]
    resource: str
    address: str
    created_at: int
    expires_at: int
    poll_seconds: int = INTERVAL
    polled_at: int = 0
    answer: str = PENDING
    allowed_by: str = ""
    used_at: int | None = None


def device_code(*, scopes: str, **columns: object) -> DeviceCode:
    """A ``DeviceCode`` from its row."""
    return msgspec.convert({**columns, "scopes": scopes.split()}, DeviceCode)


COLUMNS = (
    "digest, org_id, user_code, client_id, scopes, resource, address, created_at, expires_at, poll_seconds, polled_at,"
    " answer, allowed_by, used_at"
)


def user_code(entropy: bytes) -> str:
    """A code that a person can type, XXXX-XXXX, from 16 random bytes: 34 bits of them."""
    value, letters = int.from_bytes(entropy, "big"), ""
    for _ in range(LENGTH):
        value, digit = divmod(value, len(LETTERS))
        letters += LETTERS[digit]
    return f"{letters[: LENGTH // 2]}-{letters[LENGTH // 2 :]}"


def typed(text: str) -> str:
    """A code as a person typed it, in our spelling; "" when it can't be one."""
    letters = "".join(c for c in text[:64].upper() if c not in " -\t")
    is_one = len(letters) == LENGTH and all(c in LETTERS for c in letters)
    return f"{letters[: LENGTH // 2]}-{letters[LENGTH // 2 :]}" if is_one else ""


def forget_old(now: int) -> Operation[bool]:
    """Remove some of the codes whose time is over. True: there may be more."""
    return (
        yield from remove_some(
            "DELETE FROM device_codes WHERE digest IN (SELECT digest FROM device_codes WHERE expires_at < :then"
            " ORDER BY expires_at LIMIT :limit) RETURNING digest",
            then=now - LIFETIME,
        )
    )


def drop(org_id: str, before: int) -> Operation[None]:
    """Forget every code made before this time (epoch seconds), answered or not."""
    yield from execute(
        "DELETE FROM device_codes WHERE org_id = :org_id AND created_at < :before", org_id=org_id, before=before
    )


def drop_allowed_by(org_id: str, user_id: str) -> Operation[None]:
    """Forget what this user allowed and no device has fetched yet."""
    yield from execute(
        "DELETE FROM device_codes WHERE org_id = :org_id AND allowed_by = :user_id AND used_at IS NULL",
        org_id=org_id,
        user_id=user_id,
    )


def keep(made: DeviceCode, now: int) -> Operation[bool]:
    """Keep a fresh pair of codes. False: another device has this user code now, so make another.

    Raises ``Refused`` when devices at this address have too many.
    """
    _ = yield from forget_old(now)
    waiting = yield from one(
        "SELECT COUNT(*) AS n FROM device_codes WHERE org_id = :org_id AND address = :address AND expires_at > :now",
        number,
        org_id=made.org_id,
        address=made.address,
        now=now,
    )
    if (waiting or 0) >= MOST_PER_ADDRESS:
        raise Refused(f"{waiting} devices at this address are waiting, as many as are kept: wait 10 minutes")
    kept = yield from one(
        f"INSERT INTO device_codes ({COLUMNS}) VALUES (:digest, :org_id, :user_code, :client_id, :scopes, :resource,"
        " :address, :created_at, :expires_at, :poll_seconds, :polled_at, :answer, :allowed_by, :used_at)"
        " ON CONFLICT (org_id, user_code) DO NOTHING RETURNING digest AS value",
        text,
        **(msgspec.structs.asdict(made) | {"scopes": " ".join(made.scopes)}),
    )
    return kept is not None


def find_waiting(org_id: str, user_code: str, now: int) -> Operation[DeviceCode | None]:
    """The unanswered request that this user code stands for."""
    return (
        yield from one(
            f"SELECT {COLUMNS} FROM device_codes WHERE org_id = :org_id AND user_code = :user_code AND answer = ''"
            " AND expires_at > :now",
            device_code,
            org_id=org_id,
            user_code=user_code,
            now=now,
        )
    )


def allow(waiting: DeviceCode, made: Connection, now: int) -> Operation[bool]:
    """The user said yes: their authorization covers it, and the device's next poll begins this connection.

    True for exactly one answer.
    """
    # The code's row first: who loses it widens nothing.
    if not (yield from _answer(waiting, "allowed", now)):
        return False
    agreed = yield from connections.agree(made, now)
    yield from execute(
        "UPDATE device_codes SET answer = :answer, allowed_by = :user_id WHERE org_id = :org_id AND digest = :digest",
        answer=msgspec.json.encode(agreed).decode(),
        user_id=agreed.user_id,
        org_id=waiting.org_id,
        digest=waiting.digest,
    )
    return True


def deny(waiting: DeviceCode, user_id: str, app_id: str, now: int) -> Operation[bool]:
    """The user said no. True for exactly one answer."""
    if not (yield from _answer(waiting, DENIED, now)):
        return False
    client_id, scopes = waiting.client_id, waiting.scopes
    yield from authorizations.declined(waiting.org_id, user_id, app_id, client_id=client_id, scopes=scopes, now=now)
    return True


def _answer(waiting: DeviceCode, answer: str, now: int) -> Operation[bool]:
    answered = yield from one(
        "UPDATE device_codes SET answer = :answer WHERE org_id = :org_id AND digest = :digest AND answer = ''"
        " AND expires_at > :now RETURNING digest AS value",
        text,
        answer=answer,
        org_id=waiting.org_id,
        digest=waiting.digest,
        now=now,
    )
    return answered is not None


def find(org_id: str, digest: str) -> Operation[DeviceCode | None]:
    """The request with this device code, whatever became of it."""
    return (
        yield from one(
            f"SELECT {COLUMNS} FROM device_codes WHERE org_id = :org_id AND digest = :digest",
            device_code,
            org_id=org_id,
            digest=digest,
        )
    )


def allowed(found: DeviceCode) -> Connection | None:
    """The connection that the user allowed, or None."""
    return None if found.answer in (PENDING, DENIED) else msgspec.json.decode(found.answer, type=Connection)


def poll(found: DeviceCode, client_id: str, dpop_jkt: str, now_ms: int) -> Operation[Connection | Denied]:
    """A device asks whether its user has answered (RFC 8628 §3.5). The connection is begun for exactly one poll, bound to
    the key of that poll's DPoP proof ("" without one).
    """
    now = now_ms // 1000
    if found.client_id != client_id:
        return Denied("invalid_grant", "the device code was issued to another client")
    if found.used_at is not None:
        return Denied("invalid_grant", "the device code was already used")
    if found.expires_at <= now:
        return Denied("expired_token", f"the device code lived {LIFETIME} seconds; ask for a new one")
    if found.answer == DENIED:
        return Denied("access_denied", "end-user denied authorization")
    made = allowed(found)
    if made is None:
        return (yield from _wait(found, now_ms))
    standing = yield from authorizations.find_live(made.org_id, made.user_id, made.app_id)
    if standing is None or standing.id != made.authorization_id:
        return Denied("invalid_grant", "the user's authorization of this app has ended")
    if (yield from _use(found, now)) is None:
        return Denied("invalid_grant", "the device code was already used")
    bound = msgspec.structs.replace(made, dpop_jkt=dpop_jkt)
    yield from connections.begin(bound, now)
    return bound


def _wait(found: DeviceCode, now_ms: int) -> Operation[Denied]:
    is_early = found.polled_at > now_ms - found.poll_seconds * 1000
    noted = yield from one(
        "UPDATE device_codes SET polled_at = :now, poll_seconds = poll_seconds + :more WHERE org_id = :org_id"
        " AND digest = :digest AND polled_at = :before RETURNING poll_seconds AS n",
        number,
        now=now_ms,
        more=INTERVAL if is_early else 0,
        org_id=found.org_id,
        digest=found.digest,
        before=found.polled_at,
    )
    if is_early or noted is None:  # two polls in one moment are too many as well
        return Denied("slow_down", f"wait {noted or found.poll_seconds} seconds between two requests")
    return Denied("authorization_pending", "the user hasn't answered yet")


def _use(found: DeviceCode, now: int) -> Operation[str | None]:
    return (
        yield from one(
            "UPDATE device_codes SET used_at = :now WHERE org_id = :org_id AND digest = :digest AND used_at IS NULL"
            " AND expires_at > :now RETURNING digest AS value",
            text,
            now=now,
            org_id=found.org_id,
            digest=found.digest,
        )
    )


def may_guess(org_id: str, address: str, now: int) -> Operation[bool]:
    """Whether this address may type another code."""
    guesses = yield from one(
        "SELECT guesses AS n FROM device_guesses WHERE org_id = :org_id AND address = :address AND ends_at > :now",
        number,
        org_id=org_id,
        address=address,
        now=now,
    )
    return (guesses or 0) < MOST_GUESSES


def note_guess(org_id: str, address: str, now: int) -> Operation[None]:
    """An address typed a code that nobody has."""
    yield from execute("DELETE FROM device_guesses WHERE ends_at <= :now", now=now)
    yield from execute(
        "INSERT INTO device_guesses (org_id, address, guesses, ends_at) VALUES (:org_id, :address, 1, :ends_at)"
        " ON CONFLICT (org_id, address) DO UPDATE SET guesses = device_guesses.guesses + 1",
        org_id=org_id,
        address=address,
        ends_at=now + GUESSES_FOR,
    )
