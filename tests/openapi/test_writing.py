"""What arrives at an API is what was said, whatever is said."""

from typing import Any
from urllib.parse import parse_qsl, unquote

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from gatelodge.gateway.openapi.plan import Argument, Plan
from gatelodge.gateway.openapi.writing import Wrong, write
from tests.generated import MANY
from tests.requirements import requirement

texts = st.text(max_size=12)
scalars = texts | st.booleans() | st.integers()
lists = st.lists(scalars, max_size=4)
objects = st.dictionaries(texts, scalars, max_size=4)


def plain(value: Any) -> str:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


def plan(place: str, style: str, *, explode: bool, body: str = "") -> Plan:
    """A plan with one argument ``it`` and a second one in the query."""
    it = msgspec.convert({"in": place, "name": "it", "style": style, "explode": explode}, Argument)
    other = msgspec.convert({"in": "query", "name": "other", "style": "form", "explode": True}, Argument)
    path = "/a/{it}/b" if place == "path" else "/a"
    return Plan(method="POST", path=path, arguments={"it": it, "other": other}, body=body)


@requirement("openapi:calls")
@MANY
@given(scalars, scalars)
def test_a_path_parameter_arrives_as_one_part_of_the_path(value: Any, other: Any):
    try:
        written = write(plan("path", "simple", explode=False), {"it": value, "other": other})
    except Wrong:
        assert (
            not plain(value)
            or {*plain(value)} & {"/", "\\", *map(chr, range(32)), "\x7f"}
            or plain(value).partition(";")[0] in (".", "..")
        )
        return
    path, _, query = written.target.partition("?")
    assert path.isascii() and path.isprintable()
    assert [unquote(part) for part in path.split("/")] == ["", "a", plain(value), "b"]
    assert parse_qsl(query, keep_blank_values=True) == [("other", plain(other))]


@requirement("openapi:calls")
@MANY
@given(
    scalars | lists | objects, st.sampled_from(["form", "spaceDelimited", "pipeDelimited", "deepObject"]), st.booleans()
)
def test_a_query_parameter_arrives_as_it_was_said_or_is_not_sent(value: Any, style: str, explode: bool):
    try:
        written = write(plan("query", style, explode=explode), {"it": value, "other": "x"})
    except Wrong:
        return
    arrived = parse_qsl(written.target.partition("?")[2], keep_blank_values=True)
    assert arrived[-1] == ("other", "x")
    assert arrived[:-1] == expected(value, style, explode)


def expected(value: Any, style: str, explode: bool) -> list[tuple[str, str]]:
    between = {"form": ",", "spaceDelimited": " ", "pipeDelimited": "|"}.get(style, "")
    if not isinstance(value, list | dict):
        return [("it", plain(value))]
    if not value:
        return []
    if style == "deepObject":
        return [(f"it[{key}]", plain(each)) for key, each in value.items()]
    if explode:
        pairs = [("it", each) for each in value] if isinstance(value, list) else value.items()
        return [(key, plain(each)) for key, each in pairs]
    parts = value if isinstance(value, list) else [part for pair in value.items() for part in pair]
    joined = between.join(map(plain, parts))
    assert joined.split(between) == [plain(each) for each in parts]  # they can be told apart again
    return [("it", joined)]


@requirement("openapi:calls")
@MANY
@given(scalars | lists | objects, st.booleans())
def test_a_header_holds_what_was_said_and_nothing_more(value: Any, explode: bool):
    try:
        written = write(plan("header", "simple", explode=explode), {"it": value})
    except Wrong:
        return
    (text,) = written.headers.values()
    assert text.isascii() and text.isprintable() and text == text.strip()
    parts = (
        [plain(each) for each in (value if isinstance(value, list) else [value])]
        if not isinstance(value, dict)
        else None
    )
    if parts is not None and value != []:
        assert text.split(",") == parts or text == plain(value)


@requirement("openapi:calls")
@MANY
@given(scalars | lists | objects)
def test_a_body_arrives_as_it_was_said(value: Any):
    whole = write(plan("body", "json", explode=False, body="application/json"), {"it": value})
    assert whole.body is not None and msgspec.json.decode(whole.body) == {"it": value}
    assert whole.headers == {"Content-Type": "application/json"}
    try:
        fields = write(plan("body", "form", explode=True, body="application/x-www-form-urlencoded"), {"it": value})
    except Wrong:
        return
    assert parse_qsl((fields.body or b"").decode(), keep_blank_values=True) == expected(value, "form", True)


@requirement("openapi:refuses-arguments")
@MANY
@given(
    st.sampled_from(["Host", "authorization", "X-Forwarded-For", "Cookie", "X-Api-Key", "Gatelodge-Identity"]), texts
)
def test_no_argument_fills_a_header_that_says_who_sends(name: str, value: str):
    made = Plan(method="GET", path="/", arguments={"it": Argument(place="header", name=name)})
    try:
        written = write(made, {"it": value}, "x-api-key")
    except Wrong:
        return
    raise AssertionError(written)
