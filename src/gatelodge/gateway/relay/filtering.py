"""Lists as one caller may see them, by the same function that calls are held against; and who speaks to the model.

Only what is left out is touched: every entry that stays is the bytes that the upstream sent.
"""

from collections.abc import Callable, Mapping

import msgspec
from msgspec import Raw

from gatelodge.core import definitions
from gatelodge.core.permitting import Permitted
from gatelodge.gateway.relay import words
from gatelodge.gateway.relay.inbound import NULL, Inbound, Refused, Spans
from gatelodge.gateway.relay.parameter_headers import disagrees
from gatelodge.gateway.relay.upstream import Upstream

PRIVATE = Raw(b'"private"')
_spans = msgspec.json.Decoder(Spans)
_list = msgspec.json.Decoder(list[Raw])
_string = msgspec.json.Decoder(str)


class Unreadable(Exception):
    """What an upstream sent in place of a list, so that nobody can say what is in it."""


def check_asked(permitted: Permitted, found: Inbound) -> None:
    """Raises ``Refused`` for what this caller may not use, in the words that are said of what nobody has heard of."""
    if found.method == "tools/call" and not permitted.tool(found.name).is_allowed:
        raise _unknown(found, words.INVALID_PARAMS, f"Unknown tool: {found.name:.80}")
    if found.method == "prompts/get" and not permitted.prompt(found.name).is_allowed:
        raise _unknown(found, words.INVALID_PARAMS, f"Unknown prompt: {found.name:.80}")
    if found.method.startswith("resources/") and found.name and not permitted.resource(found.name).is_allowed:
        code = words.INVALID_PARAMS if found.is_modern else words.RESOURCE_NOT_FOUND
        raise _unknown(found, code, f"Resource not found: {found.name:.200}", {"uri": found.name})
    if found.method == "completion/complete":
        _check_reference(permitted, found)
    if found.method == words.LISTEN:
        _narrow(permitted, found)


def check_tasks(upstream: Upstream, found: Inbound) -> None:
    """A task is known by its id alone, and an upstream that can't tell users apart would show everybody's to each: there
    are none then, and a call is no task (MCP 2025-11-25: Task Isolation and Access Control). Raises ``Refused``.
    """
    if upstream.knows_callers:
        return
    if found.method.startswith(words.TASKS):
        why = f"Method not found: {found.method:.80}. {upstream.name} isn't told who calls, and would show everybody's tasks"
        raise _unknown(found, words.METHOD_NOT_FOUND, why)
    _ = found.params.pop("task", None)


def offered(upstream: Upstream, capabilities: Raw) -> Raw:
    """What an upstream can do, without tasks where there are none. Raises ``Unreadable``."""
    if upstream.knows_callers:
        return capabilities
    try:
        found = _spans.decode(capabilities)
        extensions = _spans.decode(found["extensions"]) if "extensions" in found else {}
    except msgspec.DecodeError:
        raise Unreadable from None
    if (found.pop("tasks", None), extensions.pop(words.TASKS_EXTENSION, None)) == (None, None):
        return capabilities
    _ = found.pop("extensions", None)
    return Raw(msgspec.json.encode({**found, "extensions": extensions} if extensions else found))


def may_go_on(permitted: Permitted, found: Inbound) -> bool:
    """Whether a request that is under way would still be let through."""
    if found.method not in words.ASKED:
        return True
    try:
        check_asked(permitted, found)
    except Refused:
        return False
    return True


def check_parameters(permitted: Permitted, found: Inbound, headers: Mapping[bytes, bytes]) -> None:
    """Raises ``Refused`` when a header of a tool's parameter says something else than the call does."""
    if found.method == words.CALL:
        name = disagrees(permitted.definition("tool", found.name), found.params.get("arguments"), headers)
        if name:
            why = f"{name} says something else than the arguments"
            raise Refused(400, words.HEADER_MISMATCH, why, id=found.id)


def _unknown(found: Inbound, code: int, message: str, data: object = None) -> Refused:
    return Refused(words.STATUS.get(code, 200) if found.is_modern else 200, code, message, data, found.id)


def _check_reference(permitted: Permitted, found: Inbound) -> None:
    """Hold a completion's prompt or template against what the caller may use."""
    try:
        named = _spans.decode(found.params.get("ref", NULL))
        prompt, uri = (_string.decode(named[key]) if key in named else "" for key in ("name", "uri"))
    except msgspec.DecodeError:
        raise _unknown(found, words.INVALID_PARAMS, "ref must be an object with a name or a uri") from None
    is_known = (permitted.prompt(prompt) if prompt else permitted.resource(uri)).is_allowed
    if not is_known and not (uri and permitted.template(uri).is_allowed):
        raise _unknown(found, words.INVALID_PARAMS, f"Unknown reference: {prompt or uri:.200}")


def _narrow(permitted: Permitted, found: Inbound) -> None:
    """Leave the resources that the caller may read in what it wants to be told of."""
    try:
        wanted = _spans.decode(found.params.get("notifications", NULL))
        uris = msgspec.json.decode(wanted["resourceSubscriptions"], type=list[str]) if _names_resources(wanted) else []
    except msgspec.DecodeError:
        raise _unknown(found, words.INVALID_PARAMS, "notifications must be an object") from None
    if uris:
        kept = [uri for uri in uris if permitted.resource(uri).is_allowed]
        wanted["resourceSubscriptions"] = Raw(msgspec.json.encode(kept))
        found.params["notifications"] = Raw(msgspec.json.encode(wanted))


def _names_resources(wanted: Spans) -> bool:
    return bytes(wanted.get("resourceSubscriptions", NULL)) != b"null"


def result_of(message: bytes) -> tuple[Spans, Spans | None]:
    """A message and its result, None for an error. Raises ``Unreadable``."""
    try:
        top = _spans.decode(message)
        result = _spans.decode(top["result"]) if "result" in top else None
    except (msgspec.DecodeError, RecursionError):
        raise Unreadable from None
    return top, result


def with_result(top: Spans, result: object) -> bytes:
    """The message with another result."""
    return msgspec.json.encode({**top, "result": result})


def filtered(message: bytes, permitted: Permitted, drifted: Callable[[], None]) -> bytes:
    """A message with a list in it, without what this caller may not use. It is put together from what was read of it, so
    that it can't mean another list to another parser. ``drifted`` is told of a definition that isn't the one that was
    looked at. Raises ``Unreadable``.
    """
    top, result = result_of(message)
    if result is None:
        return message
    for key, (kind, name) in words.LISTS.items():
        if key in result:
            result[key] = _kept(result[key], kind, name, permitted, drifted)
    return with_result(top, own(result))


def own(result: Spans) -> Spans:
    """A result that is this caller's alone, whatever the upstream says: another one may not be allowed to have it (MCP
    2026-07-28: Caching).
    """
    return {**result, "cacheScope": PRIVATE} if "cacheScope" in result else result


def _kept(entries: Raw, kind: str, key: str, permitted: Permitted, drifted: Callable[[], None]) -> Raw:
    try:
        found = _list.decode(entries)
        named = [(_string.decode(_spans.decode(each)[key]), each) for each in found]
    except (msgspec.DecodeError, KeyError):
        raise Unreadable from None
    may = _asking(permitted, kind)
    allowed = [(name, each) for name, each in named if may(name)]
    kept = [each for name, each in allowed if is_as_pinned(permitted, kind, name, each)]
    if len(kept) < len(allowed):
        drifted()
    return Raw(msgspec.json.encode(kept)) if len(kept) < len(found) else entries


def _asking(permitted: Permitted, kind: str) -> Callable[[str], bool]:
    ask = {
        "tool": permitted.tool, "prompt": permitted.prompt, "resource": permitted.resource,
        "template": permitted.template,
    }[kind]  # fmt: skip
    return lambda name: ask(name).is_allowed


def is_as_pinned(permitted: Permitted, kind: str, name: str, definition: Raw) -> bool:
    """Whether an entry is what an administrator looked at: a changed one is held back (tool poisoning, rug pulls), and so
    is one that could be read in two ways.
    """
    pinned = permitted.definition(kind, name)
    if pinned is None or pinned.encode() == bytes(definition):
        return True
    try:
        return definitions.canonical(pinned) == definitions.canonical(bytes(definition).decode())
    except ValueError:
        return False


def introduced(message: bytes, upstream: Upstream) -> bytes:
    """The answer to ``initialize`` or ``server/discover`` with the org's instructions in place of the upstream's: they
    go into a model's prompt, and nobody here has looked at those; and with what it can do here. Raises ``Unreadable``.
    """
    top, result = result_of(message)
    if result is None:
        return message
    _ = result.pop("instructions", None)
    if upstream.instructions:
        result["instructions"] = Raw(msgspec.json.encode(upstream.instructions))
    if "capabilities" in result:
        result["capabilities"] = offered(upstream, result["capabilities"])
    return with_result(top, result)
