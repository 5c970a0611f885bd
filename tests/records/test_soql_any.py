"""SOQL from chance: whatever is asked, the answer is records or a refusal with its reason, and never anybody's secret."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatelodge.gateway.records import sample
from gatelodge.gateway.records.errors import CODES, RecordError, pointed
from gatelodge.gateway.records.soql.compiling import AGGREGATES
from gatelodge.gateway.records.soql.parsing import parse, parse_search
from gatelodge.gateway.records.soql.tree import Comparison, Pattern
from tests.gateway.speaking import Client
from tests.generated import MANY
from tests.requirements import requirement

HIDDEN_AMOUNTS = "records:hidden-is-left-out"

sources = st.sampled_from([each.name for each in sample.OBJECTS] + ["Nothing", "opportunity", "LEAD"])
names = st.sampled_from(
    [
        *sorted({field.name for each in sample.OBJECTS for field in each.fields}),
        "Account.Name",
        "Owner.Name",
        "owner.IsActive",
        "Who.Email",
        "What.AnnualRevenue",
        "Account.Owner.Name",
        "Amount",
        "Nothing",
    ]
)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
literals = texts.map(lambda text: "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'")
values = st.one_of(
    literals, st.integers(-(10**20), 10**20).map(str), st.floats(-1e9, 1e9).map(lambda n: f"{n:.3f}"),
    st.sampled_from(["null", "TRUE", "false", "TODAY", "LAST_N_DAYS:30", "NEXT_QUARTER", "N_YEARS_AGO:2"]),
    st.dates().map(str), st.datetimes().map(lambda at: f"{at.isoformat(timespec='seconds')}Z"),
)  # fmt: skip
calls = st.tuples(st.sampled_from([*AGGREGATES, "COUNT", "MEDIAN"]), names).map(lambda c: f"{c[0]}({c[1]})")
operands = st.one_of(names, names, names, calls)
simple = st.one_of(
    st.tuples(operands, st.sampled_from(["=", "!=", "<>", "<", "<=", ">", ">="]), values).map(" ".join),
    st.tuples(operands, literals).map(lambda c: f"{c[0]} LIKE {c[1]}"),
    st.tuples(operands, st.sampled_from(["IN", "NOT IN"]), st.lists(values, min_size=1, max_size=4)).map(
        lambda c: f"{c[0]} {c[1]} ({', '.join(c[2])})"
    ),
)
conditions = st.recursive(
    simple,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["AND", "OR"]), inner).map(" ".join),
        inner.map(lambda c: f"({c})"), inner.map(lambda c: f"NOT ({c})"), inner.map(lambda c: f"NOT {c}"),
        st.tuples(names, sources, names, inner).map(lambda c: f"{c[0]} IN (SELECT {c[2]} FROM {c[1]} WHERE {c[3]})"),
    ),
    max_leaves=6,
)  # fmt: skip
clauses = st.fixed_dictionaries(
    {},
    optional={
        "WHERE": conditions,
        "GROUP BY": st.lists(names, min_size=1, max_size=2).map(", ".join),
        "HAVING": conditions,
        "ORDER BY": st.lists(
            st.tuples(operands, st.sampled_from(["", " DESC", " ASC NULLS LAST"])).map("".join), min_size=1, max_size=3
        ).map(", ".join),
        "LIMIT": st.integers(0, 3000).map(str),
        "OFFSET": st.integers(0, 2100).map(str),
    },
)


@st.composite
def queries(draw: st.DrawFn) -> str:
    """A text that the grammar allows, about objects and fields that mostly are there."""
    subqueries = st.tuples(
        names, st.sampled_from(["Contacts", "Opportunities", "Cases", "OwnedLeads", "Tasks"]), clauses
    ).map(lambda c: f"(SELECT {c[0]} FROM {c[1]}{_written(c[2])})")
    field = st.one_of(
        names,
        names,
        names,
        calls,
        calls.map(lambda c: f"{c} n"),
        subqueries,
        st.just("FIELDS(ALL)"),
        st.just("COUNT()"),
    )
    selected = draw(st.lists(field, min_size=1, max_size=4))
    return f"SELECT {', '.join(selected)} FROM {draw(sources)}{_written(draw(clauses))}"


def _written(parts: dict[str, str]) -> str:
    order = ["WHERE", "GROUP BY", "HAVING", "ORDER BY", "LIMIT", "OFFSET"]
    return "".join(f" {word} {parts[word]}" for word in order if word in parts)


def sound(found: Any, *, is_error: bool) -> None:
    """An answer of records, or a refusal with a known code that is no accident of ours."""
    if is_error:
        assert found[0]["errorCode"] in CODES and found[0]["errorCode"] != "UNKNOWN_EXCEPTION", found
    else:
        assert len(found["records"]) <= 2000 and isinstance(found["totalSize"], int)
        assert found["done"] or "note" in found


@MANY
@given(soql=queries())
@requirement("soql:any-query")
def test_any_query_of_the_grammar_is_answered_or_refused_with_a_reason(robin: Client, soql: str):
    try:
        parse(soql)
    except RecordError as error:
        assert "unexpected token" not in error.message, "the grammar allows it"
    found, is_error = robin.call("soqlQuery", q=soql)
    sound(found, is_error=is_error)


@MANY
@given(soql=queries())
@requirement("soql:any-query", HIDDEN_AMOUNTS)
def test_no_query_brings_a_hidden_field_or_object_into_an_answer(sam: Client, soql: str):
    found, is_error = sam.call("soqlQuery", q=soql)
    sound(found, is_error=is_error)
    if not is_error:
        shown = json.dumps(found)
        assert '"Amount"' not in shown and '"type": "Lead"' not in shown and '"00Q' not in shown
        assert "FROM Lead" not in soql and "FROM LEAD" not in soql and "OwnedLeads" not in soql


@MANY
@given(
    text=st.one_of(
        st.text(max_size=200), st.text("SELECTFROMWHEREandor ()'\"\\,.=<>!%_{}[]*:;-+0123456789\n", max_size=200)
    )
)
@requirement("soql:any-text")
def test_any_text_is_read_or_refused_and_nothing_else(text: str):
    for read in (parse, parse_search):
        try:
            read(text)
        except RecordError as error:
            assert error.code in CODES and -1 <= error.at <= len(text)
            assert error.message in pointed(error, text)


@MANY
@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30))
@requirement("soql:any-text")
def test_any_text_that_a_client_sends_is_answered_or_refused(robin: Client, text: str):
    found, is_error = robin.call("soqlQuery", q=text or " ")
    assert is_error and found[0]["errorCode"] == "MALFORMED_QUERY"
    found, is_error = robin.call("find", q=text or " ")
    assert is_error is not ("searchRecords" in found)
    assert not is_error or found[0]["errorCode"] == "MALFORMED_SEARCH"


@MANY
@given(value=texts, before=texts)
@requirement("soql:literals-keep-their-quotes")
def test_a_value_never_leaves_its_quotes(robin: Client, value: str, before: str):
    quoted = "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    where = parse(f"SELECT Id FROM Account WHERE Name = {quoted}").where
    assert isinstance(where, Comparison) and where.value == value
    first = "'" + before.replace("\\", "\\\\").replace("'", "\\'") + "'"
    both = parse(f"SELECT Id FROM Account WHERE Name IN ({first}, {quoted})").where
    assert both.values == (before, value)  # type: ignore[union-attr]
    answer = robin.query(f"SELECT COUNT() FROM Account WHERE Name = {quoted} OR Name = {quoted}")
    assert answer == {"totalSize": 0, "done": True, "records": []}


@MANY
@given(value=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12))
@requirement("soql:literals-keep-their-quotes")
def test_a_pattern_whose_wildcards_are_escaped_stands_for_itself(robin: Client, value: str):
    written = "".join(f"\\{c}" if c in "\\'%_" else c for c in value)
    where = parse(f"SELECT Id FROM Account WHERE Name LIKE '{written}'").where
    assert isinstance(where, Comparison) and isinstance(where.value, Pattern)
    assert robin.query(f"SELECT COUNT() FROM Account WHERE Name LIKE '{written}'")["totalSize"] == 0


@pytest.mark.parametrize(
    ("written", "value"),
    [
        (r"\n\r\t\b\f\N", "\n\r\t\b\f\n"),
        (r"\\ \' \"", "\\ ' \""),
        (r"\u00e9\u20AC", "é€"),
        ("a\nb", "a\nb"),
        ("--/*;", "--/*;"),
    ],
)
@requirement("soql:literals-keep-their-quotes")
def test_escapes_are_those_of_the_original(written: str, value: str):
    where = parse(f"SELECT Id FROM Account WHERE Name = '{written}'").where
    assert isinstance(where, Comparison) and where.value == value
