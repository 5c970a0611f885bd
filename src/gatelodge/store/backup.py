"""Copies of a deployment on SQLite: the database as it is at one moment, the master key, and a manifest of both.

A copy is whole or absent: it is made under another name, and takes its own when the last byte is on the disk.
"""

import hashlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec

from gatelodge.core import keys, orgs
from gatelodge.core.errors import Refused
from gatelodge.core.operation import Repeated, Row, Statement
from gatelodge.core.secrets import KeyMissing, KeyRing
from gatelodge.store import migrations
from gatelodge.store.driving import Answer, drive
from gatelodge.store.lock import FolderLock, make_folder
from gatelodge.store.master_key import KeyRefused, load

FORMAT = 1
DATABASE, KEY, MANIFEST = "gatelodge.db", "master.key", "manifest.json"
BESIDE = ("", "-wal", "-shm")
"""What belongs to one SQLite database: a log that is left behind would be played into the next one of its name."""
NO_URL = "http://localhost"


class File(msgspec.Struct, frozen=True):
    """One file of a copy: its size in bytes and its SHA-256 in hex."""

    bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a copy says of itself. ``made_at`` is the moment it shows, in UTC."""

    format: int
    gatelodge: str
    made_at: str
    schema_version: int
    orgs: list[orgs.Summary]
    files: dict[str, File]


def create(database: Path, key_file: Path, folder: Path, *, version: str) -> Manifest:
    """Copy a deployment into a new folder, also while its server runs: readers and writers wait for nobody.

    Raises ``Refused``.
    """
    if folder.exists():
        raise Refused(f"{folder} exists already; name a new folder, so that no copy is ever written over another")
    if not database.is_file():
        raise Refused(f"there is no database at {database}: name its folder with --data")
    _ = _loaded(key_file)
    make_folder(folder.parent)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as unfinished:
        place = Path(unfinished) / "copy"
        place.mkdir(mode=0o700)
        made_at = _copy_database(database, place / DATABASE)
        _copy(key_file, place / KEY)
        schema_version, found = _contents(place / DATABASE)
        manifest = Manifest(
            format=FORMAT,
            gatelodge=version,
            made_at=made_at,
            schema_version=schema_version,
            orgs=found,
            files={name: _file(place / name) for name in (DATABASE, KEY)},
        )
        _write(place / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
        _ = verify(place)
        _sync(place)
        place.rename(folder)
    _sync(folder.parent)
    return manifest


def verify(folder: Path) -> Manifest:
    """Open a copy as a start would, on a copy of its own, so that looking changes nothing.

    Digests, SQLite's own check, the schema, and whether the key opens each org's signing keys. Raises ``Refused``.
    """
    manifest = _manifest(folder)
    for name, said in manifest.files.items():
        if _file(folder / name) != said:
            raise Refused(f"{folder / name} is not the file that the manifest describes: it was changed or cut off")
    with tempfile.TemporaryDirectory() as elsewhere:
        database = Path(elsewhere) / DATABASE
        shutil.copyfile(folder / DATABASE, database)
        try:
            with _opened(database, "rw") as connection:
                _check_whole(connection, folder / DATABASE)
                migrations.apply_to_sqlite(connection)
                _check_keys(connection, folder / KEY)
        except sqlite3.Error as error:
            raise Refused(f"{folder / DATABASE} can't be read as a database: {error}") from None
    return manifest


def restore(folder: Path, database: Path, key_file: Path, *, replaces: bool) -> Manifest:
    """Put a verified copy in the place of a deployment that isn't running. With ``replaces`` also of one that exists,
    whose files are kept beside it under other names. Raises ``Refused`` or ``Locked``.
    """
    manifest = verify(folder)
    lock = FolderLock.take(database.parent)
    try:
        taken = [path for path in (database, key_file) if path.exists()]
        if taken and not replaces:
            raise Refused(
                f"{' and '.join(map(str, taken))} would be replaced; choose another --data, or add --force, which keeps"
                " the old files beside the new ones"
            )
        make_folder(key_file.parent)
        fresh = {database: folder / DATABASE, key_file: folder / KEY}
        for path, source in fresh.items():
            _copy(source, _beside(path, "restoring"))
        _set_aside(database)
        if key_file.exists():
            key_file.replace(_beside(key_file, "replaced"))
        for path in fresh:
            _beside(path, "restoring").replace(path)
            _sync(path.parent)
    finally:
        lock.release()
    return manifest


def _set_aside(database: Path) -> None:
    """An old database with its log, under a name of its own: it can still be opened there."""
    aside = _beside(database, "replaced")
    for suffix in BESIDE:
        Path(f"{aside}{suffix}").unlink(missing_ok=True)
        old = Path(f"{database}{suffix}")
        if old.exists():
            old.replace(f"{aside}{suffix}")


def _beside(path: Path, word: str) -> Path:
    return path.with_name(f"{path.name}.{word}")


def _copy_database(database: Path, target: Path) -> str:
    """Copy what is committed, in one reading, and say when that was (UTC)."""
    _write(target, b"")
    try:
        with _opened(database, "ro") as source, closing(sqlite3.connect(target)) as copy:
            made_at = source.execute("SELECT strftime('%Y-%m-%dT%H:%M:%SZ', 'now') AS made_at").fetchone()["made_at"]
            source.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE").close()  # one file, with no log that could be left behind
    except sqlite3.Error as error:
        raise Refused(f"{database} can't be copied: {error}") from None
    with target.open("rb") as written:
        os.fsync(written.fileno())
    return str(made_at)


def _contents(database: Path) -> tuple[int, list[orgs.Summary]]:
    """The schema's version, and the orgs."""
    with _opened(database, "ro") as connection:
        try:
            version = connection.execute("SELECT MAX(version) AS version FROM schema_version").fetchone()["version"]
            found, _ = drive(orgs.summaries(), _answering(connection))
        except sqlite3.Error as error:
            raise Refused(f"{database} is no database of Gatelodge: {error}") from None
    return int(version), msgspec.convert(found, list[orgs.Summary])


def _answering(connection: sqlite3.Connection) -> Answer:
    """What answers an operation's statements from this database."""

    def answer(statement: Statement | Repeated) -> list[Row]:
        assert isinstance(statement, Statement)  # a copy is only read
        return connection.execute(statement.sql, statement.values).fetchall()

    return answer


def _check_whole(connection: sqlite3.Connection, shown: Path) -> None:
    found = [row["integrity_check"] for row in connection.execute("PRAGMA integrity_check").fetchall()]
    if found != ["ok"]:
        raise Refused(f"{shown} is damaged: {'; '.join(map(str, found[:5]))}")


def _check_keys(connection: sqlite3.Connection, key_file: Path) -> None:
    ring, answer = _loaded(key_file), _answering(connection)
    known, _ = drive(orgs.all_orgs(NO_URL), answer)
    for org in msgspec.convert(known, list[orgs.Org]):
        signing, _ = drive(keys.of_org(org.id, 0), answer)
        for key in msgspec.convert(signing, list[keys.SigningKey]):
            try:
                _ = keys.unseal(ring, key)
            except KeyMissing as error:
                raise Refused(f"{key_file} isn't the master key of this database: {error}") from None


def _loaded(key_file: Path) -> KeyRing:
    try:
        return load(key_file)
    except KeyRefused as error:
        raise Refused(str(error)) from None


def _manifest(folder: Path) -> Manifest:
    path = folder / MANIFEST
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except OSError as error:
        raise Refused(f"{path} can't be read: {error.strerror}") from None
    except msgspec.MsgspecError as error:
        raise Refused(f"{path} is no manifest of a backup: {error}") from None
    if manifest.format != FORMAT or set(manifest.files) != {DATABASE, KEY}:
        raise Refused(f"{path} has the format {manifest.format}, and this program reads format {FORMAT}")
    newest = migrations.all_migrations()[-1].version
    if manifest.schema_version > newest:
        raise Refused(
            f"{folder} was made by gatelodge {manifest.gatelodge} with schema version {manifest.schema_version}, and"
            f" this program knows versions up to {newest}: use that program"
        )
    return manifest


@contextmanager
def _opened(database: Path, mode: str) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(f"{database.resolve().as_uri()}?mode={mode}", uri=True, isolation_level=None)
    connection.row_factory = _as_dict
    with closing(connection):
        yield connection


def _as_dict(cursor: sqlite3.Cursor, row: tuple[object, ...]) -> dict[str, object]:
    return dict(zip([column[0] for column in cursor.description], row, strict=True))


def _file(path: Path) -> File:
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return File(file.tell(), digest)
    except OSError as error:
        raise Refused(f"{path} can't be read: {error.strerror}") from None


def _write(path: Path, content: bytes) -> None:
    """A new file that only its owner may read, on the disk when this returns."""
    with _fresh(path) as file:
        file.write(content)


def _copy(source: Path, target: Path) -> None:
    """The same, with what another file holds."""
    with source.open("rb") as read, _fresh(target) as file:
        shutil.copyfileobj(read, file)


@contextmanager
def _fresh(path: Path) -> Iterator[BinaryIO]:
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
