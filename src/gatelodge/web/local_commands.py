"""Whether a local command may be an MCP server here: in a development org, and of programs that its operator named."""

from gatelodge.config import Config
from gatelodge.core.errors import Refused
from gatelodge.core.server_kinds import STDIO, command_line


def problem(config: Config, source: str) -> str:
    """The sentence against running this command line here, "" for none. What is no command line is told elsewhere."""
    words = command_line(source)
    if not config.is_development:
        return "a local command is for development orgs alone: start gatelodge dev"
    if not words or words[0] in config.allow_command:
        return ""
    named = ", ".join(config.allow_command) or "none"
    return (
        f"{words[0]!r:.100} is no program that the operator of this org allows (allowed: {named}); start gatelodge dev"
        f" with --allow-command {words[0]:.100}"
    )


def check(config: Config, kind: str, source: str) -> None:
    """Raises ``Refused`` for a server of a command that must not be run here."""
    if kind == STDIO and (why := problem(config, source)):
        raise Refused(why, "source" if config.is_development else "kind")
