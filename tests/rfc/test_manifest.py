"""Every requirement of the RFCs is bound to tests that exist, or says why it is not met; and the page says the same."""

import ast

import pytest

from tests import requirements
from tests.requirements import MANIFEST, requirement
from tests.rfc import conformance

TESTS = MANIFEST.parent
OURS = conformance.requirements_of_rfcs()


def functions(file: str) -> set[str]:
    """The tests of a file."""
    tree = ast.parse((TESTS / file).read_text("utf-8"))
    return {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    }


@requirement("conformance:bound")
@pytest.mark.parametrize("file", sorted({test.partition("::")[0] for each in OURS.values() for test in each["tests"]}))
def test_every_test_that_a_requirement_names_exists(file: str):
    named = {test.partition("::")[2] for each in OURS.values() for test in each["tests"] if test.startswith(file)}
    assert named <= functions(file), named - functions(file)


@requirement("conformance:bound")
def test_every_requirement_of_an_rfc_has_a_section_and_tests_or_a_reason():
    for name, entry in OURS.items():
        assert "§" in entry["source"] or "MCP" in entry["source"], name
        assert entry["tests"] or entry["deferred"], name
    assert len(OURS) > 150


@requirement("conformance:bound")
def test_every_specification_that_the_server_speaks_has_requirements():
    sources = " ".join(entry["source"] for entry in OURS.values())
    for spoken in (
        "OAuth 2.1 draft-15", *(f"RFC {number}" for number in (
            6749, 6750, 7009, 7523, 7636, 7662, 8252, 8414, 8628, 8693, 8707, 9068, 9126, 9207, 9449, 9700, 9728
        )), "OpenID Connect Core", "OpenID Connect RP-Initiated Logout", "MCP 2026-07-28", "2025-11-25",
    ):  # fmt: skip
        assert spoken in sources, spoken


@requirement("conformance:page")
def test_the_page_says_what_the_manifest_says():
    assert conformance.PAGE.read_text("utf-8") == conformance.page(), (
        f"{conformance.PAGE.name} is old: .venv/bin/python -m tests.rfc.conformance writes it anew"
    )


@requirement("conformance:bound")
def test_a_requirement_that_names_its_tests_is_bound_to_them(request: pytest.FixtureRequest):
    named = requirements.named_by(requirements.load())
    for item in request.session.items:
        bound = {name for mark in item.iter_markers("requirement") for name in mark.args}
        assert set(named.get(item.nodeid.partition("[")[0], ())) <= bound, item.nodeid
