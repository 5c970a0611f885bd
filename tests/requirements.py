"""What the tests hold us to: sentences with their sources (tests/manifest), bound to tests both ways."""

import tomllib
from pathlib import Path

import pytest

MANIFEST = Path(__file__).parent / "manifest"


def load() -> dict[str, dict[str, str]]:
    """Every requirement by its id."""
    found: dict[str, dict[str, str]] = {}
    for file in sorted(MANIFEST.glob("*.toml")):
        for name, entry in tomllib.loads(file.read_text("utf-8")).items():
            assert name not in found, f"{name} is in the manifest twice"
            assert set(entry) <= {"source", "behavior", "deferred"}, f"{name}: unknown keys in {file.name}"
            assert entry["source"], f"{name} has no source"
            assert entry["behavior"], f"{name} has no sentence"
            found[name] = entry
    return found


def requirement(*ids: str) -> pytest.MarkDecorator:
    """This test holds us to these requirements."""
    return pytest.mark.requirement(*ids)
