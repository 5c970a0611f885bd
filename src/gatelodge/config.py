"""Every option once: its name, default and help. Flags win over the environment, that over the file, that over the
defaults; a name that nobody knows refuses to start.
"""

import difflib
import ipaddress
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec

PREFIX = "GATELODGE_"
LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")
DURATION = re.compile(r"(\d{1,6})(s|m|h)?")
UNITS = {None: 1, "s": 1, "m": 60, "h": 3600}
DEFAULT_PORT = 8765
PORTS = range(1, 65536)
DEFAULT_PORTS = {"http": 80, "https": 443}
LONGEST_WINDOW = 120
PUBLIC_URL = re.compile(r"https?://(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?(?:/[A-Za-z0-9._~-]+)*")


class ConfigRefused(Exception):
    """An option can't be used: the message names it, its value, what is allowed, and where it came from."""


def option(help: str) -> msgspec.Meta:
    """The help of one option."""
    return msgspec.Meta(description=help)


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """What a node is told before it starts. Read once."""

    public_url: Annotated[
        str, option("The URL under which people and clients reach the first org: its issuer. It may have a path.")
    ] = ""
    bind: Annotated[tuple[str, ...], option("Addresses to listen on, as HOST:PORT.")] = ()
    port: Annotated[int, option("The port of `gatelodge dev` on 127.0.0.1 and [::1].")] = DEFAULT_PORT
    data: Annotated[str, option("The folder of the database, the master key and the lock.")] = ".gatelodge"
    database: Annotated[
        str, option("A SQLite file or a postgresql:// URL. Default: gatelodge.db in the data folder.")
    ] = ""
    master_key_file: Annotated[
        str, option("Where the master key is kept. Required with PostgreSQL; default: master.key in the data folder.")
    ] = ""
    refresh_grace: Annotated[
        str,
        option(
            "How long a superseded refresh token still leads to the newest one, 0 to 120 s. Default: the org's, 30s."
        ),
    ] = ""
    propagation_delay: Annotated[
        str, option("Imitate the original: changes of an app go live after this long, for example 30s.")
    ] = "0s"
    trusted_proxy: Annotated[
        tuple[str, ...],
        option(
            "Networks whose X-Forwarded-For is believed, as CIDR. Default none: the client's address is the peer's."
        ),
    ] = ()
    rate_limit: Annotated[
        int,
        option(
            "Requests per minute that one app may send to the OAuth endpoints from one address; ten times as many for"
            " all apps of that address together. More get 429 and Retry-After. 0: no limit."
        ),
    ] = 6000
    allow_command: Annotated[
        tuple[str, ...],
        option(
            "Programs that an MCP server of the kind stdio may run, as its command line names them, such as uvx."
            " In `gatelodge dev` alone. Default none."
        ),
    ] = ()
    node_name: Annotated[str, option("How this node is called in Setup. Default: the machine's name.")] = ""
    is_development: bool = False

    @property
    def refresh_window(self) -> int | None:
        """Seconds of the refresh window for every org, or None for each org's own."""
        return seconds(self.refresh_grace, "--refresh-grace") if self.refresh_grace else None

    @property
    def delay(self) -> int:
        """Seconds from saving an app to its going live."""
        return seconds(self.propagation_delay, "--propagation-delay")

    @property
    def database_folder(self) -> Path:
        """The folder of a SQLite file: the lock that says whose it is, and the way in for commands, stand beside it."""
        return Path(self.database_name).parent

    @property
    def database_name(self) -> str:
        """The database as ``store.open_store`` takes it."""
        return self.database or str(Path(self.data) / "gatelodge.db")

    @property
    def master_key_path(self) -> Path:
        """The file of the master key."""
        return Path(self.master_key_file) if self.master_key_file else Path(self.data) / "master.key"


class Option(msgspec.Struct, frozen=True):
    """One option as the documents and the command line show it."""

    name: str
    help: str
    default: object
    is_list: bool


def options() -> tuple[Option, ...]:
    """Every option that flags, environment and file may set."""
    described = msgspec.inspect.type_info(Config)
    assert isinstance(described, msgspec.inspect.StructType)
    return tuple(
        Option(
            field.name,
            (field.type.extra_json_schema or {})["description"],
            field.default,
            isinstance(field.type.type, msgspec.inspect.VarTupleType),
        )
        for field in described.fields
        if isinstance(field.type, msgspec.inspect.Metadata)
    )


def seconds(text: str, flag: str) -> int:
    """A duration such as 30, 30s, 10m or 12h in seconds. Raises ``ConfigRefused``, which names the option."""
    found = DURATION.fullmatch(text.strip())
    if found is None:
        raise ConfigRefused(f"{flag} {text!r} is not a duration; write 30s, 10m or 12h")
    return int(found[1]) * UNITS[found[2]]


def load(flags: Mapping[str, Any], environ: Mapping[str, str], file: Path | None = None) -> Config:
    """The configuration of this start. Raises ``ConfigRefused``."""
    values: dict[str, Any] = {**_from_file(file), **_from_environment(environ)}
    values |= {name: value for name, value in flags.items() if value is not None}
    if values.get("is_development"):
        values = _on_this_machine(values)
    try:
        return msgspec.convert(values, Config, strict=False)
    except msgspec.ValidationError as error:
        named = re.search(r"`\$\.(\w+)", str(error))
        if named is None:
            raise ConfigRefused(str(error)) from None
        flag = f"--{named[1].replace('_', '-')}"
        raise ConfigRefused(f"{flag} {values[named[1]]!r}: {str(error).partition(' - at ')[0]}") from None


def _on_this_machine(values: dict[str, Any]) -> dict[str, Any]:
    """A development org's port and public URL, each made from the other where one is not given."""
    given = re.fullmatch(r"http://[^/]+?:(\d{1,5})(?:/.*)?", str(values.get("public_url", "")))
    if "port" not in values and given:
        return {**values, "port": int(given[1])}
    return {"public_url": f"http://localhost:{values.get('port', DEFAULT_PORT)}", **values}


def _from_file(file: Path | None) -> dict[str, Any]:
    path = file or Path("gatelodge.toml")
    if file is None and not path.exists():
        return {}
    try:
        found = tomllib.loads(path.read_text("utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ConfigRefused(f"{path} can't be read: {error}") from None
    for name in found:
        _check_known(name, f"{path}")
    return found


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    lists = {option.name for option in options() if option.is_list}
    found: dict[str, Any] = {}
    for variable, value in environ.items():
        if variable.startswith(PREFIX):
            name = variable.removeprefix(PREFIX).lower()
            _check_known(name, f"the environment variable {variable}")
            found[name] = tuple(part.strip() for part in value.split(",") if part.strip()) if name in lists else value
    return found


def _check_known(name: str, where: str) -> None:
    known = [option.name for option in options()]
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        hint = f"; did you mean {near[0]}?" if near else f"; the options are {', '.join(known)}"
        raise ConfigRefused(f"{where}: there is no option {name}{hint}")


def check(config: Config) -> None:
    """Refuse what must not start. Raises ``ConfigRefused``."""
    if config.port not in PORTS:
        raise ConfigRefused(f"--port {config.port} must be 1 to 65535")
    if config.rate_limit < 0:
        raise ConfigRefused(f"--rate-limit {config.rate_limit} must be 0 (no limit) or more")
    _check_public_url(config)
    if config.allow_command and not config.is_development:
        raise ConfigRefused("--allow-command is for gatelodge dev alone: a server in production runs no local commands")
    if config.refresh_window is not None and config.refresh_window > LONGEST_WINDOW:
        raise ConfigRefused(f"--refresh-grace {config.refresh_grace!r} must be 0 to 120 seconds (0: strict rotation)")
    _ = config.delay, addresses(config)
    for network in config.trusted_proxy:
        try:
            ipaddress.ip_network(network)
        except ValueError as error:
            raise ConfigRefused(f"--trusted-proxy {network!r}: {error}; write for example 10.0.0.0/8") from None
    if config.database_name.startswith(("postgresql://", "postgres://")) and not config.master_key_file:
        raise ConfigRefused(
            "with PostgreSQL every node needs the same --master-key-file (or GATELODGE_MASTER_KEY_FILE)"
        )


def _check_public_url(config: Config) -> None:
    shown = f"--public-url {config.public_url!r}"
    try:
        url = urlsplit(config.public_url)
        port = url.port
    except ValueError as error:
        raise ConfigRefused(f"{shown} is not a URL: {error}") from None
    if not PUBLIC_URL.fullmatch(config.public_url):
        raise ConfigRefused(
            f"{shown} must be a URL such as https://gate.example.com or https://example.com/gate: in lower case up to"
            " its path and without a slash at its end, since issuers are compared byte for byte"
        )
    if port == DEFAULT_PORTS[url.scheme]:
        raise ConfigRefused(f"{shown}: leave out :{port}, which browsers leave out too")
    if url.scheme == "http" and url.hostname not in LOOPBACK_HOSTS:
        raise ConfigRefused(f"{shown} must be https; http is for localhost alone")
    if config.is_development and url.hostname not in LOOPBACK_HOSTS:
        raise ConfigRefused(
            f"gatelodge dev is for this machine alone, and {url.hostname!r} is elsewhere; use gatelodge serve"
        )


def addresses(config: Config) -> tuple[tuple[str, int], ...]:
    """Where to listen. A development org: 127.0.0.1 and [::1], and nowhere else. Raises ``ConfigRefused``."""
    if config.is_development:
        return (("127.0.0.1", config.port), ("::1", config.port))
    found = []
    for text in config.bind or (f"127.0.0.1:{DEFAULT_PORT}",):
        host, separator, port = text.rpartition(":")
        if not separator or not host or not (port.isascii() and port.isdigit()) or int(port) not in PORTS:
            raise ConfigRefused(f"--bind {text!r} must be HOST:PORT, for example 0.0.0.0:8765 or [::]:8765")
        found.append((host.strip("[]"), int(port)))
    return tuple(found)
