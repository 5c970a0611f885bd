"""The operations of a document as tools: each with its name, its schemas, what it does, and the request that it makes."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, cast
from urllib.parse import quote, unquote

import msgspec

from gatelodge.core.definitions import LONGEST_DEFINITION
from gatelodge.core.server_items import MOST_ITEMS, TOOL, Catalogue, NotRead, Offered
from gatelodge.gateway.openapi import parameters
from gatelodge.gateway.openapi.document import Document, Object, Unsupported
from gatelodge.gateway.openapi.plan import Plan
from gatelodge.gateway.openapi.schemas import Schemas
from gatelodge.words import _, mark, reason

METHODS: dict[str, Object] = {
    "get": {"readOnlyHint": True},
    "head": {"readOnlyHint": True},
    "put": {"readOnlyHint": False, "destructiveHint": False, "idempotentHint": True},
    "post": {"readOnlyHint": False, "destructiveHint": False},
    "patch": {"readOnlyHint": False, "destructiveHint": False},
    "delete": {"readOnlyHint": False, "destructiveHint": True, "idempotentHint": True},
}
"""What each method does (RFC 9110 §9.2), as annotations; a tool's mark is made from them."""
LONGEST_NAME = 64
"""Clients take no longer ones."""
LONGEST_TITLE = 200
NO_NAME = re.compile(r"[^A-Za-z0-9_-]+")
BRACED = re.compile(r"\{([^{}]{1,200})\}")
SAFE = "-._~!$&'()*+,;=:@%"
"""What stands in a path as it is (RFC 3986 §3.3)."""


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One operation as it stands in the document."""

    method: str
    path: str
    item: Object
    content: Object

    @property
    def told(self) -> str:
        """What it is called where it has no name."""
        return f"{self.method.upper()} {self.path:.200}"


def catalogue(document: Document) -> Catalogue:
    """Every operation that can be a tool; the others with the reason why not. Raises ``NotRead``."""
    found, left_out = list[Operation](), list[str]()
    for operation in _operations(document, left_out):
        found.append(operation)
        if len(found) >= MOST_ITEMS:
            left_out.append(_("More than {most} operations: the rest is not read.").format(most=MOST_ITEMS))
            break
    times = Counter(_name(each) for each in found)
    offered: list[Offered] = []
    for each in found:
        name = _name(each)
        name = name if times[name] == 1 else _cut(f"{name}_{_path_name(each)}", each.told)
        try:
            offered.append(Offered(TOOL, name, _definition(document, each, name)))
        except Unsupported as why:
            left_out.append(_("The operation {operation!r} {why}.").format(operation=each.told, why=why))
    if not found and not left_out:
        raise NotRead(reason("the document has no operations under paths"))
    return Catalogue(
        offered=tuple(offered),
        name=document.text("title"),
        version=document.text("version"),
        left_out=tuple(left_out),
    )


def _operations(document: Document, left_out: list[str]) -> Iterator[Operation]:
    paths = document.content.get("paths")
    if not isinstance(paths, dict):
        raise NotRead(reason("the document has no paths"))
    for path, node in cast("Object", paths).items():
        if path.startswith("x-"):
            continue
        try:
            item = document.resolved(node, mark("a path"))
        except Unsupported as why:
            left_out.append(_("The path {path!r:.200} {why}.").format(path=path, why=why))
            continue
        for method in METHODS:
            if isinstance(item.get(method), dict):
                yield Operation(method=method, path=path, item=item, content=item[method])


def _name(of: Operation) -> str:
    """The name of a tool: the operation's own, or one from its method and path."""
    given = of.content.get("operationId")
    plain = NO_NAME.sub("_", given).strip("_") if isinstance(given, str) else ""
    return _cut(plain or _path_name(of), of.told)


def _path_name(of: Operation) -> str:
    return f"{of.method}_{NO_NAME.sub('_', of.path).strip('_')}"


def _cut(name: str, told: str) -> str:
    """A name that is short enough, and still of this operation alone."""
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[: LONGEST_NAME - 9]}_{hashlib.sha256((name + told).encode(errors='replace')).hexdigest()[:8]}"


def _definition(document: Document, of: Operation, name: str) -> str:
    """The definition of a tool as JSON text. Raises ``Unsupported``."""
    sent_schemas = Schemas(document, without="readOnly")
    sent = parameters.of_operation(document, of.item, of.content, sent_schemas)
    body = parameters.body_of(document, of.content, sent_schemas)
    path, wanted = _template(of.path)
    told = {each.argument.name for each in sent if each.argument.place == "path"}
    if missing := wanted - told:
        raise Unsupported(
            _("has {listed!r:.100} in its path, and no parameter that says what that is").format(
                listed=", ".join(sorted(missing))
            )
        )
    sent = tuple(each for each in sent if each.argument.place != "path" or each.argument.name in wanted)
    arguments = parameters.named((*sent, *body.sent))
    plan = Plan(
        method=cast("Any", of.method.upper()),
        path=path,
        arguments={key: each.argument for key, each in arguments.items()},
        body=body.media_type,
        sends_empty=body.sends_empty,
    )
    made: Object = {
        "name": name,
        **_said(of),
        "inputSchema": _input(arguments, sent_schemas),
        "annotations": METHODS[of.method] | {"openWorldHint": True},
        "request": msgspec.to_builtins(plan),
    }
    output = _output(document, of.content)
    whole = _json(made | {"outputSchema": output}) if output else ""
    text = whole if whole and len(whole) <= LONGEST_DEFINITION else _json(made)
    if len(text) > LONGEST_DEFINITION:
        raise Unsupported(
            _("has schemas of more than {longest_definition} characters together").format(
                longest_definition=LONGEST_DEFINITION
            )
        )
    return text


def _json(made: Object) -> str:
    try:
        return msgspec.json.encode(made).decode()
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError, UnicodeError) as error:
        raise Unsupported(_("can't be written as JSON: {error}").format(error=error)) from None


def _said(of: Operation) -> Object:
    summary, description = (
        text.strip() if isinstance(text := of.content.get(name), str) else "" for name in ("summary", "description")
    )
    said = description or summary or of.told
    title = {"title": summary} if 0 < len(summary) <= LONGEST_TITLE else {}
    return title | {"description": f"Deprecated. {said}" if of.content.get("deprecated") is True else said}


def _input(arguments: dict[str, parameters.Sent], schemas: Schemas) -> Object:
    made: Object = {
        "type": "object",
        "properties": {name: each.schema for name, each in arguments.items()},
        "additionalProperties": False,
    }
    if required := [name for name, each in arguments.items() if each.is_required]:
        made["required"] = required
    defs = schemas.defs()
    return made | ({"$defs": defs} if defs else {})


def _output(document: Document, operation: Object) -> Object | None:
    """The schema of the answer, where the operation has one good answer and that is a JSON object."""
    responses = operation.get("responses")
    good = (
        {code: each for code, each in cast("Object", responses).items() if code.startswith("2")}
        if isinstance(responses, dict)
        else {}
    )
    if len(good) != 1:
        return None
    schemas = Schemas(document, without="writeOnly")
    try:
        content = document.resolved(next(iter(good.values())), mark("an answer")).get("content")
        offered = cast("Object", content) if isinstance(content, dict) else {}
        if len(offered) != 1 or not parameters.is_json(parameters.essence(next(iter(offered)))):
            return None
        node = document.resolved(next(iter(offered.values())), mark("content")).get("schema")
        if (
            not isinstance(node, dict)
            or document.resolved(cast("Object", node), mark("a schema")).get("type") != "object"
        ):
            return None
        made = schemas.convert(cast("Object", node))
        defs = schemas.defs()
    except Unsupported:
        return None  # the operation can be called all the same
    if made.get("type", "object") != "object" or "anyOf" in made:
        return None
    return {"type": "object", **made} | ({"$defs": defs} if defs else {})


def _template(path: str) -> tuple[str, set[str]]:
    """A path as it is sent, its names in braces kept; and those names. Raises ``Unsupported``."""
    names = BRACED.findall(path)
    plain = BRACED.sub("", path)
    if not path.startswith("/") or any(letter in plain for letter in "{}?#\\"):
        raise Unsupported(_("has a path that doesn't begin with /, or holds ?, #, \\ or a single brace"))
    if not path.isprintable() or any(part in (".", "..") for part in unquote(path).split("/")):
        raise Unsupported(_("has a path with characters that can't be seen, or with . or .. in it"))
    if len(set(names)) != len(names):
        raise Unsupported(_("has the same name twice in its path"))
    kept = re.split(r"(\{[^{}]{1,200}\})", path)
    try:
        return "".join(part if n % 2 else quote(part, safe="/" + SAFE) for n, part in enumerate(kept)), set(names)
    except UnicodeError:
        raise Unsupported(_("has a path with half a character")) from None
