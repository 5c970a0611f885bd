"""Protected resource metadata: where a client that knows only a server's URL learns who issues tokens for it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gatelodge.cli import seeding
from gatelodge.core import mcp_servers, orgs, server_kinds
from gatelodge.core.ids import MCP_SERVER
from gatelodge.core.secrets import new_id
from tests.gateway.speaking import SERVER, Client
from tests.house import House
from tests.oauth.scenes import activate
from tests.requirements import requirement

WELL_KNOWN = "/.well-known/oauth-protected-resource"
BASE = "/base/of/it"


def second_org(house: House) -> orgs.Org:
    """An org at /o/acme-two with a records server of its own."""
    made = house.run(seeding.make_org(house.site, name="acme-two", label="Acme Two", kind=orgs.SANDBOX))
    server = mcp_servers.McpServer(
        id=new_id(MCP_SERVER), org_id=made.id, name=SERVER, label="Reads", kind=server_kinds.RECORDS, variant=SERVER,
        source="sample:nowhere.db", is_active=False,
    )  # fmt: skip
    house.write(mcp_servers.register, server, actor="a test", now_ms=house.site.clock.now_ms())
    activate(house, SERVER, is_active=True, org=made)
    house.catch_up()
    found = house.site.live.org_at("acme-two")
    assert found is not None
    return found


@pytest.fixture(scope="module", params=["", BASE], ids=["issuer without a path", "issuer with a path"])
def estate(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[House, str]]:
    """A house with two orgs, at a URL without and with a path."""
    path: str = request.param
    with House(tmp_path_factory.mktemp("estate") / "data", public_url=f"http://localhost:8765{path}") as house:
        second_org(house)
        yield house, path


@pytest.mark.parametrize("under", ["", "/o/acme-two"])
@requirement("gateway:metadata-by-path-insertion")
def test_the_metadata_of_a_server_is_at_its_path_behind_the_well_known_part(estate: tuple[House, str], under: str):
    house, path = estate
    answer = house.client().get(f"http://localhost:8765{WELL_KNOWN}{path}{under}/mcp/{SERVER}")
    assert answer.status_code == 200 and answer.headers["content-type"] == "application/json"
    said = answer.json()
    assert said["resource"] == f"http://localhost:8765{path}{under}/mcp/{SERVER}"
    assert said["authorization_servers"] == [f"http://localhost:8765{path}{under}"]
    assert said["bearer_methods_supported"] == ["header"]
    assert said["scopes_supported"] == ["mcp_api"], "no offline_access, no refresh_token: they open no server"


@pytest.mark.parametrize("under", ["", "/o/acme-two"])
@requirement("gateway:challenge-leads-to-metadata")
def test_the_challenge_leads_to_the_metadata_and_that_to_the_authorization_server(
    estate: tuple[House, str], under: str
):
    house, path = estate
    front, url = house.client(), f"http://localhost:8765{path}{under}/mcp/{SERVER}"
    challenge = front.get(url).headers["www-authenticate"]
    resource = front.get(challenge.split('resource_metadata="')[1].split('"')[0]).json()
    assert resource["resource"] == url
    issuer = resource["authorization_servers"][0]
    host, rest = issuer[: len("http://localhost:8765")], issuer[len("http://localhost:8765") :]
    assert front.get(f"{host}/.well-known/oauth-authorization-server{rest}").json()["issuer"] == issuer


@pytest.mark.parametrize("under", ["", "/o/acme-two"])
@requirement("gateway:root-metadata-is-the-issuers")
def test_the_root_document_describes_the_issuer(estate: tuple[House, str], under: str):
    house, path = estate
    said = house.client().get(f"http://localhost:8765{WELL_KNOWN}{path}{under}").json()
    assert said["resource"] == said["authorization_servers"][0] == f"http://localhost:8765{path}{under}"
    assert [] not in said.values(), "RFC 9728 §3.2: what has no values is left out"


@pytest.mark.parametrize("name", ["nothing", "sobject-reads2", "SOBJECT-READS", "sobject-reads/x", "%2e%2e", "'\""])
@requirement("gateway:no-metadata-for-unknown-servers")
def test_a_server_that_there_is_not_has_no_metadata_and_no_challenge(org: House, name: str):
    assert org.client().get(f"{org.issuer}{WELL_KNOWN}/mcp/{name}").status_code == 404
    answer = org.client().get(f"{org.issuer}/mcp/{name}")
    assert answer.status_code == 404 and "www-authenticate" not in answer.headers


@requirement("gateway:no-metadata-for-unknown-servers")
def test_a_server_of_another_org_has_no_metadata_here(estate: tuple[House, str]):
    house, path = estate
    activate(house, SERVER, is_active=False)
    house.catch_up()
    try:
        front = house.client()
        assert front.get(f"http://localhost:8765{WELL_KNOWN}{path}/mcp/{SERVER}").status_code == 404
        assert front.get(f"http://localhost:8765{WELL_KNOWN}{path}/o/acme-two/mcp/{SERVER}").status_code == 200
        assert front.get(f"http://localhost:8765{WELL_KNOWN}{path}/o/nobody/mcp/{SERVER}").status_code == 404
    finally:
        activate(house, SERVER, is_active=True)
        house.catch_up()


@requirement("gateway:no-metadata-for-unknown-servers")
def test_a_deactivated_server_has_no_metadata(house_on: House):
    url = f"{house_on.issuer}{WELL_KNOWN}/mcp/{SERVER}"
    assert house_on.client().get(url).status_code == 200
    activate(house_on, SERVER, is_active=False)
    house_on.catch_up()
    assert house_on.client().get(url).status_code == 404


@pytest.mark.parametrize("path", ["", f"/mcp/{SERVER}"])
@requirement("gateway:metadata-for-any-origin")
def test_any_web_page_may_read_metadata_and_sends_no_credentials(org: House, path: str):
    url, origin = f"{org.issuer}{WELL_KNOWN}{path}", {"Origin": "https://client.example"}
    answer = org.client().get(url, headers=origin)
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in answer.headers
    asked = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "mcp-protocol-version"}
    preflight = org.client().request("OPTIONS", url, headers=origin | asked)
    assert preflight.status_code == 204 and preflight.headers["access-control-allow-origin"] == "*"
    assert "mcp-protocol-version" in preflight.headers["access-control-allow-headers"].lower()


@requirement("gateway:metadata-is-configuration")
def test_no_header_changes_the_metadata(org: House):
    url = f"{org.issuer}{WELL_KNOWN}/mcp/{SERVER}"
    plain = org.client().get(url).content
    forged = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https", "Forwarded": "host=evil.example"}
    assert org.client().get(url, headers=forged).content == plain
    assert org.client().get(url, headers={"Host": "evil.example"}).status_code == 421


@requirement("gateway:host-is-checked")
def test_a_call_under_another_host_is_refused_before_its_token_is_looked_at(org: House, tmp_path: Path):
    answer = Client(org, "no-token-at-all").send({}, {"Host": "rebound.example:8765"})
    assert answer.status_code == 421 and "www-authenticate" not in answer.headers
