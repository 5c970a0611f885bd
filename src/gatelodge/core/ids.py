"""Record ids in Salesforce's shape: 3 characters of kind, 12 of identity, 3 of checksum (clients parse them)."""

import re

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
CHECKSUM = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"

ORG = "00D"
USER = "005"
APP = "0xI"
PERMISSION_SET = "0PS"
MCP_SERVER = "1g1"
AUTHORIZATION = "0uA"
CONNECTION = "0uC"
SESSION = "0Ak"
PASSKEY = "0uP"
IDENTITY_PROVIDER = "0SO"
APPROVAL = "04i"

ID_SHAPE = re.compile(r"[0-9A-Za-z]{18}")


def checksum(id15: str) -> str:
    """The three characters that make a case-sensitive id of 15 safe where case is lost: one per block of five."""
    blocks = (id15[i : i + 5] for i in (0, 5, 10))
    return "".join(CHECKSUM[sum(1 << i for i, c in enumerate(block) if c.isupper())] for block in blocks)


def make(kind: str, entropy: bytes) -> str:
    """An id of 18 characters of this kind; ``entropy`` is 9 random bytes (72 bits, folded to 12 base-62 characters)."""
    value, identity = int.from_bytes(entropy, "big"), ""
    for _ in range(12):
        value, digit = divmod(value, 62)
        identity += BASE62[digit]
    return kind + identity + checksum(kind + identity)


def is_id(value: str, kind: str) -> bool:
    """Whether this is a well-formed id of this kind, checksum included."""
    return bool(ID_SHAPE.fullmatch(value)) and value.startswith(kind) and checksum(value[:15]) == value[15:]


CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
TRACE_SHAPE = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")


def trace_id(now_ms: int, entropy: bytes) -> str:
    """What people quote of something that went wrong, in the shape of a ULID: its time in ten letters, then chance;
    ``entropy`` is 10 random bytes.
    """
    value, letters = (now_ms << 80) | int.from_bytes(entropy, "big"), ""
    for _ in range(26):
        value, digit = divmod(value, 32)
        letters = CROCKFORD[digit] + letters
    return letters
