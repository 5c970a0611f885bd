"""Chance and keys: where randomness enters the house, how values are digested, sealed and authenticated.

One HKDF sub-key per purpose hangs on the master key, a list ``[new, old...]`` (architecture: Keys). Reading and
making the key file is the store's work; nothing here does I/O.
"""

import base64
import hashlib
import hmac
import secrets
import struct

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gatelodge.core import ids

KEY_BYTES = 32
NONCE_BYTES = 12
LENGTH = struct.Struct(">I")


def random_bytes(size: int) -> bytes:
    """So many bytes from the operating system."""
    return secrets.token_bytes(size)


def new_id(kind: str) -> str:
    """A fresh record id of this kind (``ids.ORG`` and its neighbours)."""
    return ids.make(kind, secrets.token_bytes(9))


def new_token() -> str:
    """A bearer value of 256 bits: codes, sessions, one-time links. Stored only as its ``digest``."""
    return base64url(secrets.token_bytes(32))


def new_consumer_key() -> str:
    """A consumer key in the original's shape: 85 characters of ``A-Za-z0-9._`` beginning ``3MVG9``."""
    alphabet = ids.BASE62 + "._"
    return "3MVG9" + "".join(alphabet[byte & 63] for byte in secrets.token_bytes(80))


def new_consumer_secret() -> str:
    """A consumer secret in the original's shape: 64 upper-case hexadecimal characters, 256 bits of chance."""
    return secrets.token_bytes(32).hex().upper()


def base64url(raw: bytes) -> str:
    """Base64url without padding (RFC 7515 §2)."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def digest(value: str) -> str:
    """How a random bearer value is stored: SHA-256, since 256 bits of chance need no slow hash."""
    return base64url(hashlib.sha256(value.encode()).digest())


def are_equal(a: str, b: str) -> bool:
    """Equality in a time that does not depend on where the two differ."""
    return hmac.compare_digest(a.encode(), b.encode())


class KeyRing:
    """The master key and what hangs on it. The first key makes new things, all of them read old ones."""

    def __init__(self, keys: dict[str, bytes]) -> None:
        self._keys = keys
        self._sub_keys: dict[tuple[str, str], bytes] = {}
        self.current_id = next(iter(keys))

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(self._keys)})"

    def sub_key(self, purpose: str, key_id: str | None = None) -> bytes | None:
        """The 32-byte sub-key for one purpose (HKDF-SHA256), or None for a key that is not on the ring."""
        name = (key_id or self.current_id, purpose)
        if name not in self._sub_keys:
            master = self._keys.get(name[0])
            if master is None:
                return None
            hkdf = HKDF(algorithm=hashes.SHA256(), length=KEY_BYTES, salt=None, info=f"gatelodge/{purpose}".encode())
            self._sub_keys[name] = hkdf.derive(master)
        return self._sub_keys[name]

    def mac(self, purpose: str, *parts: str, key_id: str | None = None) -> str | None:
        """HMAC-SHA256 over length-prefixed parts, so that no two lists of parts share a message; None: no such key."""
        key = self.sub_key(purpose, key_id)
        if key is None:
            return None
        message = b"".join([LENGTH.pack(len(raw)) + raw for raw in map(str.encode, parts)])
        return base64url(hmac.digest(key, message, "sha256"))

    def seal(self, purpose: str, plaintext: bytes, row: str) -> bytes:
        """AES-256-GCM under the newest key, bound to the row it is stored in: moved elsewhere it does not open."""
        nonce, key = secrets.token_bytes(NONCE_BYTES), self.sub_key(purpose)
        assert key is not None  # the current key is on the ring by construction
        return msgspec.msgpack.encode((self.current_id, nonce, AESGCM(key).encrypt(nonce, plaintext, row.encode())))

    def open(self, purpose: str, sealed: bytes, row: str) -> bytes:
        """What ``seal`` closed. Raises ``KeyMissing`` when its key is gone, or the row or the bytes were changed."""
        key_id, nonce, body = msgspec.msgpack.decode(sealed, type=tuple[str, bytes, bytes])
        key = self.sub_key(purpose, key_id)
        if key is None:
            raise KeyMissing(f"sealed under master key {key_id!r}, which is not in the key file")
        try:
            return AESGCM(key).decrypt(nonce, body, row.encode())
        except InvalidTag:
            raise KeyMissing(f"what is stored at {row} does not open with master key {key_id!r}") from None


class KeyMissing(Exception):
    """Sealed bytes cannot be opened: the key is gone or the row was tampered with."""
