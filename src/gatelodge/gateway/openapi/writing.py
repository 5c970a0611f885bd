"""Writing arguments into a request: what arrives at the API is what was said, or nothing is sent.

A value that can't be told from another one once it is written, or that would lead elsewhere, is refused with the reason.
"""

import re
from collections.abc import Iterator
from typing import Any, cast
from urllib.parse import quote, unquote

import msgspec

from gatelodge.gateway.openapi import parameters
from gatelodge.gateway.openapi.plan import Argument, Plan

BRACED = re.compile(r"\{([^{}]{1,200})\}")
JOINED = {"form": ",", "simple": ",", "matrix": ",", "label": ",", "spaceDelimited": " ", "pipeDelimited": "|"}
"""What stands between the parts of a value that is written as one."""
LONGEST_TARGET = 8000
"""Characters of a path with its query; servers take about as many."""
LONGEST_HEADER = 4096
Pairs = list[tuple[str, str]]


class Wrong(ValueError):
    """An argument can't be sent; the message names it, says why, and what to do."""


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """A request as it is sent. ``target`` is the path below the API's own URL, with the query, both encoded."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes | None = None


def write(plan: Plan, arguments: dict[str, Any], credential_header: str = "") -> Written:
    """The request for these arguments, which fit the tool's schema. ``credential_header``: no argument may fill it.

    Raises ``Wrong``.
    """
    path, query, headers, members = dict[str, str](), Pairs(), dict[str, str](), list[tuple[str, Argument, Any]]()
    for name, value in arguments.items():
        argument = plan.arguments[name]
        match argument.place:
            case "path":
                path[argument.name] = _in_path(name, argument, value)
            case "query":
                query += _pairs(name, argument, value)
            case "header":
                _into_headers(headers, name, argument, value, credential_header)
            case "body":
                members.append((name, argument, value))
    _check_apart(plan, arguments, query)
    target = _filled(plan.path, path)
    if query:
        target += "?" + "&".join(f"{_escaped(key)}={_escaped(value)}" for key, value in query)
    if len(target) > LONGEST_TARGET:
        raise Wrong(f"the URL would have {len(target)} characters; at most {LONGEST_TARGET} are sent. Send less")
    body = _body(plan, members)
    if body is not None:
        headers["Content-Type"] = plan.body
    return Written(method=plan.method, target=target, headers=headers, body=body)


def _escaped(text: str) -> str:
    try:
        return quote(text, safe="")
    except UnicodeError:
        raise Wrong("an argument holds half a character (a lone surrogate); send whole ones") from None


def _plain(name: str, value: object) -> str:
    """A value that is written as one text."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int() | float():
            return msgspec.json.encode(value).decode()
        case None:
            raise Wrong(
                f"argument {name!r} is null, which can't be written into a URL, a header or a form. Leave it out"
            )
        case _:
            raise Wrong(f"argument {name!r} holds a list or an object within another, which can't be written there")


def _parts(name: str, argument: Argument, value: list[Any] | dict[str, Any]) -> list[str]:
    """The parts of a list, or the keys and values of an object in turn; none may hold what stands between them."""
    if isinstance(value, list):
        parts = [_plain(name, each) for each in value]
    else:
        parts = [part for key, each in value.items() for part in (key, _plain(name, each))]
    between = JOINED[argument.style]
    if between != "," and any(between in part for part in parts):
        raise Wrong(
            f"argument {name!r} has a part with {between!r} in it, which stands between parts. Leave it out there"
        )
    return parts


def _pairs(name: str, argument: Argument, value: Any) -> Pairs:
    """The fields of a query or a form."""
    if argument.style == "json":
        return [(argument.name, msgspec.json.encode(value).decode())]
    if not isinstance(value, list | dict):
        return [(argument.name, _plain(name, value))]
    if not value:
        return []
    if argument.style == "deepObject":
        if isinstance(value, list):
            raise Wrong(f"argument {name!r} is a list, and must be an object to be sent as {argument.name}[key]")
        return [(f"{argument.name}[{key}]", _plain(name, each)) for key, each in cast("dict[str, Any]", value).items()]
    if argument.explode and isinstance(value, list):
        return [(argument.name, _plain(name, each)) for each in cast("list[Any]", value)]
    if argument.explode:
        return [(key, _plain(name, each)) for key, each in cast("dict[str, Any]", value).items()]
    parts, between = _parts(name, argument, value), JOINED[argument.style]
    if between == "," and any("," in part for part in parts):
        raise Wrong(f"argument {name!r} has a part with a comma in it, which stands between parts. Leave it out there")
    return [(argument.name, between.join(parts))]


def _check_apart(plan: Plan, arguments: dict[str, Any], query: Pairs) -> None:
    """The keys of an object that is spread over the query must not pass for other parameters."""
    known = {each.name: name for name, each in plan.arguments.items() if each.place == "query"}
    spread = {
        name for name, value in arguments.items()
        if isinstance(value, dict) and plan.arguments[name].place == "query" and plan.arguments[name].explode
        and plan.arguments[name].style == "form"
    }  # fmt: skip
    for name in spread:
        for key in arguments[name]:
            if key in known or sum(key == other for other, _ in query) > 1:
                raise Wrong(
                    f"argument {name!r} has the key {key!r:.60}, which is another parameter's name. Leave it out"
                )


def _in_path(name: str, argument: Argument, value: Any) -> str:
    """A path parameter as it is sent (RFC 6570 §3.2.2, §3.2.5, §3.2.7)."""
    for text in _texts(value):
        if "/" in text or "\\" in text or any(ord(letter) < 0x20 or ord(letter) == 0x7F for letter in text):  # noqa: PLR2004
            raise Wrong(
                f"argument {name!r} is {text!r:.60}, and stands in the path: it can't hold /, \\ or control characters"
            )
    if argument.style == "json":
        made = _escaped(msgspec.json.encode(value).decode())
    elif isinstance(value, list | dict):
        made = _several(name, argument, cast("list[Any] | dict[str, Any]", value))
    else:
        text = _escaped(_plain(name, value))
        made = {"label": f".{text}", "matrix": f";{_escaped(argument.name)}={text}"}.get(argument.style, text)
    if not made or value in ("", [], {}):
        raise Wrong(f"argument {name!r} is empty, and stands in the path: without it another thing would be asked for")
    return made


def _several(name: str, argument: Argument, value: list[Any] | dict[str, Any]) -> str:
    if argument.explode:
        parts = (
            [f"{_escaped(key)}={_escaped(_plain(name, each))}" for key, each in value.items()]
            if isinstance(value, dict)
            else [_escaped(_plain(name, each)) for each in value]
        )
        if argument.style == "matrix":
            own = f"{_escaped(argument.name)}=" if isinstance(value, list) else ""
            return "".join(f";{own}{part}" for part in parts)
        return "." + ".".join(parts) if argument.style == "label" else ",".join(parts)
    joined = ",".join(map(_escaped, _parts(name, argument, value)))
    return {"label": f".{joined}", "matrix": f";{_escaped(argument.name)}={joined}"}.get(argument.style, joined)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in cast("list[Any]", value):
            yield from _texts(each)
    elif isinstance(value, dict):
        for key, each in cast("dict[str, Any]", value).items():
            yield key
            yield from _texts(each)


def _filled(template: str, values: dict[str, str]) -> str:
    """The path. No part of it may be . or .., which servers and proxies take for the way up."""
    made = BRACED.sub(lambda found: values[found[1]], template)
    for part in made.split("/"):
        if unquote(part).partition(";")[0] in (".", ".."):
            raise Wrong(f"the path would be {made!r:.100}, and a part of it . or .., which leads elsewhere")
    return made


def _into_headers(headers: dict[str, str], name: str, argument: Argument, value: Any, credential_header: str) -> None:
    if parameters.is_ours(argument.name) or argument.name.lower() == credential_header.lower():
        raise Wrong(f"argument {name!r} would fill the header {argument.name}, which is not the client's to fill")
    if argument.style == "json":
        text = msgspec.json.encode(value).decode()
    elif isinstance(value, list | dict):
        text = _in_header(name, argument, cast("list[Any] | dict[str, Any]", value))
    else:
        text = _plain(name, value)
    if text != text.strip() or not text.isascii() or not text.isprintable() or len(text) > LONGEST_HEADER:
        raise Wrong(
            f"argument {name!r} is {text!r:.60}, and stands in a header: send at most {LONGEST_HEADER} printable ASCII"
            " characters, without blanks around them"
        )
    headers[argument.name] = text


def _in_header(name: str, argument: Argument, value: list[Any] | dict[str, Any]) -> str:
    parts = _parts(name, argument, value)
    if any("," in part or part != part.strip() or "=" in part for part in parts):
        raise Wrong(
            f"argument {name!r} has a part with a comma, = or blanks around it, which headers take for something else"
        )
    if isinstance(value, dict) and argument.explode:
        return ",".join(f"{key}={_plain(name, each)}" for key, each in value.items())
    return ",".join(parts)


def _body(plan: Plan, members: list[tuple[str, Argument, Any]]) -> bytes | None:
    if not members:
        return (b"" if plan.body == parameters.FORM else b"{}") if plan.sends_empty else None
    if plan.body == parameters.FORM:
        fields = [pair for name, argument, value in members for pair in _pairs(name, argument, value)]
        return "&".join(f"{_escaped(key)}={_escaped(value)}" for key, value in fields).encode()
    name, argument, value = members[0]
    try:
        if plan.body == parameters.TEXT:
            return _plain(name, value).encode()
        return msgspec.json.encode(value if not argument.name else {each.name: said for _, each, said in members})
    except UnicodeError:
        raise Wrong("an argument holds half a character (a lone surrogate); send whole ones") from None
