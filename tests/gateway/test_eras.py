"""Both eras of the protocol at one endpoint: what 2026-07-28 demands of every request, and ``initialize`` without a session."""

import json
from typing import Any

import pytest

from tests.gateway.speaking import ACCEPT, LEGACY, META, MODERN, Client
from tests.requirements import requirement

TOOLS = ["getObjectSchema", "soqlQuery", "find", "getUserInfo", "listRecentSobjectRecords", "getRelatedRecords"]
CAPABLE = {"capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
VERSION = "io.modelcontextprotocol/protocolVersion"
MODERN_LIST = {"MCP-Protocol-Version": MODERN, "Mcp-Method": "tools/list"}
LISTED = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": META}}


def error(answer: Any, status: int, code: int) -> dict[str, Any]:
    """The JSON-RPC error of an answer with this HTTP status and code."""
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text
    assert answer.headers["content-type"] == "application/json" and "mcp-session-id" not in answer.headers
    return answer.json()["error"]


@requirement("gateway:modern-discover")
def test_discover_says_who_we_are_and_what_we_speak_without_a_handshake(robin: Client):
    result = robin.modern("server/discover").json()["result"]
    assert result["supportedVersions"] == [MODERN]
    assert result["capabilities"]["tools"] == {"listChanged": False}
    assert result["resultType"] == "complete" and result["cacheScope"] == "private" and result["ttlMs"] >= 0
    assert result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"] == "sobject-reads"
    assert "getObjectSchema" in result["instructions"]


@requirement("gateway:modern-tools")
def test_tools_are_listed_in_one_order_with_hints_for_caches_and_for_care(robin: Client):
    first, second = (robin.modern("tools/list").json()["result"] for _ in range(2))
    assert first == second and [tool["name"] for tool in first["tools"]] == TOOLS
    assert first["resultType"] == "complete" and first["cacheScope"] == "private"
    for tool in first["tools"]:
        assert tool["annotations"]["readOnlyHint"] is True and tool["annotations"]["destructiveHint"] is False
        assert tool["inputSchema"]["type"] == "object" and tool["description"]


@requirement("gateway:modern-tools")
def test_a_tool_is_called_without_anything_before_it(robin: Client):
    answer = robin.modern("tools/call", {"name": "getUserInfo", "arguments": {}})
    result = answer.json()["result"]
    assert answer.status_code == 200 and result["isError"] is False and result["resultType"] == "complete"
    assert json.loads(result["content"][0]["text"])["username"] == "robin@acme.example"
    assert "mcp-session-id" not in answer.headers


@pytest.mark.parametrize(
    ("method", "params", "headers"),
    [
        ("tools/list", None, {"Mcp-Method": "tools/call"}),
        ("tools/list", None, {"Mcp-Method": "TOOLS/LIST"}),
        ("tools/list", None, {"Mcp-Method": ""}),
        ("tools/call", {"name": "getUserInfo", "arguments": {}}, {"Mcp-Name": "find"}),
        ("tools/call", {"name": "getUserInfo", "arguments": {}}, {"Mcp-Name": ""}),
        ("tools/list", {"_meta": META | {VERSION: "2025-11-25"}}, {}),
        ("tools/list", {"_meta": META | {VERSION: "2099-01-01"}}, {}),
        ("tools/list", None, {"MCP-Protocol-Version": "2099-01-01"}),
    ],
)
@requirement("gateway:modern-headers-agree")
def test_headers_that_say_something_else_than_the_body_are_refused(
    robin: Client, method: str, params: Any, headers: Any
):
    error(robin.modern(method, params, headers), 400, -32020)


@pytest.mark.parametrize("missing", ["Mcp-Method", "Mcp-Name"])
@requirement("gateway:modern-headers-agree")
def test_a_routing_header_that_is_missing_or_comes_twice_is_refused(robin: Client, missing: str):
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": {"_meta": META, "name": "getUserInfo", "arguments": {}}}  # fmt: skip
    headers = {"MCP-Protocol-Version": MODERN, "Mcp-Method": "tools/call", "Mcp-Name": "getUserInfo"}
    assert robin.send(body, headers).status_code == 200
    error(robin.send(body, {name: value for name, value in headers.items() if name != missing}), 400, -32020)
    twice = [*headers.items(), *robin.headers.items(), (missing, headers[missing]), ("Accept", ACCEPT)]
    twice.append(("Content-Type", "application/json"))
    error(robin.front.post(robin.url, content=json.dumps(body).encode(), headers=twice), 400, -32020)


@requirement("gateway:modern-unsupported-version")
def test_a_version_that_we_do_not_speak_is_answered_with_those_that_we_do(robin: Client):
    asked = {"_meta": META | {VERSION: "2099-01-01"}}
    said = error(robin.modern("tools/list", asked, {"MCP-Protocol-Version": "2099-01-01"}), 400, -32022)
    assert said["data"]["supported"] == [MODERN] and said["data"]["requested"] == "2099-01-01"


@pytest.mark.parametrize("meta", [{}, {VERSION: MODERN}, {"io.modelcontextprotocol/clientCapabilities": {}}, None])
@requirement("gateway:modern-missing-meta")
def test_a_request_without_its_envelope_is_refused(robin: Client, meta: Any):
    error(robin.modern("tools/list", {"_meta": meta}), 400, -32602)


@pytest.mark.parametrize(
    "method",
    ["nothing", "ping", "initialize", "logging/setLevel", "resources/list", "prompts/list", "sampling/createMessage"],
)
@requirement("gateway:modern-unknown-method")
def test_a_method_that_there_is_not_is_404(robin: Client, method: str):
    error(robin.modern(method), 404, -32601)


@pytest.mark.parametrize("arguments", [[], "q", 7])
@requirement("gateway:tool-call-is-checked")
def test_arguments_that_are_no_object_and_tools_that_there_are_not_are_refused(robin: Client, arguments: Any):
    error(robin.modern("tools/call", {"name": "soqlQuery", "arguments": arguments}), 400, -32602)
    error(robin.modern("tools/call", {"name": "deleteEverything", "arguments": {}}), 400, -32602)
    assert robin.legacy("tools/call", {"name": "nothing", "arguments": {}}).json()["error"]["code"] == -32602


@pytest.mark.parametrize("version", [MODERN, *LEGACY])
@pytest.mark.parametrize("method", ["notifications/initialized", "notifications/cancelled", "notifications/whatever"])
@requirement("gateway:notifications")
def test_a_notification_is_acknowledged_and_nothing_more(robin: Client, version: str, method: str):
    body = {"jsonrpc": "2.0", "method": method, "params": {"requestId": 1}}
    answer = robin.send(body, {"MCP-Protocol-Version": version, "Mcp-Method": method})
    assert answer.status_code == 202 and answer.content == b""


@pytest.mark.parametrize("version", LEGACY)
@requirement("gateway:legacy-initialize")
def test_initialize_agrees_on_the_version_and_opens_no_session(robin: Client, version: str):
    answer = robin.legacy("initialize", CAPABLE | {"protocolVersion": version}, None)
    result = answer.json()["result"]
    assert answer.status_code == 200 and result["protocolVersion"] == version
    assert result["serverInfo"]["name"] == "sobject-reads" and "tools" in result["capabilities"]
    assert "mcp-session-id" not in answer.headers


@requirement("gateway:legacy-initialize")
def test_initialize_with_an_unknown_version_is_offered_the_newest_of_its_era(robin: Client):
    result = robin.legacy("initialize", CAPABLE | {"protocolVersion": "1999-01-01"}, None).json()["result"]
    assert result["protocolVersion"] == "2025-11-25"


@pytest.mark.parametrize("version", [*LEGACY, None])
@requirement("gateway:legacy-stateless")
def test_each_request_of_the_old_era_stands_alone(robin: Client, version: str | None):
    listed = robin.legacy("tools/list", None, version)
    assert [tool["name"] for tool in listed.json()["result"]["tools"]] == TOOLS
    called = robin.legacy("tools/call", {"name": "soqlQuery", "arguments": {"q": "SELECT COUNT() FROM User"}}, version)
    assert json.loads(called.json()["result"]["content"][0]["text"])["totalSize"] == 12
    assert "resultType" not in called.json()["result"], "a word of the newer era"
    assert robin.legacy("ping", None, version).json()["result"] == {}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    kept = robin.send(body, {"MCP-Protocol-Version": version or "2025-06-18", "Mcp-Session-Id": "made-up"})
    assert kept.status_code == 200 and "mcp-session-id" not in kept.headers


@requirement("gateway:legacy-stateless")
def test_an_unknown_method_of_the_old_era_is_an_error_in_a_good_answer(robin: Client):
    error(robin.legacy("server/discover"), 200, -32601)


@pytest.mark.parametrize("version", [MODERN, *LEGACY])
@pytest.mark.parametrize("batch", [[], [LISTED], [LISTED, LISTED], [{"jsonrpc": "2.0", "method": "notifications/x"}]])
@requirement("gateway:no-batches")
def test_a_batch_is_refused(robin: Client, version: str, batch: list[Any]):
    answer = robin.send(batch, MODERN_LIST | {"MCP-Protocol-Version": version})
    assert answer.status_code == 400 and "result" not in answer.json()


@pytest.mark.parametrize("version", [MODERN, *LEGACY])
@pytest.mark.parametrize(
    "body",
    [b"", b"{", b'{"jsonrpc":', b"\xff\xfe", b"[" * 100_000, b'{"a":' * 50_000, b'{"jsonrpc":"2.0","id":' + b"9" * 5000,
     b"\x00", b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}}', b"nul"],
)  # fmt: skip
@requirement("gateway:malformed-json")
def test_what_is_no_json_is_a_parse_error(robin: Client, version: str, body: bytes):
    error(robin.send(body, MODERN_LIST | {"MCP-Protocol-Version": version}), 400, -32700)


@pytest.mark.parametrize("version", [MODERN, *LEGACY])
@pytest.mark.parametrize(
    "body", [None, 7, "tools/list", {}, {"jsonrpc": "1.0", "id": 1, "method": "tools/list"}, {"jsonrpc": "2.0", "id": 1},
             {"jsonrpc": "2.0", "id": 1, "method": 7}],
)  # fmt: skip
@requirement("gateway:malformed-json")
def test_json_that_is_no_request_is_refused(robin: Client, version: str, body: Any):
    answer = robin.send(body, MODERN_LIST | {"MCP-Protocol-Version": version})
    assert answer.status_code == 400 and answer.json()["error"]["code"] in (-32600, -32602)


@pytest.mark.parametrize("id", [None, {}, [], 1.5, True])
@requirement("gateway:malformed-json")
def test_a_request_whose_id_no_answer_could_carry_is_never_served(robin: Client, id: Any):
    assert robin.send(LISTED | {"id": id}, MODERN_LIST).json()["error"]["code"] == -32600
    for version in LEGACY:
        answer = robin.send(LISTED | {"id": id}, {"MCP-Protocol-Version": version})
        assert answer.status_code in (202, 400) and b"result" not in answer.content


@pytest.mark.parametrize("version", [MODERN, LEGACY[-1]])
@pytest.mark.parametrize("depth", [50, 150, 300, 700, 900, 960, 990, 1000, 5000, 200_000])
@requirement("gateway:malformed-json")
def test_deep_json_is_refused_before_it_is_parsed_and_breaks_nothing(robin: Client, version: str, depth: int):
    deep = b"[" * depth + b"]" * depth
    body = json.dumps(LISTED | {"params": {"_meta": META, "x": 0}}).encode().replace(b'"x": 0', b'"x": ' + deep)
    answer = robin.send(body, MODERN_LIST | {"MCP-Protocol-Version": version})
    if depth < 100:
        assert answer.status_code == 200
    else:
        error(answer, 400, -32700)
    called = robin.modern("tools/call", {"name": "soqlQuery", "arguments": {"q": "SELECT COUNT() FROM User"}})
    assert called.status_code == 200


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "json", ""]
)
@pytest.mark.parametrize("version", [MODERN, LEGACY[-1]])
@requirement("gateway:content-type")
def test_a_body_of_another_type_is_refused(robin: Client, version: str, content_type: str):
    answer = robin.send(LISTED, MODERN_LIST | {"MCP-Protocol-Version": version, "Content-Type": content_type})
    assert answer.status_code == 415 and "application/json" in answer.text


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "APPLICATION/JSON", "application/json;x=y"]
)
@requirement("gateway:content-type")
def test_parameters_and_case_of_the_type_do_not_matter(robin: Client, content_type: str):
    assert robin.send(LISTED, MODERN_LIST | {"Content-Type": content_type}).status_code == 200


@pytest.mark.parametrize(
    "accept", [ACCEPT, "application/json", "*/*", "application/*", "text/event-stream, application/json;q=0.5"]
)
@requirement("gateway:content-type")
def test_a_client_that_takes_json_gets_json(robin: Client, accept: str):
    for answer in (robin.send(LISTED, MODERN_LIST | {"Accept": accept}), robin.send(LISTED, {"Accept": accept})):
        assert answer.status_code == 200 and answer.headers["content-type"] == "application/json"
    assert robin.send(LISTED, MODERN_LIST | {"Accept": "text/html"}).status_code == 406


@pytest.mark.parametrize("version", [MODERN, LEGACY[-1]])
@requirement("gateway:body-limit")
def test_a_body_of_more_than_a_mebibyte_is_refused_before_it_is_parsed(robin: Client, version: str):
    headers = MODERN_LIST | {"MCP-Protocol-Version": version}
    filled = json.dumps(LISTED).encode()
    fits = filled + b" " * (1024 * 1024 - len(filled))
    assert robin.send(fits, headers).status_code == 200
    assert robin.send(fits + b" ", headers).status_code == 413
    assert robin.send(b"[" * (1024 * 1024 + 1), headers).status_code == 413
    chunks = robin.front.post(robin.url, content=_chunks(), headers=robin.headers | headers | _TYPES)
    assert chunks.status_code == 413, "also when its length was not said"


_TYPES = {"Content-Type": "application/json", "Accept": ACCEPT}


async def _chunks():
    for _ in range(20):
        yield b" " * 100_000
