"""The parameters of an operation and the members of its body, as arguments of one flat object whose names can't clash."""

import re
from typing import Any, cast

import msgspec

from gatelodge.core.server_terms import NOT_OURS
from gatelodge.gateway.openapi.document import Document, Object, Unsupported
from gatelodge.gateway.openapi.plan import Argument
from gatelodge.gateway.openapi.schemas import Schemas
from gatelodge.words import _, mark

STYLES: dict[str, tuple[str, ...]] = {
    "path": ("simple", "label", "matrix"),
    "query": ("form", "spaceDelimited", "pipeDelimited", "deepObject"),
    "header": ("simple",),
}
"""The styles of each place, its default first."""
OURS = NOT_OURS | {
    "accept-encoding", "authorization", "connection", "cookie", "expect", "forwarded", "gatelodge-identity",
    "keep-alive", "max-forwards", "origin", "proxy-authorization", "proxy-connection", "range", "set-cookie",
    "trailer", "upgrade", "user-agent", "via",
}  # fmt: skip
"""Headers that no argument may fill: they frame the request, or say who sends it."""
OUR_PREFIXES = ("x-forwarded-", "sec-", "proxy-")
HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
NO_ARGUMENT = re.compile(r"[^A-Za-z0-9_.-]")
LONGEST_ARGUMENT = 64
MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}")
FORM, TEXT = "application/x-www-form-urlencoded", "text/plain"
MOST_ARGUMENTS = 500
FLAT = frozenset({
    "type", "properties", "required", "title", "description", "example", "examples", "additionalProperties",
    "deprecated", "xml", "externalDocs", "nullable", "default",
})  # fmt: skip
"""Keywords of an object schema whose members can stand by themselves."""


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """One argument before it has a name."""

    argument: Argument
    schema: Any
    is_required: bool


class Body(msgspec.Struct, frozen=True, kw_only=True):
    """What an operation's body is made of."""

    media_type: str = ""
    sends_empty: bool = False
    sent: tuple[Sent, ...] = ()


def is_ours(header: str) -> bool:
    """Whether this header is not an API's to ask for."""
    return header.lower() in OURS or header.lower().startswith(OUR_PREFIXES)


def is_json(media_type: str) -> bool:
    """Whether a media type, without its parameters, is JSON (RFC 6839 §3.1)."""
    return media_type == "application/json" or (media_type.endswith("+json") and "/" in media_type)


def of_operation(document: Document, item: Object, operation: Object, schemas: Schemas) -> tuple[Sent, ...]:
    """The parameters of a path and of one operation at it, which override those. Raises ``Unsupported``."""
    found: dict[tuple[str, str], Object] = {}
    for holder in (item, operation):
        listed = holder.get("parameters", [])
        if not isinstance(listed, list):
            raise Unsupported(_("has parameters that are no list"))
        for each in cast("list[Any]", listed):
            parameter = document.resolved(each, mark("a parameter"))
            name, place = parameter.get("name"), parameter.get("in")
            if not isinstance(name, str) or not isinstance(place, str) or not name:
                raise Unsupported(_("has a parameter without a name or a place"))
            found[place, name] = parameter
    if len(found) > MOST_ARGUMENTS:
        raise Unsupported(_("has more than {most_arguments} parameters").format(most_arguments=MOST_ARGUMENTS))
    made = (_parameter(document, place, name, each, schemas) for (place, name), each in found.items())
    return tuple(each for each in made if each is not None)


def _parameter(document: Document, place: str, name: str, given: Object, schemas: Schemas) -> Sent | None:
    """One parameter; None for one that is left out without harm."""
    is_required = place == "path" or given.get("required") is True
    if place not in STYLES:
        if is_required:
            raise Unsupported(
                _("needs the {place:.20} parameter {name!r:.60}, which is not sent from here").format(
                    place=place, name=name
                )
            )
        return None
    if place == "header" and (is_ours(name) or not HEADER_NAME.fullmatch(name)):
        if is_required and name.lower() not in ("accept", "content-type", "authorization"):
            raise Unsupported(_("needs the header {name!r:.60}, which no argument may fill").format(name=name))
        return None  # OpenAPI 3.1.1 §4.8.12.1: three of them are described elsewhere
    style = given.get("style", STYLES[place][0])
    explode = given.get("explode", style in ("form", "deepObject"))
    if style not in STYLES[place] or not isinstance(explode, bool):
        raise Unsupported(
            _("has the parameter {name!r:.60} in the style {style!r:.30}, which isn't one for {place}").format(
                name=name, style=style, place=place
            )
        )
    node = given.get("schema", True)
    if "content" in given:
        media_type, node = _content(document, given["content"], mark("a parameter"))
        if not is_json(media_type):
            raise Unsupported(
                _("has the parameter {name!r:.60} as {media_type!r:.60}; only JSON can be sent").format(
                    name=name, media_type=media_type
                )
            )
        style, explode = "json", False
    argument = msgspec.convert({"in": place, "name": name, "style": style, "explode": explode}, Argument)
    return Sent(argument=argument, schema=_described(schemas.convert(node), given), is_required=is_required)


def _content(document: Document, content: object, what: str) -> tuple[str, Any]:
    """The first media type of some content, and its schema."""
    if not isinstance(content, dict) or not content:
        raise Unsupported(_("has {what} without content").format(what=_(what)))
    key, given = next(iter(cast("Object", content).items()))
    return essence(key), document.resolved(given, mark("content")).get("schema", True)


def essence(media_type: str) -> str:
    """A media type without its parameters, in lower case; "" for what is none."""
    plain = media_type.partition(";")[0].strip().lower()
    return plain if MEDIA_TYPE.fullmatch(plain) else ""


def _described(schema: Any, given: Object) -> Any:
    """A schema with what its parameter says of itself."""
    made: Object = {} if schema is True else {"not": {}} if schema is False else dict(schema)
    if isinstance(given.get("description"), str):
        made["description"] = given["description"]
    return made | ({"deprecated": True} if given.get("deprecated") is True else {})


def body_of(document: Document, operation: Object, schemas: Schemas) -> Body:
    """The body of an operation, its members apart where they can be. Raises ``Unsupported``."""
    if "requestBody" not in operation:
        return Body()
    given = document.resolved(operation["requestBody"], mark("a body"))
    is_required = given.get("required") is True
    content = given.get("content")
    offered = {essence(key): each for key, each in cast("Object", content).items()} if isinstance(content, dict) else {}
    chosen = next((each for each in offered if is_json(each)), "")
    chosen = chosen or next((each for each in (FORM, TEXT) if each in offered), "")
    if not chosen:
        if is_required:
            raise Unsupported(
                _("takes {listed!r:.100}; JSON, forms and plain text can be sent").format(listed=", ".join(offered))
            )
        return Body()
    media = document.resolved(offered[chosen], mark("content"))
    node = media.get("schema", True)
    members = None if chosen == TEXT else _flat(document, node, is_required=is_required)
    if members is not None:
        sent = tuple(_members(members, media, chosen, schemas))
        return Body(media_type=chosen, sends_empty=is_required, sent=sent)
    if chosen == FORM:
        raise Unsupported(_("takes a form whose fields are not told one by one"))
    whole = Argument(place="body", style="json" if is_json(chosen) else "simple")
    schema = {"type": "string"} if chosen == TEXT else schemas.convert(node)
    return Body(
        media_type=chosen, sent=(Sent(argument=whole, schema=_described(schema, given), is_required=is_required),)
    )


def _flat(document: Document, node: object, *, is_required: bool) -> Object | None:
    """An object schema whose members can be arguments by themselves; None for any other."""
    if isinstance(node, bool) or not isinstance(node, dict):
        return None
    found = document.resolved(cast("Object", node), mark("a schema"))
    known = {name for name in found if not name.startswith("x-")}
    is_open = found.get("additionalProperties", False) is not False or found.get("nullable") is True
    if (
        not isinstance(found.get("properties"), dict)
        or known - FLAT
        or is_open
        or found.get("type") not in {"object", None}
    ):
        return None
    return None if found.get("required") and not is_required else found


def _members(body: Object, media: Object, media_type: str, schemas: Schemas) -> list[Sent]:
    required = body.get("required", [])
    encoding = media.get("encoding", {})
    sent: list[Sent] = []
    for name, node in cast("Object", body["properties"]).items():
        if schemas.is_left_out(node):
            continue
        told = cast("Object", encoding).get(name, {}) if isinstance(encoding, dict) else {}
        style, explode = "json", False
        if media_type == FORM:
            style, explode = told.get("style", "form"), told.get("explode", True)
            if is_json(essence(str(told.get("contentType", "")))):
                style, explode = "json", False
        try:
            argument = msgspec.convert({"in": "body", "name": name, "style": style, "explode": explode}, Argument)
        except msgspec.ValidationError:
            raise Unsupported(
                _("has the field {name!r:.60} in the style {style!r:.30}").format(name=name, style=style)
            ) from None
        is_required = isinstance(required, list) and name in required
        sent.append(Sent(argument=argument, schema=schemas.convert(node), is_required=is_required))
    return sent


def named(sent: tuple[Sent, ...]) -> dict[str, Sent]:
    """Each argument under a name of its own: the API's, with its place before it where two places have the same."""
    plain = [_plain(each.argument) for each in sent]
    made: dict[str, Sent] = {}
    for base, each in zip(plain, sent, strict=True):
        name = base if plain.count(base) == 1 else f"{each.argument.place}_{base}"[:LONGEST_ARGUMENT]
        n = 1
        while name in made or (name != base and name in plain):
            n += 1
            name = f"{name[: LONGEST_ARGUMENT - 5]}_{n}"
        made[name] = each
    return made


def _plain(argument: Argument) -> str:
    return NO_ARGUMENT.sub("_", argument.name)[:LONGEST_ARGUMENT] or "body"
