"""The master key's file: made private, refused where it could not keep its secret."""

import base64
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gatelodge.app import build
from gatelodge.config import Config
from gatelodge.core.secrets import KeyRing
from gatelodge.store.master_key import KeyRefused, load, load_or_make
from tests.house import House
from tests.requirements import requirement


def written(path: Path, *keys: bytes, mode: int = 0o600) -> Path:
    listed = [{"id": f"k{n}", "key": base64.b64encode(key).decode()} for n, key in enumerate(keys)]
    path.write_text(json.dumps(listed))
    path.chmod(mode)
    return path


@requirement("keys:file-is-private")
def test_the_first_start_makes_the_key_for_its_owner_alone(tmp_path: Path):
    path = tmp_path / "fresh" / "master.key"
    ring = load_or_make(path, database_has_orgs=False)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [each.name for each in path.parent.iterdir()] == ["master.key"]
    again = load_or_make(path, database_has_orgs=True)
    assert again.mac("test", "a") == ring.mac("test", "a")


@requirement("keys:two-first-starts")
def test_of_many_first_starts_at_once_one_makes_the_key(tmp_path: Path):
    rings: list[KeyRing] = []
    gate = threading.Barrier(12)

    def start() -> None:
        gate.wait()
        rings.append(load_or_make(tmp_path / "master.key", database_has_orgs=False))

    threads = [threading.Thread(target=start) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({ring.mac("test", "a") for ring in rings}) == 1
    assert len(rings) == 12


@requirement("keys:file-is-refused")
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_key_that_others_can_read_is_refused_with_the_fix(tmp_path: Path, mode: int):
    path = written(tmp_path / "master.key", os.urandom(32), mode=mode)
    with pytest.raises(KeyRefused, match=rf"can be read by others \(mode 0{mode:o}\): run chmod 600"):
        load(path)


@requirement("keys:file-is-refused")
@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ((b"short",), "too short or not random"),
        ((os.urandom(31),), "too short or not random"),
        ((b"\x00" * 32,), "too short or not random"),
        ((b"passwordpasswordpasswordpassword",), "too short or not random"),
        ((os.urandom(32), b"old"), "'k1' .* too short or not random"),
        ((), "at least one key"),
    ],
)
def test_a_weak_key_is_refused(tmp_path: Path, keys: tuple[bytes, ...], why: str):
    with pytest.raises(KeyRefused, match=why):
        load(written(tmp_path / "master.key", *keys))


@requirement("keys:file-is-refused")
def test_a_file_that_lists_no_keys_or_one_twice_is_refused(tmp_path: Path):
    path = tmp_path / "master.key"
    twice = {"id": "k", "key": base64.b64encode(os.urandom(32)).decode()}
    for text, why in (("", "not a list"), ("{}", "not a list"), (json.dumps([twice, twice]), "an id of its own")):
        path.write_text(text)
        path.chmod(0o600)
        with pytest.raises(KeyRefused, match=why):
            load(path)


@requirement("keys:missing-beside-a-database")
def test_a_key_that_is_missing_beside_a_database_stops_the_start(
    tmp_path: Path, database: str, run_async: Callable[..., Any]
):
    with House(tmp_path / "data", database=database) as house:
        config = house.config
    config.master_key_path.unlink()
    with pytest.raises(KeyRefused, match="is missing, and the database can't be read without it"):
        run_async(build(config))
    assert not config.master_key_path.exists()


@requirement("keys:missing-beside-a-database")
def test_the_key_of_another_database_stops_the_start(tmp_path: Path, database: str, run_async: Callable[..., Any]):
    with House(tmp_path / "data", database=database) as house:
        config = house.config
    config.master_key_path.unlink()
    written(config.master_key_path, os.urandom(32))

    async def start(config: Config) -> None:
        app = await build(config)
        try:
            await app.start()
        finally:
            await app.stop()

    with pytest.raises(KeyRefused, match="isn't the master key that this database was made with"):
        run_async(start(config))
