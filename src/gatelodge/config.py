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
    port: Annotated[int, option("The port of `gatelodge dev` on 127.0.0.1 and [::1].")] = 8765
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
    node_name: Annotated[str, option("How this node is called in Setup. Default: the machine's name.")] = ""
    is_development: bool = False

    @property
    def refresh_window(self) -> int | None:
        """Seconds of the refresh window for every org, or None for each org's own."""
        return seconds(self.refresh_grace) if self.refresh_grace else None

    @property
    def delay(self) -> int:
        """Seconds from saving an app to its going live."""
        return seconds(self.propagation_delay)

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


def seconds(text: str) -> int:
    """A duration such as 30, 30s, 10m or 12h in seconds. Raises ``ConfigRefused``."""
    found = DURATION.fullmatch(text.strip())
    if found is None:
        raise ConfigRefused(f"{text!r} is not a duration; write 30s, 10m or 12h")
    return int(found[1]) * UNITS[found[2]]


def load(flags: Mapping[str, Any], environ: Mapping[str, str], file: Path | None = None) -> Config:
    """The configuration of this start. Raises ``ConfigRefused``."""
    values: dict[str, Any] = {**_from_file(file), **_from_environment(environ)}
    values |= {name: value for name, value in flags.items() if value is not None}
    try:
        config = msgspec.convert(values, Config, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigRefused(str(error)) from None
    return config


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
            found[name] = tuple(value.split(",")) if name in lists else value
    return found


def _check_known(name: str, where: str) -> None:
    known = [option.name for option in options()]
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        hint = f"; did you mean {near[0]}?" if near else f"; the options are {', '.join(known)}"
        raise ConfigRefused(f"{where}: there is no option {name}{hint}")


def check(config: Config) -> None:
    """Refuse what must not start. Raises ``ConfigRefused``."""
    url = urlsplit(config.public_url)
    if url.scheme not in ("http", "https") or not url.hostname or url.query or url.fragment or url.username:
        raise ConfigRefused(f"--public-url {config.public_url!r} must be a URL such as https://gate.example.com")
    if config.public_url.endswith("/") or not config.public_url.isascii() or url.netloc != url.netloc.lower():
        raise ConfigRefused(
            f"--public-url {config.public_url!r} must be in lower case and without a slash at its end: issuers are"
            " compared byte for byte"
        )
    if url.scheme == "http" and url.hostname not in LOOPBACK_HOSTS:
        raise ConfigRefused(f"--public-url {config.public_url!r} must be https; http is for localhost alone")
    if config.is_development and url.hostname not in LOOPBACK_HOSTS:
        raise ConfigRefused(
            f"gatelodge dev is for this machine alone, and {url.hostname!r} is elsewhere; use gatelodge serve"
        )
    if config.refresh_window is not None and config.refresh_window > 120:  # noqa: PLR2004 - the rule's limit
        raise ConfigRefused(f"--refresh-grace {config.refresh_grace!r} must be 0 to 120 seconds (0: strict rotation)")
    _ = config.delay
    for network in config.trusted_proxy:
        try:
            ipaddress.ip_network(network)
        except ValueError as error:
            raise ConfigRefused(f"--trusted-proxy {network!r}: {error}; write for example 10.0.0.0/8") from None
    if config.database_name.startswith(("postgresql://", "postgres://")) and not config.master_key_file:
        raise ConfigRefused(
            "with PostgreSQL every node needs the same --master-key-file (or GATELODGE_MASTER_KEY_FILE)"
        )
