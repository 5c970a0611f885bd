"""The refusals that the code can make, read from the very calls that make them, and their page.

What each code means and how it is mended stands in ``docs/reference/errors.toml``, by hand.
"""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import msgspec

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src/gatelodge"
MADE = "<!-- made from the code: python -m tests.docs.reference -->"
WORD = re.compile(r"[a-z]{2}")
PLACE = re.compile(r"\{[^{}]*\}")


def cell(text: str) -> str:
    """A text as it may stand in a table or a list."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


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
        module = ast.parse(file.read_text("utf-8"))
        calls = [node for node in ast.walk(module) if isinstance(node, ast.Call)]
        texts, returned = _named_texts(module), _returned_texts(module)
        named = [(call.func.id, call) for call in calls if isinstance(call.func, ast.Name)]
        made = _makers(module)
        for name, call in named:
            if name in KINDS:
                found.update(_refusal(KINDS[name], call, texts))
            elif name in made:
                (kind, code), said = made[name], _meant(call.args[0], texts)
                for sentence in returned.get(_called(said), [_text(said)]):
                    if sentence:
                        found.add(Refusal(kind=kind, code=code, status=400, sentence=sentence))
        found.update(_of_classes(module))
    found = {each for each in found if WORD.search(each.sentence) or each.code}
    return sorted(found, key=lambda each: (each.kind, each.status, each.code, each.sentence))


def _of_classes(module: ast.Module) -> Iterator[Refusal]:
    """Classes of refusals that bring their own sentence."""
    for made in ast.walk(module):
        if isinstance(made, ast.ClassDef) and made.name in WITH_A_SENTENCE:
            for call in ast.walk(made):
                match call:
                    case ast.Call(func=ast.Attribute(attr="__init__"), args=[ast.JoinedStr() as sentence, *_]):
                        kind = WITH_A_SENTENCE[made.name]
                        yield Refusal(kind=kind, code="", status=400, sentence=_text(sentence) or "")


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


def _named_texts(module: ast.Module) -> list[tuple[int, str, ast.expr]]:
    """The texts that have a name: the line, the name and the text."""
    return sorted(
        (node.lineno, target.id, node.value)
        for node in ast.walk(module)
        if isinstance(node, ast.Assign) and _text(node.value)
        for target in node.targets
        if isinstance(target, ast.Name)
    )


KINDS = {
    name: name
    for name in (
        "OAuthError", "Denied", "ToldToTheUser", "Turned", "BadRequest",
        "Refused", "Unavailable", "ConfigRefused", "KeyRefused", "StoreRefused", "RecordError",
    )
} | {"NotAccepted": "Turned"}  # fmt: skip
"""The calls that refuse, and as which kind their sentences are listed."""


WITH_A_SENTENCE = {"Locked": "StoreRefused", "Repeated": "BadRequest"}


def _refusal(kind: str, call: ast.Call, named_texts: list[tuple[int, str, ast.expr]]) -> Iterator[Refusal]:
    texts = [_text(_meant(each, named_texts) if kind == "Turned" else each) for each in call.args]
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
        if code and len(texts) > 1 and (texts[0] or texts[1]):
            yield Refusal(kind=kind, code=code, status=numbers[0] if numbers else 400, sentence=texts[1] or "")
    elif kind == "Turned":
        sentence = (texts[2] if len(texts) > 2 else None) or named.get("why") or ""
        if sentence:
            code = (texts[1] if len(texts) > 1 else None) or named.get("error") or ""
            yield Refusal(kind=kind, code=code, status=numbers[0] if numbers else 0, sentence=sentence)
    elif texts and texts[0]:
        yield Refusal(kind=kind, code="", status=numbers[0] if numbers else 400, sentence=texts[0])


def _returned_texts(module: ast.Module) -> dict[str, list[str]]:
    """The texts that functions hand to those who refuse with them, by the function's name."""
    functions = [node for node in ast.walk(module) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    found = {
        node.name: [_text(each.value) for each in ast.walk(node) if isinstance(each, ast.Return) and each.value]
        for node in functions
    }
    return {name: [text for text in texts if text] for name, texts in found.items() if any(texts)}


def _called(node: ast.expr) -> str:
    """The name of the function whose answer this is, "" for anything else."""
    match node:
        case ast.Await(value=ast.Call(func=ast.Name(id=name))) | ast.Call(func=ast.Name(id=name)):
            return name
    return ""


def _meant(node: ast.expr, named_texts: list[tuple[int, str, ast.expr]]) -> ast.expr:
    """What a name stands for: the last text above it that has this name."""
    if not isinstance(node, ast.Name):
        return node
    above = [text for line, name, text in named_texts if name == node.id and line <= node.lineno]
    return above[-1] if above else node


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
        case ast.Call(func=ast.Name(id="_" | "mark"), args=[given]):
            return _text(given)
        case ast.Call(func=ast.Name(id="reason" | "Reason"), args=[given, *_]):
            text = _text(given)
            return PLACE.sub("...", text) if text else None
        case ast.Call(func=ast.Attribute(value=said, attr="format")):
            text = _text(said)
            return PLACE.sub("...", text) if text else None
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
            lines += ["", f"### {each.title}", "", f"`{each.code}`. {cell(each.sentence)}", "", f"Fix: {each.fix}"]
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
            f"- {f'{each.status}: ' if kind == 'BadRequest' else ''}{cell(each.sentence)}"
            for each in said
            if each.kind == kind
        ]
    return "\n".join([*lines, ""])


PLAIN = (
    ("A request that can't be read", "Plain text with the status; forms and OAuth parameters alike.", "BadRequest"),
    (
        "A rule of a form or a command",
        (
            "Setup says it by the field, the command line on stderr with code 1. What a field's own format demands is said by"
            " the field too, and explains itself."
        ),
        "Refused",
    ),
    (
        "When the house can't answer now",
        "503 with `Retry-After`, or code 1 on the command line. Try again; when it stays, look at `/readyz` and the log.",
        "Unavailable",
    ),
    ("Options that refuse to start", "On stderr, with exit code 1, before anything listens.", "ConfigRefused"),
    ("A master key that refuses to start", "The same.", "KeyRefused"),
    ("A database that refuses to start", "The same.", "StoreRefused"),
)


def _by_code(said: list[Refusal], kinds: tuple[str, ...]) -> list[str]:
    lines: list[str] = []
    for code in sorted({each.code for each in said if each.kind in kinds}):
        means = meanings()[code]
        lines += ["", f"### {code}", "", f"{means['means']} Fix: {means['fix']}", ""]
        sentences = {each.sentence: None for each in said if each.kind in kinds and each.code == code}
        lines += [f"- {cell(sentence)}" for sentence in sentences if sentence]
    return lines


def _by_status(said: list[Refusal]) -> list[str]:
    lines: list[str] = []
    for status in sorted({each.status for each in said if each.kind == "Turned"}):
        means = meanings()[str(status)]
        lines += ["", f"### {status}", "", f"{means['means']} Fix: {means['fix']}", ""]
        for each in said:
            if each.kind == "Turned" and each.status == status:
                code = f"`{each.code}`: " if each.code else ""
                lines.append(f"- {code}{cell(each.sentence)}")
    return lines
