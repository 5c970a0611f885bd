"""The reference pages that are made from the code. ``python -m tests.docs.reference`` writes them; a test compares.

Options come from ``config.options()``, commands from the parser, clients from the presets, and refusals from the very
calls that make them (``tests.docs.refusals``).
"""

import argparse
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from gatelodge.cli.arguments import parser
from gatelodge.config import PREFIX, options
from gatelodge.core.apps.presets import PRESETS, Preset, to_paste
from gatelodge.core.error_codes import CODES
from tests.docs.refusals import MADE, ROOT, cell, errors

EXAMPLE = {"url": "http://localhost:8765/mcp/sobject-reads", "key": "CONSUMER_KEY", "name": "gatelodge-sobject-reads"}


# --- options and commands -------------------------------------------------------------------------------------------


def configuration() -> str:
    """docs/reference/configuration.md."""
    lines = [
        "# Configuration",
        "",
        MADE,
        "",
        (
            "Every option has one name. A flag wins over the environment, the environment over the file, the file over the"
            " default. A name that nobody knows refuses to start, and says which name was meant."
        ),
        "",
        (
            "The file is `gatelodge.toml` in the folder you start in, or the one that `--config FILE` names. Lists are"
            " repeated as flags, separated by commas in the environment, and arrays in the file. Durations are written"
            " `30`, `30s`, `10m` or `12h`."
        ),
        "",
        "| option | flag of | environment | default |",
        "| --- | --- | --- | --- |",
    ]
    takers = {name: _takers(name) for name in (option.name for option in options())}
    for option in options():
        default = f"`{option.default}`" if option.default not in ("", ()) else "none"
        flag = option.name.replace("_", "-")
        taken = ", ".join(f"`{command}`" for command in takers[option.name])
        lines.append(f"| [`--{flag}`](#{flag}) | {taken} | `{PREFIX}{option.name.upper()}` | {default} |")
    for option in options():
        kind = "list" if option.is_list else type(option.default).__name__
        shown = {"str": '"..."', "int": "8765", "list": '["...", "..."]'}[kind]
        lines += ["", f"## {option.name.replace('_', '-')}", "", option.help, "", "```toml"]
        lines += [f"{option.name} = {shown}", "```"]
    return "\n".join([*lines, ""])


def _takers(name: str) -> list[str]:
    return [
        command
        for command, made in _commands(parser(), "")
        if any(action.dest == name and action.option_strings for action in made._actions)
    ]


def _commands(made: argparse.ArgumentParser, name: str) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every command that does something, with the parser of its arguments."""
    below = [action for action in made._actions if isinstance(action, argparse._SubParsersAction)]
    if not below:
        yield name, made
    for action in below:
        for word, each in action.choices.items():
            yield from _commands(each, f"{name} {word}".strip())


def _helps(made: argparse.ArgumentParser, name: str = "") -> Iterator[tuple[str, str]]:
    for action in made._actions:
        if isinstance(action, argparse._SubParsersAction):
            for choice in action._choices_actions:
                yield f"{name} {choice.dest}".strip(), str(choice.help)
                yield from _helps(action.choices[choice.dest], f"{name} {choice.dest}".strip())


def command_line() -> str:
    """docs/reference/cli.md."""
    helps = dict(_helps(parser()))
    lines = [
        "# The command line",
        "",
        MADE,
        "",
        (
            "Data goes to stdout, talk to stderr. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 130 stopped by"
            " Ctrl-C. `gatelodge --version` prints the version."
        ),
        "",
        (
            "Beside a running server on SQLite, a command hands its work to that server over `control.sock`, next to the"
            " database: only the user who started the server may. On PostgreSQL every command does its own work."
        ),
    ]
    for name, made in _commands(parser(), ""):
        about = helps[name].replace("NAME", "`NAME`") if name == "org create" else helps[name]
        lines += ["", f"## gatelodge {name}", "", f"{about[0].upper()}{about[1:]}.", ""]
        lines += ["| argument | meaning |", "| --- | --- |"]
        for action in made._actions:
            if action.dest == "help":
                continue
            needed = " (required)" if action.required and action.option_strings else ""
            many = " May be repeated." if isinstance(action, argparse._AppendAction) else ""
            meaning = _sentence(cell((action.help or "").replace("%%", "%")))
            lines.append(f"| {_flag(action)}{needed} | {meaning}{'' if 'repeated' in meaning else many} |")
    return "\n".join([*lines, ""])


def _flag(action: argparse.Action) -> str:
    if not action.option_strings:
        return f"`{action.metavar or action.dest}`"
    value = "" if action.nargs == 0 else f" {action.metavar or action.dest.upper()}"
    return f"`{action.option_strings[-1]}{value}`"


def _sentence(text: str) -> str:
    return text if not text or text.endswith((".", ")")) else f"{text}."


# --- clients --------------------------------------------------------------------------------------------------------


def clients_table() -> str:
    """README's table: which client works, where it returns to, how it is connected."""
    lines = ["| client | callback URL | how to connect | checked |", "| --- | --- | --- | --- |"]
    for preset in PRESETS:
        if preset.name != "other":
            callbacks = "<br>".join(f"`{url}`" for url in preset.callback_urls) or "shown by the client: paste it"
            lines.append(f"| {preset.label} | {callbacks} | {_how(preset)} | {preset.checked} |")
    return "\n".join(lines)


def _how(preset: Preset) -> str:
    pasted = preset.paste.format(url="URL", key="KEY", name="NAME") if preset.paste else ""
    if preset.paste.startswith("{"):
        return f"`{preset.place}`"
    return f"`{pasted}`" if pasted else cell(preset.place)


def clients_in_full() -> str:
    """The how-to of each client."""
    lines: list[str] = []
    for preset in PRESETS:
        if preset.name == "other":
            continue
        lines += [f"### {preset.label}", ""]
        if preset.runs == "in a cloud":
            lines += [
                "It runs in a cloud, so it can't reach `localhost`: the org needs a public https URL.",
                "",
            ]
        lines += [f"Where: {preset.place}.", ""]
        if preset.paste:
            language = "json" if preset.paste.startswith("{") else "sh"
            lines += [f"```{language}", to_paste(preset, **EXAMPLE), "```", ""]
        if preset.asks_for_url:
            lines += ["The client shows its own callback URL: copy it into the app's Callback URL.", ""]
        else:
            lines += ["Callback URLs that the preset fills in:", ""]
            lines += [*(f"- `{url}`" for url in preset.callback_urls), ""]
    return "\n".join(lines).rstrip()


def error_codes() -> str:
    """docs/reference/error-codes.md: a chapter for each code, as the product itself has a page for each."""
    lines = [
        "# Error codes",
        "",
        MADE,
        "",
        (
            "A page that says no names one of these codes, and a reference. The product has the same words, in the"
            " reader's language, at `/errors/<code>`; a signed-in administrator finds what was told by searching for the"
            " reference in Setup, for a day. The sentences with their values are among the [refusals](errors.md)."
        ),
    ]
    for number, code in CODES.items():
        lines += [
            "",
            f"## {number}",
            "",
            f"**{code.title}.** {code.plain}",
            "",
            f"{code.means}",
            "",
            f"Fix: {code.fix}",
        ]
    return "\n".join([*lines, ""])


# --- the pages ------------------------------------------------------------------------------------------------------


def between(page: Path, name: str, body: str) -> str:
    """The page with what stands between its two marks of this name made anew."""
    begin, end = f"<!-- {name}: made from the code -->", f"<!-- end of {name} -->"
    marks = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    text = page.read_text("utf-8")
    assert marks.search(text), f"{page.name} has no marks for {name}"
    return marks.sub(lambda _: f"{begin}\n{body}\n{end}", text)


PAGES: dict[str, Callable[[], str]] = {
    "docs/reference/configuration.md": configuration,
    "docs/reference/cli.md": command_line,
    "docs/reference/errors.md": errors,
    "docs/reference/error-codes.md": error_codes,
    "docs/how-to/connect-a-client.md": lambda: between(
        ROOT / "docs/how-to/connect-a-client.md", "clients", clients_in_full()
    ),
    "README.md": lambda: between(ROOT / "README.md", "clients", clients_table()),
}

if __name__ == "__main__":
    for path, make in PAGES.items():
        (ROOT / path).write_text(make(), "utf-8")
