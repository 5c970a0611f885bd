"""What the tests hold us to: sentences with their sources (tests/manifest), bound to tests both ways.

A test names its requirements. Those of the RFCs, of which many are met by tests that were written for something else,
name their tests: ``tests``, each a file below ``tests`` and a function.
"""

import tomllib
from pathlib import Path
from typing import Any

import pytest

MANIFEST = Path(__file__).parent / "manifest"


def load() -> dict[str, dict[str, Any]]:
    """Every requirement by its id."""
    found: dict[str, dict[str, Any]] = {}
    for file in sorted(MANIFEST.glob("*.toml")):
        for name, entry in read(file).items():
            assert name not in found, f"{name} is in the manifest twice"
            assert set(entry) <= {"source", "behavior", "deferred", "tests"}, f"{name}: unknown keys in {file.name}"
            assert entry["source"], f"{name} has no source"
            assert entry["behavior"], f"{name} has no sentence"
            assert not ("deferred" in entry and "tests" in entry), f"{name} is deferred and has tests"
            found[name] = entry
    return found


def read(file: Path) -> dict[str, dict[str, Any]]:
    """The requirements of one file of the manifest."""
    return tomllib.loads(file.read_text("utf-8"))


def named_by(requirements: dict[str, dict[str, Any]]) -> dict[str, list[str]]:
    """By each test's file and function, the requirements that name it."""
    found: dict[str, list[str]] = {}
    for name, entry in requirements.items():
        for test in entry.get("tests", ()):
            found.setdefault(f"tests/{test}", []).append(name)
    return found


def requirement(*ids: str) -> pytest.MarkDecorator:
    """This test holds us to these requirements."""
    return pytest.mark.requirement(*ids)
