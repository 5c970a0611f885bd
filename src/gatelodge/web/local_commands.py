"""Whether a local command may be an MCP server here: in a development org, and of programs that its operator named."""

from gatelodge.config import Config
from gatelodge.core.errors import Refused
from gatelodge.core.server_kinds import STDIO, command_line
from gatelodge.words import _


def check(config: Config, kind: str, source: str) -> None:
    """Raises ``Refused`` for a server of a command that must not run here. What is no command line is told elsewhere."""
    if kind != STDIO:
        return
    if not config.is_development:
        raise Refused(_("a local command is for development orgs alone: start gatelodge dev"), "kind")
    words = command_line(source)
    if words and words[0] not in config.allow_command:
        named = ", ".join(config.allow_command) or "none"
        raise Refused(
            _(
                "{value!r:.100} is no program that the operator of this org allows (allowed: {named});"
                " start gatelodge dev with --allow-command {value:.100}"
            ).format(value=words[0], named=named),
            "source",
        )


def problem(config: Config, source: str) -> str:
    """The sentence against running this command line here, "" for none."""
    try:
        check(config, STDIO, source)
    except Refused as refused:
        return refused.message
    return ""
