"""An app as the command that makes it again: what the form shows, for those who would rather type."""

import re
import shlex

from gatelodge.core.apps import presets
from gatelodge.core.apps.settings import FIELDS, Settings, api_name_from
from gatelodge.core.scopes import MCP_API, REFRESH_TOKEN

DEFAULT_SCOPES = (MCP_API, REFRESH_TOKEN)
"""What an app gets whose command names no scope."""
END = "END"
PLAIN = re.compile(r"[A-Za-z0-9_./:@%+=,-]+")


def words(settings: Settings, *, preset: str, org: str) -> list[str]:
    """The words of ``gatelodge app create`` for an app with these Settings; a long text is read from standard input."""
    found = ["gatelodge", "app", "create", *([f"--org={org}"] if org else [])]
    filled = presets.BY_NAME[preset].callback_urls
    if preset != "other":
        found.append(f"--preset={preset}")
    if is_apart := settings.callback_urls[: len(filled)] != filled:
        found.append("--no-preset-callbacks")
    for field in FIELDS:
        value = getattr(settings, field.name)
        match field.name:
            case "api_name" if value == api_name_from(settings.label):
                continue
            case "callback_urls":
                found += [f"{field.flag}={url}" for url in (value if is_apart else value[len(filled) :])]
            case "scopes" if value != DEFAULT_SCOPES:
                found += [f"{field.flag}={scope}" for scope in value or ("",)]
            case "scopes":
                continue
            case _ if field.kind == "list":
                found += [f"{field.flag}={each}" for each in value]
            case _ if value == field.default:
                continue
            case _ if field.kind == "flag":
                found.append(field.flag if value else f"--no-{field.flag[2:]}")
            case _:
                found.append(f"{field.flag}={'/dev/stdin' if field.kind == 'long' else value}")
    return found


def as_command(settings: Settings, *, preset: str, org: str = "") -> str:
    """The command as it is typed into a shell, a flag a line."""
    first, *flags = _grouped([_quoted(word) for word in words(settings, preset=preset, org=org)])
    command = " \\\n  ".join([first, *flags])
    return f"{command} <<'{END}'\n{settings.public_keys}\n{END}" if settings.public_keys else command


def _grouped(quoted: list[str]) -> list[str]:
    return [" ".join(quoted[:3]), *quoted[3:]]


def _quoted(word: str) -> str:
    """A word as a shell reads it; of a flag's, the value alone is quoted."""
    flag, equals, value = word.partition("=")
    return f"{flag}{equals}{value if PLAIN.fullmatch(value) else shlex.quote(value)}" if equals else shlex.quote(word)
