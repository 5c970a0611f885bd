"""The schema: numbered files, forward only, each applied once under a lock in one transaction with its receipt."""

import hashlib
import re
import sqlite3
from importlib import resources

import msgspec

from gatelodge.store.opening import StoreRefused

RECEIPTS = (
    "CREATE TABLE IF NOT EXISTS schema_version (version BIGINT PRIMARY KEY, name TEXT NOT NULL, digest TEXT NOT NULL)"
)
APPLIED = "SELECT version, name, digest FROM schema_version ORDER BY version"
FILE = re.compile(r"(\d{4})_(\w+)\.sql")


class Migration(msgspec.Struct, frozen=True):
    """One step of the schema."""

    version: int
    name: str
    statements: tuple[str, ...]
    digest: str


def all_migrations() -> list[Migration]:
    """The steps that this program has, in order."""
    found: list[Migration] = []
    for file in resources.files(__name__).iterdir():
        if named := FILE.fullmatch(file.name):
            text = file.read_text("utf-8")
            digest = hashlib.sha256(text.encode()).hexdigest()
            found.append(Migration(int(named[1]), named[2], _statements(text), digest))
    return sorted(found, key=lambda migration: migration.version)


def _statements(text: str) -> tuple[str, ...]:
    code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))
    return tuple(part.strip() for part in re.split(r";[ \t]*(?:\n|$)", code) if part.strip())


def missing(applied: list[tuple[int, str, str]], known: list[Migration]) -> list[Migration]:
    """The steps still to be taken. Raises ``StoreRefused`` for a database from another future or past."""
    newest = known[-1].version if known else 0
    if applied and applied[-1][0] > newest:
        raise StoreRefused(
            f"this database has schema version {applied[-1][0]} ({applied[-1][1]}), and this program knows versions up"
            f" to {newest}: start the newer program, or restore the backup made before the upgrade"
        )
    by_version = {migration.version: migration for migration in known}
    for version, name, digest in applied:
        if version not in by_version:
            raise StoreRefused(
                f"migration {version:04} ({name}) was applied to this database and is not in this program"
            )
        if by_version[version].digest != digest:
            raise StoreRefused(
                f"migration {version:04} ({name}) was edited after this database had applied it; restore the file"
            )
    return [migration for migration in known if migration.version not in {version for version, _, _ in applied}]


def apply_to_sqlite(connection: sqlite3.Connection, known: list[Migration] | None = None) -> None:
    """Bring a SQLite file up to date. BEGIN IMMEDIATE is the lock: of two processes one applies, one finds it done."""
    known = known if known is not None else all_migrations()
    connection.execute("BEGIN IMMEDIATE").close()
    try:
        connection.execute(RECEIPTS).close()
        applied = [tuple(row.values()) for row in connection.execute(APPLIED).fetchall()]
        for migration in missing(applied, known):
            for statement in migration.statements:
                connection.execute(statement).close()
            connection.execute(
                "INSERT INTO schema_version (version, name, digest) VALUES (?, ?, ?)",
                (migration.version, migration.name, migration.digest),
            ).close()
    except BaseException:
        connection.rollback()
        raise
    connection.commit()
