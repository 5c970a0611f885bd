"""Where a records server reads: the URL of a database, checked, shown without its password, and opened by its driver."""

import ipaddress
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import msgspec

from gatelodge.core.errors import Refused
from gatelodge.web.outbound import is_allowed
from gatelodge.words import _

SAMPLE = "sample:"
PORTS = {"postgresql": 5432, "mysql": 3306}
TLS = ("verify-full", "require", "disable")
"""The words of ``sslmode``: the certificate is checked, or the line is encrypted and that is all, or it is plain."""
CONNECT_SECONDS = 5


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """One database. ``path`` is a SQLite file, else a server's ``host``; ``makes_sample``: made when it is missing.
    ``authority`` is the name, and ``authority_path`` the place, of the file with the certificates that the server's own is
    checked against; "" for those of the machine.
    """

    dialect: str
    path: str = ""
    makes_sample: bool = False
    host: str = ""
    port: int = 0
    database: str = ""
    username: str = ""
    password: str = ""
    tls: str = "verify-full"
    authority: str = ""
    authority_path: str = ""

    def __repr__(self) -> str:
        return f"Source({self.shown})"

    @property
    def shown(self) -> str:
        """The URL as people see it and as it is kept in clear: without the password."""
        if self.dialect == "sqlite":
            return f"{SAMPLE}{self.path}" if self.makes_sample else f"sqlite:///{self.path}"
        user = f"{quote(self.username, safe='')}@" if self.username else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        checked_by = f"&sslrootcert={quote(self.authority)}" if self.authority else ""
        place = f"{host}:{self.port}/{quote(self.database, safe='')}"
        return f"{self.dialect}://{user}{place}?sslmode={self.tls}{checked_by}"


def parse(url: str, folder: Path) -> Source:
    """The database of a URL. Raises ``Refused`` ("source") for one that can't be used.

    ``folder`` is the only place where a SQLite file or a file of certificates may be: no other is opened, wherever links
    lead.
    """
    if url.startswith(SAMPLE):
        # Wherever the data folder was when it was registered: the sample is in it.
        return Source(dialect="sqlite", path=str(folder.parent.resolve() / "sample.db"), makes_sample=True)
    scheme = url.partition(":")[0]
    if scheme == "sqlite":
        return _file(url, folder)
    if scheme not in PORTS:
        raise Refused(
            _(
                "{scheme!r:.40} is no database that can be read: write sqlite:///FILE, postgresql://USER:PASSWORD@HOST/NAME"
                " or mysql://USER:PASSWORD@HOST/NAME"
            ).format(scheme=scheme),
            "source",
        )
    return _server(url, folder)


def _file(url: str, folder: Path) -> Source:
    name = unquote(url.removeprefix("sqlite:///"))
    if not url.startswith("sqlite:///") or not name or "\0" in name or "?" in url:
        raise Refused(_("a SQLite database is written sqlite:///FILE, without options"), "source")
    return Source(dialect="sqlite", path=str(_inside(folder, name)))


def _inside(folder: Path, name: str) -> Path:
    """A file of the folder. Raises ``Refused``."""
    inside = folder.resolve()
    path = (inside / name).resolve()
    if not path.is_relative_to(inside):
        raise Refused(
            _(
                "{name!r:.120} is outside of the folder for database files, which is records in the data folder:"
                " put the file there and name it from there"
            ).format(name=name),
            "source",
        )
    return path


def _server(url: str, folder: Path) -> Source:
    try:
        parts = urlsplit(url)
        port = parts.port or PORTS[parts.scheme]
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        raise Refused(_("this is not a URL: percent-encode what is special in names and passwords"), "source") from None
    database = unquote(parts.path.removeprefix("/"))
    if not parts.hostname or not database or "\0" in unquote(url) or parts.fragment:
        raise Refused(
            _("write {scheme}://USER:PASSWORD@HOST/NAME, with a host and the database's name").format(
                scheme=parts.scheme
            ),
            "source",
        )
    authority = options.pop("sslrootcert", "")
    default = "disable" if is_this_machine(parts.hostname) and not authority else TLS[0]
    tls = options.pop("sslmode", default)
    if options or tls not in TLS or (authority and tls != TLS[0]):
        raise Refused(
            _(
                "the only options are sslmode, one of {listed}, and with {first} sslrootcert, the name of a file of"
                " certificates"
            ).format(listed=", ".join(TLS), first=TLS[0]),
            "source",
        )
    authority_path = _authority(folder, authority) if authority else ""
    return Source(
        dialect=parts.scheme,
        host=parts.hostname,
        port=port,
        database=database,
        username=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        tls=tls,
        authority=authority,
        authority_path=authority_path,
    )


def _authority(folder: Path, name: str) -> str:
    """Where a file of certificates is that this process can read some from. Raises ``Refused``."""
    path = _inside(folder, name) if "\0" not in name else folder
    try:
        _context = ssl.create_default_context(cafile=path)
    except (OSError, ValueError):
        raise Refused(
            _("{name!r:.120} is no file of PEM certificates in the folder records of the data folder").format(
                name=name
            ),
            "source",
        ) from None
    return str(path)


def is_this_machine(host: str) -> bool:
    """Whether a host is a loopback address or localhost."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class NotReached(Exception):
    """The database can't be reached, and why; no address of a private network is named to users."""


def address_of(source: Source, *, allows_private: bool) -> str:
    """The checked address that the driver connects to: the name is looked up once. Raises ``NotReached``."""
    try:
        found = [str(each[4][0]) for each in socket.getaddrinfo(source.host, source.port, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError):
        raise NotReached(_("the name {host!r:.80} has no address").format(host=source.host)) from None
    for address in found:
        if not is_allowed(ipaddress.ip_address(address.partition("%")[0]), allows_private=allows_private):
            raise NotReached(
                _(
                    "{host} is at {address}, which is no public address; an administrator can allow private"
                    " addresses for this server"
                ).format(host=source.host, address=address)
            )
    return found[0]


def connector(source: Source, *, allows_private: bool, seconds: float, is_writing: bool) -> Callable[[], Any]:
    """What opens one connection of the driver, with its limits set before anything else can be asked."""
    if source.dialect == "postgresql":
        return lambda: _postgresql(source, allows_private, seconds, is_writing=is_writing)
    return lambda: _mysql(source, allows_private, seconds, is_writing=is_writing)


def _postgresql(source: Source, allows_private: bool, seconds: float, *, is_writing: bool) -> Any:  # noqa: FBT001 - the connector's own
    import psycopg  # noqa: PLC0415 - on use alone

    milliseconds = max(1, int(seconds * 1000))
    settings = {
        "statement_timeout": milliseconds,
        "lock_timeout": milliseconds,
        "idle_in_transaction_session_timeout": milliseconds * 4,
        "default_transaction_read_only": "off" if is_writing else "on",
        # A reader sees one moment in all statements of its call; a writer what is true when it holds its row.
        "default_transaction_isolation": "read\\ committed" if is_writing else "repeatable\\ read",
        "TimeZone": "UTC",
        "standard_conforming_strings": "on",
    }
    try:
        return psycopg.connect(
            host=source.host,
            hostaddr=address_of(source, allows_private=allows_private),
            port=source.port,
            dbname=source.database,
            user=source.username or None,
            password=source.password or None,
            sslmode=source.tls,
            connect_timeout=CONNECT_SECONDS,
            application_name="gatelodge",
            options=" ".join(f"-c {name}={value}" for name, value in settings.items()),
            sslrootcert=_authorities(source) if source.tls == TLS[0] else None,
        )
    except psycopg.OperationalError as error:
        raise NotReached(_first_line(error, source)) from None


def _authorities(source: Source) -> str:
    """The file of certificates that libpq checks a server's against. The one that comes with psycopg looks for the machine's
    where no machine has them, so that it is told where Python's are.
    """
    return source.authority_path or ssl.get_default_verify_paths().cafile or "system"


def _mysql(source: Source, allows_private: bool, seconds: float, *, is_writing: bool) -> Any:  # noqa: FBT001 - the connector's own
    import pymysql  # noqa: PLC0415 - on use alone

    try:
        wire = socket.create_connection(
            (address_of(source, allows_private=allows_private), source.port), timeout=CONNECT_SECONDS
        )
        connection: Any = pymysql.connect(
            host=source.host,
            port=source.port,
            user=source.username,
            password=source.password,
            database=source.database,
            charset="utf8mb4",
            ssl=_tls(source),
            ssl_disabled=source.tls == "disable",
            # Longer than the server's own limits, which end a statement and keep the connection.
            read_timeout=seconds + CONNECT_SECONDS,
            write_timeout=seconds + CONNECT_SECONDS,
            local_infile=False,
            defer_connect=True,
        )
        connection.connect(wire)
        _limit_mysql(connection, seconds, is_writing=is_writing)
    except (pymysql.Error, OSError) as error:
        raise NotReached(_first_line(error, source)) from None
    return connection


def _limit_mysql(connection: Any, seconds: float, *, is_writing: bool) -> None:
    is_mariadb = "mariadb" in str(connection.get_server_info()).lower()
    longest = f"max_statement_time = {seconds:f}" if is_mariadb else f"max_execution_time = {int(seconds * 1000)}"
    with connection.cursor() as cursor:
        cursor.execute(
            f"SET SESSION {longest}, SESSION time_zone = '+00:00',"
            f" SESSION innodb_lock_wait_timeout = {max(1, int(seconds))},"
            " SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO'"
        )
        # A reader sees one moment in all statements of its call; a writer what is true when it holds its row.
        how = "READ COMMITTED, READ WRITE" if is_writing else "REPEATABLE READ, READ ONLY"
        cursor.execute(f"SET SESSION TRANSACTION ISOLATION LEVEL {how}")


def _tls(source: Source) -> ssl.SSLContext | None:
    if source.tls == "disable":
        return None
    context = ssl.create_default_context(cafile=source.authority_path or None)
    if source.tls == "require":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _first_line(error: Exception, source: Source) -> str:
    """What the driver says, without the password, should it be in there."""
    said = str(error).strip().splitlines() or [type(error).__name__]
    return said[0].replace(source.password, "***")[:300] if source.password else said[0][:300]
