"""Documents of both versions as tools, and hostile ones."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatelodge.core import definitions
from gatelodge.core.server_items import Catalogue, NotRead, readable
from gatelodge.gateway.openapi import operations
from gatelodge.gateway.openapi.document import MOST_STEPS, parse
from tests.generated import MANY
from tests.requirements import requirement

OK = {"200": {"description": "Yes."}}


def read(document: Any) -> Catalogue:
    """What a document offers."""
    return operations.catalogue(parse(document if isinstance(document, str) else json.dumps(document)))


def tools(document: Any) -> dict[str, dict[str, Any]]:
    """The definitions of its tools, each of which can be pinned."""
    found, left_out = readable(read(document))
    assert not left_out
    return {name: json.loads(offered.definition) for (_, name), (offered, _) in found.items()}


def document(paths: Any = None, version: str = "3.1.0", **schemas: Any) -> dict[str, Any]:
    return {
        "openapi": version,
        "info": {"title": "T", "version": "1"},
        "paths": paths or {},
        "components": {"schemas": schemas},
    }


def taking(schema: Any, version: str = "3.1.0", **schemas: Any) -> dict[str, Any]:
    """A document with one operation that takes this as its body."""
    content = {"application/json": {"schema": schema}}
    operation = {"operationId": "do", "requestBody": {"required": True, "content": content}, "responses": OK}
    return document({"/a": {"post": operation}}, version, **schemas)


@requirement("openapi:documents")
def test_the_same_document_in_yaml_gives_the_same_tools():
    text = """
openapi: 3.0.3
info: {title: Pets, version: '1.4'}   # versions are texts
paths:
  /pets/{petId}:
    get:
      operationId: getPet
      parameters:
        - {name: petId, in: path, required: true, schema: {type: string, enum: [no, "yes", 2024-01-01]}}
      responses:
        200: {description: It.}
"""
    made = tools(text)["getPet"]
    assert made["inputSchema"]["properties"]["petId"]["enum"] == ["no", "yes", "2024-01-01"]
    assert made["request"] == {
        "method": "GET", "path": "/pets/{petId}", "arguments": {"petId": {"in": "path", "name": "petId"}},
    }  # fmt: skip
    assert made["annotations"] == {"readOnlyHint": True, "openWorldHint": True}


@requirement("openapi:documents")
def test_schemas_of_3_0_become_json_schema_2020_12():
    schema = {
        "type": "object",
        "required": ["n"],
        "properties": {
            "n": {"type": "integer", "minimum": 0, "exclusiveMinimum": True, "nullable": True, "example": 3},
            "kind": {"type": "string", "enum": ["a"], "nullable": True},
            "of": {"$ref": "#/components/schemas/Of", "description": "counts for nothing here"},
            "own": {"type": "string", "readOnly": True},
            "x": {"type": "string", "xml": {"name": "y"}, "x-more": 1, "pattern": "^a"},
        },
    }
    made = tools(
        taking(schema, "3.0.3", Of={"type": "object", "properties": {"of": {"$ref": "#/components/schemas/Of"}}})
    )
    assert made["do"]["inputSchema"] == {
        "type": "object",
        "additionalProperties": False,
        "required": ["n"],
        "properties": {
            "n": {"type": ["integer", "null"], "exclusiveMinimum": 0, "examples": [3]},
            "kind": {"type": ["string", "null"], "enum": ["a", None]},
            "of": {"$ref": "#/$defs/Of"},
            "x": {"type": "string", "pattern": "^a"},
        },
        "$defs": {"Of": {"type": "object", "properties": {"of": {"$ref": "#/$defs/Of"}}}},
    }


@requirement("openapi:documents")
def test_arguments_of_the_same_name_are_told_apart():
    operation = {
        "operationId": "do",
        "parameters": [
            {"name": "id", "in": "query", "schema": {"type": "string"}},
            {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}},
            {"name": "path_id", "in": "query", "schema": {"type": "string"}},
            {"name": "filter[a]", "in": "query", "schema": {"type": "string"}},
            {"name": "filter(a)", "in": "query", "schema": {"type": "string"}},
            {"name": "Authorization", "in": "header", "schema": {"type": "string"}},
            {"name": "X-Forwarded-For", "in": "header", "schema": {"type": "string"}},
        ],
        "requestBody": {"required": True, "content": {"application/json": {"schema": {"properties": {"id": {}}}}}},
        "responses": OK,
    }
    arguments = tools(document({"/a/{id}": {"put": operation}}))["do"]["request"]["arguments"]
    assert len(arguments) == 6
    assert len({(each["in"], each.get("name")) for each in arguments.values()}) == 6
    assert arguments["path_id"] == {"in": "query", "name": "path_id", "style": "form", "explode": True}


def nested(depth: int) -> Any:
    schema: Any = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "array", "items": schema}
    return schema


LEFT_OUT = {
    "another document's": (taking({"$ref": "https://evil.example/a.json"}), "only references within the document"),
    "a file": (taking({"$ref": "other.yaml#/a"}), "only references within the document"),
    "nowhere": (taking({"$ref": "#/components/schemas/No"}), "which the document doesn't have"),
    "a deep schema": (taking({"allOf": [nested(80)]}), "nested more than 60 deep"),
    "made of itself": (taking({"allOf": [{"$ref": "#/components/schemas/A"}]}, A={"allOf": [{"$ref": "#/components/schemas/A"}]}), "made of itself"),
    "a circle of two": (
        taking({"anyOf": [{"$ref": "#/components/schemas/A"}]}, A={"$ref": "#/components/schemas/B"}, B={"$ref": "#/components/schemas/A"}),
        "made of itself",
    ),
    "no type": (taking({"allOf": [{"type": "file"}]}), "has a schema with type 'file'"),
    "no number": (taking({"allOf": [{"minimum": "1"}]}), "has a schema with minimum '1'"),
    "by nothing": (taking({"allOf": [{"multipleOf": 0}]}), "has a schema with multipleOf 0"),
    "the way up": (document({"/a/%2e%2e/b": {"get": {"responses": OK}}}), "with . or .. in it"),
    "a query": (document({"/a?b=c": {"get": {"responses": OK}}}), "holds ?, #"),
    "another host": (document({"@evil.example/": {"get": {"responses": OK}}}), "doesn't begin with /"),
    "a control character": (document({"/a\r\nHost: b": {"get": {"responses": OK}}}), "characters that can't be seen"),
    "no parameter": (document({"/a/{b}": {"get": {"responses": OK}}}), "no parameter that says what that is"),
    "a cookie": (
        document({"/a": {"get": {"parameters": [{"name": "s", "in": "cookie", "required": True}], "responses": OK}}}),
        "needs the cookie parameter 's'",
    ),
    "a host header": (
        document({"/a": {"get": {"parameters": [{"name": "Host", "in": "header", "required": True}], "responses": OK}}}),
        "needs the header 'Host'",
    ),
    "a path item that goes round": (document({"/a": {"$ref": "#/paths/~1a"}}), "more than 16 times"),
    "files": (
        document({"/a": {"post": {"requestBody": {"required": True, "content": {"multipart/form-data": {}}}, "responses": OK}}}),
        "takes 'multipart/form-data'",
    ),
}  # fmt: skip


@requirement("openapi:hostile-documents")
@pytest.mark.parametrize("what", LEFT_OUT)
def test_an_operation_that_cannot_be_a_tool_is_left_out_with_the_reason(what: str):
    found = read(LEFT_OUT[what][0])
    assert not found.offered and LEFT_OUT[what][1] in " ".join(found.left_out)


@requirement("openapi:hostile-documents")
@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is empty"),
        ("[]", "is no object"),
        ("{", "is no JSON"),
        ('{"swagger": "2.0"}', "says Swagger 2.0"),
        ('{"openapi": "4.0.0"}', "says '4.0.0'"),
        ('{"openapi": "3.1.0"}', "has no paths"),
        ('{"openapi": "3.1.0", "paths": {}}', "has no operations"),
        ("[" * 100_000, "nested too deep"),
        ("{" + " " * (9 * 1024 * 1024) + "}", "at most 8388608 are read"),
        ("a: &a [x]\nb: [*a, *a]", "line 1: anchors and aliases are not read"),
        ("a: !!python/object/apply:os.system [x]", "line 1: tags are not read"),
        ("a: 1\na: 2", "line 2: the key 'a' stands twice"),
        ("a:\n  <<: b", "or merges others"),
        ("a: [", "did not find expected node content"),
        ("- " * 500 + "a", "nested more than 100 deep"),
        ("a: 1\n---\nb: 2", "several documents"),
        ("openapi: 3.1.0\n" + "# " + "x" * 3_000_000, "write it as JSON"),
    ],
)
def test_a_document_that_cannot_be_read_is_refused_with_the_reason(text: str, why: str):
    with pytest.raises(NotRead) as refused:
        read(text)
    assert why in str(refused.value)


@requirement("openapi:hostile-documents")
def test_names_that_stand_twice_or_hold_control_characters_become_names_of_their_own():
    paths = {f"/p{n}": {"get": {"operationId": "sa me\r\n\u202e", "responses": OK}} for n in range(3)}
    paths["/long"] = {"get": {"operationId": "x" * 300, "responses": OK}}
    made = tools(document(paths))
    assert list(made)[:3] == ["sa_me_get_p0", "sa_me_get_p1", "sa_me_get_p2"]
    assert all(len(name) <= 64 and name.isascii() for name in made)


@requirement("openapi:hostile-documents")
def test_a_document_whose_reading_would_never_end_is_read_in_bounded_steps():
    wide = {f"p{n}": {"$ref": f"#/components/schemas/S{n}"} for n in range(400)}
    schemas = {f"S{n}": {"type": "object", "properties": wide} for n in range(400)}
    paths = {
        f"/p{n}": {"post": taking({"allOf": [{"$ref": "#/components/schemas/S0"}]})["paths"]["/a"]["post"]}
        for n in range(40)
    }
    found = read(document(paths, **schemas))
    assert len(found.offered) < 40
    assert f"more than {MOST_STEPS} steps" in found.left_out[-1] or "characters together" in found.left_out[-1]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just("#/components/schemas/A"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["$ref", "type", "properties", "items", "allOf", "required", "nullable", "enum", "in", "name",
                         "schema", "content", "application/json", "get", "post", "/a", "/a/{b}", "parameters",
                         "requestBody", "responses", "200", "style", "explode", "operationId"]),
        inner, max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


@requirement("openapi:hostile-documents")
@MANY
@given(values, values)
def test_whatever_a_document_holds_it_is_read_or_refused(paths: Any, schema: Any):
    try:
        found = read(document(paths, A=schema))
    except NotRead:
        return
    for each in found.offered:
        assert definitions.canonical(each.definition)
