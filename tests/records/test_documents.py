"""The reference pages name everything that the code takes and says, and nothing that it doesn't."""

import re
from pathlib import Path

import pytest

from gatelodge.gateway.records import finding, schema, server
from gatelodge.gateway.records.errors import CODES
from gatelodge.gateway.records.soql import compiling, dates, parsing, running, values
from gatelodge.gateway.records.tools import MOST_NAMES, RECENT, Tool
from gatelodge.gateway.records.variants import ALL, VARIANTS
from tests.gateway.speaking import Client
from tests.records.test_soql_refusals import OUTSIDE
from tests.requirements import requirement

TOOLS = VARIANTS[ALL]
DOCS = Path(__file__).parents[2] / "docs" / "reference"
SOQL = (DOCS / "soql.md").read_text("utf-8")
TOOLS_PAGE = (DOCS / "records-tools.md").read_text("utf-8")
SECTIONS = {part.partition("\n")[0]: part for part in TOOLS_PAGE.split("\n## ")[1:]}


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
@requirement("records:documented")
def test_a_tool_is_documented_with_each_argument_and_each_alias(tool: Tool):
    rows = re.findall(r"^\| `([^`]+)`( \(required\))? \|([^|]*)\|", SECTIONS[tool.name], re.MULTILINE)
    assert {name for name, _, _ in rows} == set(tool.arguments)
    assert {name for name, required, _ in rows if required} == set(tool.required)
    for name, _, also in rows:
        assert set(re.findall(r"`([^`]+)`", also)) == {alias for alias, own in tool.aliases.items() if own == name}


@requirement("records:documented")
def test_no_tool_and_no_error_code_is_documented_that_there_is_not():
    assert list(SECTIONS) == [*(tool.name for tool in TOOLS), "Errors"]
    assert re.findall(r"^\| `([A-Z_]+)` \|", SECTIONS["Errors"], re.MULTILINE) == list(CODES)


@requirement("records:documented")
def test_every_date_literal_and_no_other_is_documented():
    part = SOQL.split("### Date literals")[1].split("###")[0]
    named = set(re.findall(r"`([A-Z0-9_]+)(?::n)?`", part)) - {"IN"}
    assert named == {*dates.NAMED, *dates.NINETY, *dates.COUNTED, *dates.AGO}
    assert {name for name in named if f"`{name}:n`" in part} == {*dates.COUNTED, *dates.AGO}


@requirement("records:documented")
def test_every_aggregate_function_escape_group_and_type_is_documented():
    assert set(re.findall(r"`([A-Z_]+)\(field\)`", SOQL)) == set(compiling.AGGREGATES)
    assert set(re.findall(r"`\\(.)`", SOQL.split("Escapes inside quotes")[1].split("\n")[0])) >= {
        *parsing.ESCAPES,
        "%",
        "_",
    }
    for group in parsing.GROUPS:
        assert f"`{group}`" in SOQL.split("- `IN`:")[1].split("\n")[0]
    for kind in schema.FieldType.__args__:
        assert f"`{kind}`" in SECTIONS["getObjectSchema"]
    for by in compiling.COMPARISONS:
        assert f"`{by}`" in SOQL


@requirement("records:documented")
def test_every_limit_is_documented_as_it_is():
    limits = dict(
        re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", SOQL.split("## Limits")[1].split("## SOSL")[0], re.MULTILINE)
    )
    expected = {
        "records of an answer": values.MOST_ROWS, "groups of an aggregate query": values.MOST_ROWS,
        "children of one record": running.MOST_WITH_ALL, "children of all records of an answer": running.MOST_CHILDREN,
        "`OFFSET`": running.MOST_OFFSET, "characters of a query": parsing.LONGEST,
        "conditions of a query": parsing.MOST_CONDITIONS, "parentheses inside one another": parsing.DEEPEST,
        "time": int(server.SECONDS),
    }  # fmt: skip
    found = {what: int(re.findall(r"\d+", limit)[0]) for what, limit in limits.items() if re.search(r"\d", limit)}
    assert found == expected
    for sentence in (
        f"At most {running.MOST_SUBQUERIES}, each once", f"at most {running.MOST_WITH_ALL}.", f"At most {compiling.MOST_ORDERED} fields",
        f"at most {compiling.MOST_NESTED} inside", f"`n` is at most {dates.LARGEST_N}", f"at most {parsing.MOST_WORDS} words",
        f"- {finding.MOST_EACH} records of each object",
    ):  # fmt: skip
        assert sentence in " ".join(SOQL.split()) or sentence in SOQL, sentence
    assert f"; {RECENT} if left out" in TOOLS_PAGE and f"at most {MOST_NAMES} " in TOOLS_PAGE


@pytest.mark.parametrize("soql", OUTSIDE)
@requirement("records:documented")
def test_what_is_refused_by_name_is_documented(soql: str):
    part = SOQL.split("## What differs")[1]
    assert (
        any(word in part for word in re.findall(r"[A-Z_]{4,}", OUTSIDE[soql])) or "DISTINCT" in soql or "DAY_IN" in soql
    )


@requirement("records:documented")
def test_the_queries_of_the_page_are_answered_as_it_says(robin: Client):
    wrong = SOQL.split("```\n")[1]
    assert robin.refusal(wrong.split("\n")[0])["message"].strip("\n") == wrong.strip("\n")
    search = SOQL.split("```\n")[5]
    assert search.startswith("FIND") and not robin.call("find", q=search)[1]
    subquery = re.search(r"`(\(SELECT LastName [^`]+\))`", SOQL)
    assert subquery is not None and robin.query(f"SELECT Id, {subquery[1]} FROM Account LIMIT 1")["records"]
