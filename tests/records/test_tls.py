"""The line to a database: encrypted, and to the server whose certificate was checked, unless the URL says otherwise."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gatelodge.core.errors import Refused
from gatelodge.gateway.records.sources import parse
from tests.gateway.speaking import Client, token
from tests.house import House
from tests.records import certified, foreign
from tests.records.certified import ENCRYPTED, Certified
from tests.requirements import requirement
from tests.servers.test_commands import tell

QUERY = "SELECT name FROM things"


@pytest.fixture(scope="module", params=["postgresql", "mysql"])
def server(request: pytest.FixtureRequest) -> Iterator[Certified]:
    """A server of each kind with a certificate for 127.0.0.1."""
    with certified.running(request.param) as made:
        yield made


def create(house: House, url: str) -> None:
    tell(
        house, "create", "crm", "--kind", "records", "--variant", "sobject-reads", "--source", url,
        "--allow-private-addresses",
    )  # fmt: skip
    tell(house, "activate", "crm")
    house.catch_up()


def asked(house: House) -> list[str]:
    client = Client(house, token(house, aud=f"{house.org.issuer}/mcp/crm"), "crm")
    return [each["name"] for each in client.query(QUERY)["records"]]


def folder(house: House) -> Path:
    made = Path(house.config.data) / "records"
    made.mkdir(exist_ok=True)
    return made


@requirement("records:tls")
def test_a_certificate_is_checked_against_a_file_of_the_operators_and_the_line_is_encrypted(
    house: House, server: Certified
):
    (folder(house) / "ca.pem").write_bytes(server.authority)
    create(house, f"{server.url}?sslrootcert=ca.pem")
    assert asked(house) == ["One"]
    if server.kind == "postgresql":
        assert server.sql(ENCRYPTED["postgresql"]).strip() == "t"
    shown = tell(house, "display", "crm")["source"]
    assert shown.endswith("?sslmode=verify-full&sslrootcert=ca.pem") and "s3cret" not in shown
    (folder(house) / "ca.pem").unlink()
    gone = Client(house, token(house, aud=f"{house.org.issuer}/mcp/crm"), "crm")
    tell(house, "set", "crm", "label=Another")  # it is started anew
    house.catch_up()
    answer = gone.modern("tools/call", {"name": "soqlQuery", "arguments": {"q": QUERY}})
    assert answer.status_code == 503 and "no file of PEM certificates" in answer.text


@requirement("records:tls")
def test_a_certificate_is_checked_against_the_machines_own_authorities(
    house: House, server: Certified, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with pytest.raises(Refused, match=r"(?i)certificate"):
        create(house, f"{server.url}?sslmode=verify-full")
    (tmp_path / "machine.pem").write_bytes(server.authority)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "machine.pem"))
    create(house, f"{server.url}?sslmode=verify-full")
    assert asked(house) == ["One"]


@requirement("records:tls")
def test_a_certificate_of_another_authority_is_refused_before_anything_is_kept(house: House, server: Certified):
    (folder(house) / "other.pem").write_bytes(certified.authority()[0])
    with pytest.raises(Refused, match=r"(?i)certificate") as refused:
        create(house, f"{server.url}?sslrootcert=other.pem")
    assert refused.value.field == "source" and "s3cret" not in str(refused.value)
    with pytest.raises(Refused):
        tell(house, "display", "crm")
    create(house, f"{server.url}?sslmode=require")
    assert asked(house) == ["One"], "whoever says so gets a line that is encrypted and no more"


@requirement("records:tls")
@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
def test_a_certificate_for_another_name_is_refused(house: House, kind: str):
    with certified.running(kind, host="db.example") as other:
        (folder(house) / "ca.pem").write_bytes(other.authority)
        with pytest.raises(Refused, match=r"(?i)certificate"):
            create(house, f"{other.url}?sslrootcert=ca.pem")


@requirement("records:tls")
@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
@pytest.mark.parametrize("mode", ["require", "verify-full"])
def test_a_server_without_tls_gets_no_password_where_the_line_is_to_be_encrypted(
    house: House, kind: str, mode: str, request: pytest.FixtureRequest
):
    plain = foreign.made(kind, folder(house), request)
    with pytest.raises(Refused, match=r"(?i)ssl"):
        create(house, f"{plain.url}?sslmode={mode}")


@requirement("records:tls")
@pytest.mark.parametrize(
    "option", ["sslrootcert=../ca.pem", "sslrootcert=/etc/ssl/certs/ca-certificates.crt", "sslrootcert=none.pem",
               "sslrootcert=text.pem", "sslrootcert=%00", "sslmode=require&sslrootcert=ca.pem", "sslcert=ca.pem"],
)  # fmt: skip
def test_a_file_of_certificates_is_one_of_the_operators_folder(tmp_path: Path, option: str):
    inside = tmp_path / "records"
    inside.mkdir()
    for at in (tmp_path / "ca.pem", inside / "ca.pem"):
        at.write_bytes(certified.authority()[0])
    (inside / "text.pem").write_text("no certificate")
    with pytest.raises(Refused) as refused:
        parse(f"postgresql://u:s3cret@db.example/x?{option}", inside)
    assert refused.value.field == "source" and "s3cret" not in refused.value.message
    assert parse("postgresql://db.example/x?sslrootcert=ca.pem", inside).authority_path == str(inside / "ca.pem")
