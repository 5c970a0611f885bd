"""The page of permissions says what the code grants."""

import re

from gatelodge.cli.seeding import NO_MCP, STANDARD
from gatelodge.core import permissions
from gatelodge.core.permissions import ADMINISTRATOR
from gatelodge.setup.frame import LABELS
from tests.docs.reference import ROOT
from tests.requirements import requirement

PAGE = (ROOT / "docs/reference/permissions.md").read_text("utf-8")
NAMED = {
    value for name, value in vars(permissions).items() if name.startswith(("MANAGE_", "EDIT_", "USE_", "APPROVE_"))
}


def rows(heading: str) -> list[list[str]]:
    """The cells of the rows of the table under a heading."""
    section = PAGE.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if "| `" in line]


@requirement("docs:permissions")
def test_every_system_permission_of_the_code_has_a_row_and_no_other_does():
    told = {name.strip("`"): meaning for name, meaning in rows("System permissions")}
    assert set(told) == NAMED == set(ADMINISTRATOR.system)
    for name in (permissions.MANAGE_APPS, permissions.EDIT_POLICIES):  # the words that Setup uses for them
        assert LABELS[name] in told[name]


@requirement("docs:permissions")
def test_every_seeded_permission_set_has_a_row_with_what_it_grants():
    told = {row[0].strip("`"): row for row in rows("Permission sets")}
    seeded = {each.api_name: each for each in (ADMINISTRATOR, STANDARD, NO_MCP)}
    assert set(told) == set(seeded)
    for name, made in seeded.items():
        _, label, _, system, objects = told[name]
        assert label == made.label
        said = set(re.findall(r"`(\w+)`", system)) or (NAMED if system == "all seven" else set())
        assert said == set(made.system)
        for each, grant in made.objects.items():
            assert each in objects or (each == "*" and objects.startswith("all"))
            assert all(f"{each} without `{field}`" in objects for field in grant.without)
        assert (objects == "none") == (not made.objects)
