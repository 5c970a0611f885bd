"""Database servers that speak TLS, with certificates made for the test."""

import contextlib
import datetime as dt
import ipaddress
import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests import mariadb, postgres

NOW = dt.datetime.now(dt.UTC)
PEM = serialization.Encoding.PEM
ENCRYPTED = {
    "postgresql": "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'gatelodge'",
    "mysql": "SHOW SESSION STATUS LIKE 'Ssl_cipher'",
}


class Certified(msgspec.Struct, frozen=True, kw_only=True):
    """A server whose certificate ``authority`` (PEM) has signed; its URL without options."""

    kind: str
    url: str
    authority: bytes
    server: Any

    def sql(self, text: str) -> Any:
        """A statement without us."""
        if self.kind == "postgresql":
            return self.server.sql(self.url, text)
        return self.server.sql(text, self.url.rpartition("/")[2])


def _certificate(name: str, key: Any, issuer: Any, issuer_key: Any, *, is_authority: bool, host: str = "") -> Any:
    called = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(called)
        .issuer_name(issuer or called)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - dt.timedelta(days=1))
        .not_valid_after(NOW + dt.timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
    )
    if host:
        with contextlib.suppress(ValueError):
            made = made.add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))]), critical=False
            )
            return made.sign(issuer_key, hashes.SHA256())
        made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
    return made.sign(issuer_key, hashes.SHA256())


def authority() -> tuple[bytes, Any, Any]:
    """A certificate authority: its certificate as PEM, as an object, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    made = _certificate(f"Authority {x509.random_serial_number()}", key, None, key, is_authority=True)
    return made.public_bytes(PEM), made, key


@contextlib.contextmanager
def running(kind: str, host: str = "127.0.0.1") -> Iterator[Certified]:
    """A server at 127.0.0.1 with a certificate for this host."""
    signed_by, issuer, issuer_key = authority()
    key = ec.generate_private_key(ec.SECP256R1())
    made = _certificate("A Database", key, issuer.subject, issuer_key, is_authority=False, host=host)
    folder = Path(tempfile.mkdtemp(prefix="gatelodge-tls-"))
    folder.chmod(0o755)
    plain = serialization.NoEncryption()
    (folder / "server.pem").write_bytes(made.public_bytes(PEM))
    (folder / "server.key").write_bytes(key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, plain))
    (folder / "server.key").chmod(0o600)
    user = {"postgresql": "postgres", "mysql": "mysql"}[kind]
    if os.getuid() == 0:
        shutil.chown(folder / "server.key", _one_of(user, "nobody"))
    try:
        with _started(kind, folder) as (server, url):
            yield Certified(kind=kind, url=url, authority=signed_by, server=server)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _started(kind: str, folder: Path) -> Iterator[tuple[Any, str]]:
    certificate, key = folder / "server.pem", folder / "server.key"
    if kind == "mysql":
        with mariadb.running(f"--ssl-cert={certificate}", f"--ssl-key={key}") as server:
            name = server.fresh_database()
            server.sql("CREATE TABLE things (id BIGINT PRIMARY KEY, name VARCHAR(20))", name)
            server.sql("INSERT INTO things VALUES (1, 'One')", name)
            server.sql(f"ALTER USER '{mariadb.USER}'@'127.0.0.1' REQUIRE SSL")
            yield server, server.url(name)
        return
    settings = ("fsync=off", "ssl=on", f"ssl_cert_file={certificate}", f"ssl_key_file={key}")
    with postgres.running(folder / "cluster", *settings) as cluster:
        url = cluster.fresh_database()
        cluster.sql(url, "CREATE TABLE things (id BIGINT PRIMARY KEY, name VARCHAR(20))")
        cluster.sql(url, "INSERT INTO things VALUES (1, 'One')")
        yield cluster, url


def _one_of(*users: str) -> str:
    for each in users:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(each).pw_name
    raise AssertionError(users)
