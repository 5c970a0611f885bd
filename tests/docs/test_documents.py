"""The documents say what the code says."""

import importlib
import re
import shlex
from pathlib import Path

import pytest

from gatelodge.cli.arguments import parser
from tests.docs import reference, refusals
from tests.docs.reference import ROOT
from tests.house import House
from tests.requirements import requirement

DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "bench/README.md"])
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCED = re.compile(r"```.*?```", re.DOTALL)


@requirement("docs:reference")
@pytest.mark.parametrize("page", sorted(reference.PAGES))
def test_a_reference_page_says_what_the_code_says(page: str):
    written = (ROOT / page).read_text("utf-8")
    assert written == reference.PAGES[page](), f"{page} is old: .venv/bin/python -m tests.docs.reference writes it anew"


@requirement("docs:reference")
def test_every_option_and_argument_of_the_command_line_has_a_help():
    for name, made in reference._commands(parser(), ""):
        assert all(action.help for action in made._actions), name


@requirement("docs:codes-explained")
def test_every_refusal_code_is_explained_and_no_other():
    said = refusals.refusals()
    codes = {each.code for each in said if each.kind in ("OAuthError", "Denied", "RecordError")}
    codes |= {str(each.status) for each in said if each.kind == "Turned"}
    assert codes == set(refusals.meanings())


@requirement("docs:endpoints")
def test_every_row_that_a_node_serves_is_documented(house: House):
    rows = re.findall(
        r"^\| ([A-Z]+) \| `([^`]*)` \|", (ROOT / "docs/reference/endpoints.md").read_text("utf-8"), re.MULTILINE
    )
    served = {(method, path) for path, place in house.app._dispatch._exact.items() for method in place}
    health = {("GET", "/livez"), ("GET", "/readyz")}
    assert len(rows) == len(set(rows))
    assert set(rows) == served | health
    assert all(house.client().get(path).status_code == 200 for _, path in health)


@requirement("docs:decisions")
def test_every_decision_is_in_the_index_and_whole():
    folder = ROOT / "docs/decisions"
    files = sorted(file.name for file in folder.glob("0*.md"))
    index = (folder / "README.md").read_text("utf-8")
    assert files == re.findall(r"\]\((\d{4}-[a-z0-9-]+\.md)\)", index)
    assert [int(name[:4]) for name in files] == list(range(1, len(files) + 1))
    for name in files:
        text = (folder / name).read_text("utf-8")
        title, dated = re.match(r"# \d{4}: (.+)\n\n(\d{4}-\d{2}-\d{2}), ", text).groups()
        assert f"[{name[:4]}]({name}) | {title} | {dated} |" in index
        assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences"], name


@requirement("docs:decisions")
def test_every_decision_that_the_code_cites_exists():
    known = {file.name[:4] for file in (ROOT / "docs/decisions").glob("0*.md")}
    cited = {
        number
        for file in (ROOT / "src").rglob("*.py")
        for number in re.findall(r"[Dd]ecision (\d{4})", file.read_text("utf-8"))
    }
    assert cited
    assert cited <= known


@requirement("docs:vocabulary")
def test_every_word_of_the_code_in_the_vocabulary_exists():
    text = (ROOT / "docs/vocabulary.md").read_text("utf-8")
    words = re.findall(r"`((?:core|live|gateway)\.[a-z_.]*[A-Za-z_]+)`", text)
    assert len(words) > 15
    for word in words:
        module, _, name = word.rpartition(".")
        assert hasattr(importlib.import_module(f"gatelodge.{module}"), name), word


@requirement("docs:links")
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_link_of_a_document_leads_somewhere(document: Path):
    for link in LINK.findall(FENCED.sub("", document.read_text("utf-8"))):
        path, _, heading = link.partition("#")
        if "://" in link:
            continue
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), f"{document.name}: {link}"
        if heading:
            assert heading in headings(target), f"{document.name}: {link}"


def headings(page: Path) -> set[str]:
    """The headings of a page as links name them."""
    found = re.findall(r"^#+ (.+)$", FENCED.sub("", page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 _-]", "", each.lower()).replace(" ", "-") for each in found}


@requirement("docs:commands")
def test_every_command_in_the_documents_can_be_typed():
    shown = [
        line
        for document in DOCUMENTS
        for block in re.findall(r"```sh\n(.*?)```", document.read_text("utf-8"), re.DOTALL)
        for line in block.replace("\\\n", " ").splitlines()
        if line.startswith("gatelodge ")
    ]
    assert len(shown) >= 3
    for line in shown:
        typed, _, _ = line.partition(" < ")  # the shell's
        parser().parse_args(shlex.split(typed, comments=True)[1:])


@requirement("docs:speak-of-themselves")
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_document_names_no_path_of_its_writers_machine(document: Path):
    text = document.read_text("utf-8")
    assert not re.search(r"/(?:work|home|root|tmp|Users)/|registry\.npmjs|pypi\.org", text)
