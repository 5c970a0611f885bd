"""The master key's file: made at the first start, and refused where it could not keep its secret."""

import os
import stat
from pathlib import Path

import msgspec

from gatelodge.core import refresh, secrets
from gatelodge.core.secrets import KEY_BYTES, KeyRing
from gatelodge.store.lock import make_folder


class KeyRefused(Exception):
    """The key file can't be used; the message says why and what to do."""


class Key(msgspec.Struct, frozen=True):
    """One line of the list: a name that tokens carry, and 32 bytes in base64."""

    id: str
    key: bytes

    def __repr__(self) -> str:
        return f"Key({self.id})"


def load_or_make(path: Path, *, database_has_orgs: bool) -> KeyRing:
    """The key ring of this file, made when neither it nor any org exists. Raises ``KeyRefused``."""
    if not path.exists():
        if database_has_orgs:
            raise KeyRefused(
                f"the master key {path} is missing, and the database can't be read without it: restore it from the"
                " backup, or name the right file with --master-key-file"
            )
        _make(path)
    return load(path)


def load(path: Path) -> KeyRing:
    """The key ring of an existing file: the first key is the newest. Raises ``KeyRefused``."""
    try:
        mode = path.stat().st_mode
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise KeyRefused(f"{path} can be read by others (mode {stat.S_IMODE(mode):04o}): run chmod 600 {path}")
        keys = msgspec.json.decode(path.read_bytes(), type=list[Key])
    except OSError as error:
        raise KeyRefused(f"the master key {path} can't be read: {error.strerror}") from None
    except msgspec.MsgspecError as error:
        raise KeyRefused(f"the master key {path} is not a list of keys: {error}") from None
    for key in keys:
        if not refresh.KEY_ID.fullmatch(key.id):
            raise KeyRefused(f"the key id {key.id!r} in {path} must be 1 to 16 of A-Z a-z 0-9 _ -: tokens carry it")
        if len(key.key) < KEY_BYTES or len(set(key.key)) < KEY_BYTES // 4:
            raise KeyRefused(f"the key {key.id!r} in {path} is too short or not random; it must be {KEY_BYTES} bytes")
    if not keys or len({key.id for key in keys}) != len(keys):
        raise KeyRefused(f"the master key {path} must list at least one key, each with an id of its own")
    return KeyRing({key.id: key.key for key in keys})


def _make(path: Path) -> None:
    make_folder(path.parent)
    content = msgspec.json.encode([Key(f"k{secrets.new_token()[:6]}", secrets.random_bytes(KEY_BYTES))])
    # Written whole under another name and linked into place: of two first starts one makes the key, both read it.
    fresh = path.with_name(f"{path.name}.{secrets.new_token()[:8]}")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(handle, content)
        os.fsync(handle)
    finally:
        os.close(handle)
    try:
        os.link(fresh, path)
    except FileExistsError:
        pass
    finally:
        fresh.unlink()
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """A power cut must not leave a database without the key that it was made with."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
