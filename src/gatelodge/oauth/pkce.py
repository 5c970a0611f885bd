"""Proof Key for Code Exchange (RFC 7636), S256 only."""

import hashlib
import re

from gatelodge.core.secrets import base64url

CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")  # the base64url of a SHA-256 (RFC 7636 §4.2)
VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")  # RFC 7636 §4.1


def is_challenge(value: str) -> bool:
    """Whether this can be the S256 of a verifier."""
    return bool(CHALLENGE.fullmatch(value))


def is_verifier(value: str) -> bool:
    """Whether this has the shape of a code verifier."""
    return bool(VERIFIER.fullmatch(value))


def challenge_of(verifier: str) -> str:
    """BASE64URL(SHA256(verifier)) (RFC 7636 §4.6)."""
    return base64url(hashlib.sha256(verifier.encode("ascii")).digest())
