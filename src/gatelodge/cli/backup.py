"""``gatelodge backup create | verify | restore``: on files alone, so that no server is needed, and none is in the way."""

import argparse
import os
import sys
from pathlib import Path

import msgspec

from gatelodge import __version__
from gatelodge.config import Config, ConfigRefused, load
from gatelodge.core.errors import Refused
from gatelodge.store import StoreRefused
from gatelodge.store import backup as copies
from gatelodge.store.backup import Manifest
from gatelodge.store.lock import Locked
from gatelodge.store.opening import is_postgres

RECIPE = """this deployment is on PostgreSQL, which has its own tools: nothing was {done}. Copy and restore it with

  pg_dump --format=custom --file=gatelodge.dump DATABASE_URL
  pg_restore --clean --if-exists --single-transaction --dbname=DATABASE_URL gatelodge.dump

(stop every node before restoring), and keep a copy of the master key, {key}, elsewhere: one is worth nothing without
the other. After restoring, run: gatelodge revoke --every-org --before THE_TIME_OF_RESTORING"""
DONE = {"create": "copied", "restore": "restored"}


def run(arguments: argparse.Namespace) -> int:
    """Do what the verb says, and print what the copy holds."""
    try:
        manifest = _perform(arguments)
    except (Refused, ConfigRefused, StoreRefused, Locked) as error:
        print(f"gatelodge: {error}", file=sys.stderr)
        return 1
    print(msgspec.json.encode(manifest).decode() if arguments.json else _as_text(arguments, manifest))
    return 0


def _perform(arguments: argparse.Namespace) -> Manifest:
    folder = Path(arguments.folder)
    if arguments.verb == "verify":
        return copies.verify(folder)
    config = _configured(arguments)
    if is_postgres(config.database_name):
        raise Refused(RECIPE.format(done=DONE[arguments.verb], key=config.master_key_path))
    database, key = Path(config.database_name), config.master_key_path
    if arguments.verb == "create":
        return copies.create(database, key, folder, version=__version__)
    return copies.restore(folder, database, key, replaces=arguments.force)


def _configured(arguments: argparse.Namespace) -> Config:
    flags = {name: getattr(arguments, name) for name in ("data", "database", "master_key_file")}
    return load(flags, os.environ, Path(arguments.config) if arguments.config else None)


def _as_text(arguments: argparse.Namespace, manifest: Manifest) -> str:
    names = ", ".join(org.label for org in manifest.orgs) or "no org"
    size = manifest.files[copies.DATABASE].bytes
    lines = [
        f"{arguments.folder}: {names} as of {manifest.made_at}, {size} bytes, schema {manifest.schema_version}",
    ]
    if arguments.verb == "create":
        lines.append("It holds the master key: whoever has this folder has the org. Keep it as you keep passwords.")
    if arguments.verb == "restore":
        lines.append(
            "What was revoked since then is live again, and what was used may be used once more. Before you start,"
            " run: gatelodge revoke --every-org --before THE_TIME_IT_IS_NOW"
        )
    return "\n".join(lines)
