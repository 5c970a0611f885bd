"""An administrator adds a REST API in Setup and from the command line, and looks at it."""

import json
from pathlib import Path

import pytest
from starlette.responses import RedirectResponse, Response, StreamingResponse

from gatelodge.core import mcp_servers
from gatelodge.core.errors import Invalid, Refused
from tests.house import House
from tests.openapi.apis import DOCUMENT, Api, endless
from tests.openapi.serving import call, client, said
from tests.requirements import requirement
from tests.servers.offering import item, items, server
from tests.servers.test_commands import tell
from tests.setup.offices import administrator, errors, send, words

NEW = "/setup/mcp-servers/new?kind=openapi"


@requirement("openapi:setup", "openapi:pinned")
def test_an_api_is_added_by_the_url_of_its_document_looked_at_and_called(house_on: House):
    api, robin = Api(), administrator(house_on)
    with api.running() as url:
        typed = {"source": url, "label": "Pets", "allows_private": "on", "document_url": f"{url}/openapi.json"}
        answer = send(robin, NEW, **typed)
        assert answer.status_code == 303, errors(answer)
        assert answer.headers["location"].endswith("/setup/mcp-servers/pets/items")
        row = server(house_on, "pets")
        assert [(each.name, each.is_on, each.mark) for each in items(house_on, row).all] == [
            ("listPets", False, "read"), ("createPet", False, "write"), ("getPet", False, "read"),
            ("delete_pets_petId", False, "destructive"),
        ]  # fmt: skip
        one = robin.front.get("/setup/mcp-servers/pets/item?kind=tool&name=getPet")
        assert "What is sent" in one.text and "/pets/{petId}" in one.text
        assert send(robin, "/setup/mcp-servers/pets/item?kind=tool&name=getPet", on="on", act="save").status_code == 303
        assert item(house_on, row, "getPet").is_on
        send(robin, "/setup/mcp-servers", name="pets", act="activate")
        assert json.loads(said(call(client(house_on), "getPet", petId="7"))) == {"said": "GET"}
        api.document["paths"]["/pets/{petId}"]["get"]["description"] = "Another."
        page = words(send(robin, "/setup/mcp-servers/pets", act="look", confirm=None, document=None))
        assert "1 has changed, and is held back until you look at it." in page
    assert "Protocol" not in words(robin.front.get("/setup/mcp-servers/pets/settings"))


@requirement("openapi:setup")
def test_a_pasted_document_is_read_and_a_new_one_is_pasted_later(house: House):
    robin, pasted = administrator(house), json.loads(json.dumps(DOCUMENT))
    answer = send(robin, NEW, source="https://api.example", label="Pets", document=json.dumps(pasted))
    assert answer.status_code == 303, errors(answer)
    page = words(send(robin, "/setup/mcp-servers/pets", act="look", confirm=None, document=None))
    assert "its document was pasted" in page
    del pasted["paths"]["/pets"]["post"]
    page = words(send(robin, "/setup/mcp-servers/pets", act="look", confirm=None, document=json.dumps(pasted)))
    assert "1 is gone." in page


@requirement("openapi:setup")
@pytest.mark.parametrize(
    ("typed", "field", "why"),
    [
        ({}, "document_url", "Give the URL of the document, or paste it"),
        ({"document": "a", "document_url": "https://a.example"}, "document_url", "one of the two"),
        ({"document": '{"swagger": "2.0"}'}, "document", "says Swagger 2.0"),
        ({"document_url": "http://a.example/a"}, "document_url", "must be https"),
        ({"document_url": "https://127.0.0.1/a"}, "document_url", "no public address"),
        ({"document": "{}", "source": "https://a.example/?b"}, "source", "must hold no query"),
    ],
)
def test_a_document_that_cannot_be_used_is_refused_beside_its_field(house: House, typed, field: str, why: str):
    answer = send(administrator(house), NEW, **({"source": "https://api.example", "label": "Pets"} | typed))
    assert answer.status_code == 422 and why in errors(answer)[field]
    assert house.read(mcp_servers.find, house.org.id, "pets") is None


@requirement("openapi:hostile-documents")
@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (RedirectResponse("http://169.254.169.254/latest/meta-data", 302), "redirect"),
        (StreamingResponse(endless(), media_type="application/json"), "8388608"),
        (Response(b"{" + b" " * 10_000_000 + b"}", media_type="application/json"), "8388608"),
        (Response(b"\xff\xfe\x00", media_type="application/json"), "no UTF-8 text"),
        (Response(b"no", 404), "answered with status 404"),
    ],
)  # fmt: skip
def test_a_document_at_a_url_that_leads_on_never_ends_or_is_none_is_refused(house: House, answer: Response, why: str):
    api = Api()
    api.answers["/v1/hostile.json"] = answer
    with api.running() as url:
        typed = {"source": url, "label": "Pets", "allows_private": "on", "document_url": f"{url}/hostile.json"}
        refused = send(administrator(house), NEW, **typed)
    assert refused.status_code == 422 and why in errors(refused)["document_url"], errors(refused)
    assert house.read(mcp_servers.find, house.org.id, "pets") is None


@requirement("openapi:hostile-documents")
def test_where_a_document_says_that_its_api_stands_nobody_is_asked_and_nobody_is_told(house: House):
    elsewhere, api, robin = Api(), Api(), administrator(house)
    with elsewhere.running() as other, api.running() as url:
        api.document |= {"servers": [{"url": other}], "externalDocs": {"url": other}}
        api.document["paths"]["/pets"] |= {"servers": [{"url": other}]}
        api.document["paths"]["/pets"]["get"] |= {"servers": [{"url": other}]}
        typed = {"source": url, "label": "Pets", "allows_private": "on", "document_url": f"{url}/openapi.json"}
        assert send(robin, NEW, **typed).status_code == 303
        assert (
            send(robin, "/setup/mcp-servers/pets/item?kind=tool&name=listPets", on="on", act="save").status_code == 303
        )
        send(robin, "/setup/mcp-servers", name="pets", act="activate")
        assert json.loads(said(call(client(house), "listPets"))) == {"said": "GET"}
        assert [each["target"] for each in api.asked] == ["/v1/pets"] and elsewhere.asked == []
        shown = client(house).modern("tools/list").text
        assert other not in shown and url not in shown


@requirement("openapi:command-line")
def test_a_document_in_a_file_is_read_and_read_again(house: House, tmp_path: Path):
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(DOCUMENT))
    words = ("create", "pets", "--kind", "openapi", "--source", "https://api.example/v1", "--document", str(file))
    assert tell(house, *words)["new"] == ["listPets", "createPet", "getPet", "delete_pets_petId"]
    file.write_text(json.dumps(DOCUMENT).replace('"listPets"', '"allPets"'))
    found = tell(house, "refresh", "pets", "--document", str(file))
    assert (found["new"], found["gone"]) == (["allPets"], ["listPets"])
    with pytest.raises(Refused, match="its document was pasted"):
        tell(house, "refresh", "pets")


@requirement("openapi:command-line")
@pytest.mark.parametrize(
    ("more", "why"),
    [
        ((), "needs its OpenAPI document"),
        (("--document", "/no/such/file"), "/no/such/file"),
        (("--document", "https://127.0.0.1/a"), "no public address"),
        (("--document", "http://a.example/a"), "must be https"),
        (("--kind", "upstream", "--document", "https://a.example"), "only a server of the kind openapi"),
    ],
)
def test_the_command_line_says_why_a_document_cannot_be_used(house: House, more: tuple[str, ...], why: str):
    with pytest.raises((Refused, Invalid)) as refused:
        tell(house, "create", "pets", "--kind", "openapi", "--source", "https://api.example", *more)
    assert why in str(refused.value)
