"""The reference pages that are made from the code. ``python -m tests.docs.reference`` writes them; a test compares.

Options come from ``config.options()``, commands from the parser, clients from the presets, and refusals from the very
calls that make them. What those refusals mean stands in ``docs/reference/errors.toml``, by hand.
"""

import argparse
import ast
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from gatelodge.cli.arguments import parser
from gatelodge.config import PREFIX, options
from gatelodge.core.apps.presets import PRESETS, Preset, to_paste

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src/gatelodge"
MADE = "<!-- made from the code: python -m tests.docs.reference -->"
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
            meaning = _sentence(_cell((action.help or "").replace("%%", "%")))
            lines.append(f"| {_flag(action)}{needed} | {meaning}{'' if 'repeated' in meaning else many} |")
    return "\n".join([*lines, ""])


def _flag(action: argparse.Action) -> str:
    if not action.option_strings:
        return f"`{action.metavar or action.dest}`"
    value = "" if action.nargs == 0 else f" {action.metavar or action.dest.upper()}"
    return f"`{action.option_strings[-1]}{value}`"


def _sentence(text: str) -> str:
    return text if not text or text.endswith((".", ")")) else f"{text}."


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


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
    return f"`{pasted}`" if pasted else _cell(preset.place)


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


# --- refusals -------------------------------------------------------------------------------------------------------


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """One call in the code that says no. ``code`` is the word on the wire, ``sentence`` what is said."""

    kind: str
    code: str
    status: int
    sentence: str
    title: str = ""
    fix: str = ""


def refusals() -> list[Refusal]:
    """Every refusal that the code can make."""
    found: set[Refusal] = set()
    for file in sorted(SOURCE.rglob("*.py")):
        calls = [node for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, ast.Call)]
        named = [(call.func.id, call) for call in calls if isinstance(call.func, ast.Name)]
        made = _makers(ast.parse(file.read_text("utf-8")))
        for name, call in named:
            if name in KINDS:
                found.update(_refusal(name, call))
            elif name in made and (sentence := _text(call.args[0])):
                found.add(Refusal(kind=made[name][0], code=made[name][1], status=400, sentence=sentence))
    return sorted(found, key=lambda each: (each.kind, each.status, each.code, each.sentence))


def _makers(module: ast.Module) -> dict[str, tuple[str, str]]:
    """Functions that only make a refusal with one code, out of the sentence they are given: their kind and code."""
    found: dict[str, tuple[str, str]] = {}
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef) and node.args.args:
            match node.body[-1]:
                case ast.Return(
                    value=ast.Call(func=ast.Name(id=kind), args=[ast.Constant(value=str(code)), ast.Name(id=given), *_])
                ) if kind in KINDS and given == node.args.args[0].arg:
                    found[node.name] = (kind, code)
    return found


KINDS = (
    "OAuthError", "Denied", "ToldToTheUser", "Turned", "BadRequest",
    "Refused", "ConfigRefused", "KeyRefused", "StoreRefused", "RecordError",
)  # fmt: skip


def _refusal(kind: str, call: ast.Call) -> Iterator[Refusal]:
    texts = [_text(each) for each in call.args]
    named = {each.arg: _text(each.value) for each in call.keywords if each.arg}
    numbers = [e.value for e in call.args if isinstance(e, ast.Constant) and isinstance(e.value, int)]
    if kind == "ToldToTheUser":
        if texts[0]:
            yield Refusal(
                kind=kind, code=texts[0], status=400, title=texts[1] or "", sentence=named["what"] or "",
                fix=named["fix"] or "",
            )  # fmt: skip
    elif kind in ("OAuthError", "Denied", "RecordError"):
        code = texts[0] or (call.args[0].id if isinstance(call.args[0], ast.Name) else "")
        code = "MALFORMED_QUERY" if code == "code" else code  # the parser of queries and of searches is one
        if code and len(texts) > 1 and texts[1]:
            yield Refusal(kind=kind, code=code, status=numbers[0] if numbers else 400, sentence=texts[1])
    elif kind == "Turned":
        sentence = (texts[2] if len(texts) > 2 else None) or named.get("why") or ""
        if sentence:
            code = (texts[1] if len(texts) > 1 else None) or named.get("error") or ""
            yield Refusal(kind=kind, code=code, status=numbers[0] if numbers else 0, sentence=sentence)
    elif texts and texts[0]:
        yield Refusal(kind=kind, code="", status=numbers[0] if numbers else 400, sentence=texts[0])


def _text(node: ast.expr) -> str | None:
    """A literal text; what is filled in when it is said becomes an ellipsis."""
    match node:
        case ast.Constant(value=str(value)):
            return value
        case ast.JoinedStr(values=parts):
            return "".join(p.value if isinstance(p, ast.Constant) else "..." for p in parts)  # type: ignore[misc]
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return (_text(left) or "...") + (_text(right) or "...")
        case ast.IfExp(body=body):
            return _text(body)
    return None


def meanings() -> dict[str, dict[str, str]]:
    """What each code means and how it is mended, by hand."""
    return tomllib.loads((ROOT / "docs/reference/errors.toml").read_text("utf-8"))


def errors() -> str:
    """docs/reference/errors.md."""
    said, lines = refusals(), [
        "# Refusals",
        "",
        MADE,
        "",
        ("Every sentence with which Gatelodge says no, taken from the code: search this page for what you were told."
        " An ellipsis stands for a value that is filled in."),
    ]  # fmt: skip
    lines += ["", "## Told to the person in front of the browser", ""]
    lines += ["The client or its way back isn't the registered one, so nothing is sent anywhere (RFC 6749 §4.1.2.1)."]
    for each in said:
        if each.kind == "ToldToTheUser":
            lines += ["", f"### {each.title}", "", f"`{each.code}`. {_cell(each.sentence)}", "", f"Fix: {each.fix}"]
    lines += ["", "## Told to the client", ""]
    lines += [
        (
            "At the authorization endpoint through the registered redirect, with `state` and `iss`; at the token endpoint as"
            " JSON. `error` is the code, `error_description` the sentence."
        )
    ]
    lines += _by_code(said, ("OAuthError", "Denied"))
    lines += ["", "## At an MCP server", ""]
    lines += [
        "With 401, and with 403 `insufficient_scope`, a challenge names the metadata and the scopes (RFC 9728 §5.1)."
    ]
    lines += _by_status(said)
    lines += ["", "## From a tool", ""]
    lines += ["The call succeeds as HTTP and as MCP, and its result is an error with one of Salesforce's codes."]
    lines += _by_code(said, ("RecordError",))
    for title, about, kind in PLAIN:
        lines += ["", f"## {title}", "", about, ""]
        lines += [
            f"- {f'{each.status}: ' if kind == 'BadRequest' else ''}{_cell(each.sentence)}"
            for each in said
            if each.kind == kind
        ]
    return "\n".join([*lines, ""])


PLAIN = (
    ("A request that can't be read", "Plain text with the status; forms and OAuth parameters alike.", "BadRequest"),
    ("A rule of a form or a command", "Setup says it by the field, the command line on stderr with code 1.", "Refused"),
    ("Options that refuse to start", "On stderr, with exit code 1, before anything listens.", "ConfigRefused"),
    ("A master key that refuses to start", "The same.", "KeyRefused"),
    ("A database that refuses to start", "The same.", "StoreRefused"),
)


def _by_code(said: list[Refusal], kinds: tuple[str, ...]) -> list[str]:
    lines: list[str] = []
    for code in sorted({each.code for each in said if each.kind in kinds}):
        means = meanings()[code]
        lines += ["", f"### {code}", "", f"{means['means']} Fix: {means['fix']}", ""]
        lines += [f"- {_cell(each.sentence)}" for each in said if each.kind in kinds and each.code == code]
    return lines


def _by_status(said: list[Refusal]) -> list[str]:
    lines: list[str] = []
    for status in sorted({each.status for each in said if each.kind == "Turned"}):
        means = meanings()[str(status)]
        lines += ["", f"### {status}", "", f"{means['means']} Fix: {means['fix']}", ""]
        for each in said:
            if each.kind == "Turned" and each.status == status:
                code = f"`{each.code}`: " if each.code else ""
                lines.append(f"- {code}{_cell(each.sentence)}")
    return lines


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
    "docs/how-to/connect-a-client.md": lambda: between(
        ROOT / "docs/how-to/connect-a-client.md", "clients", clients_in_full()
    ),
    "README.md": lambda: between(ROOT / "README.md", "clients", clients_table()),
}

if __name__ == "__main__":
    for path, make in PAGES.items():
        (ROOT / path).write_text(make(), "utf-8")
