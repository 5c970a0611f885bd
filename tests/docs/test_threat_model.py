"""The threat model names what keeps each promise and who tries to break it: all of that exists."""

import re

import pytest

from tests.docs.reference import ROOT
from tests.requirements import requirement
from tests.rfc.test_manifest import functions

PAGE = (ROOT / "docs/reference/threat-model.md").read_text("utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in PAGE.splitlines()
    if line.startswith("| ") and not line.startswith(("| Threat |", "| --- "))
]
NAMED = re.compile(r"`([^`]+)`")


@requirement("docs:threat-model")
def test_each_threat_has_a_promise_a_place_and_a_test():
    assert len(ROWS) > 25 and len({threat for threat, *_ in ROWS}) == len(ROWS)
    for row in ROWS:
        threat, promise, where, tried = row
        assert promise.endswith(".") and where, threat
        assert NAMED.findall(tried), threat


@requirement("docs:threat-model")
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_what_a_row_of_the_threat_model_names_exists(row: list[str]):
    _, _, where, tried = row
    for module in NAMED.findall(where):
        assert (ROOT / "src/gatelodge" / module).is_file(), module
    for test in NAMED.findall(tried):
        file, _, name = test.partition("::")
        assert name in functions(file), test
