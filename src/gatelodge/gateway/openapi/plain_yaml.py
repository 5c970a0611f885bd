"""YAML as JSON with other clothes: no tags, no anchors, no dates, every key a text once (the JSON schema of YAML 1.2)."""

import importlib
import re
from typing import Any

yaml: Any = importlib.import_module("yaml")  # it has no types
NULL, YES = ("", "~", "null", "Null", "NULL"), ("true", "True", "TRUE")
NO = ("false", "False", "FALSE")
WHOLE = re.compile(r"[-+]?[0-9]{1,300}")
FRACTION = re.compile(r"[-+]?(\.[0-9]{1,300}|[0-9]{1,300}(\.[0-9]{0,300})?)([eE][-+]?[0-9]{1,3})?")
MOST_DEPTH = 100


class NotPlain(ValueError):
    """The text is no YAML, or one with things that JSON doesn't have; the message says which."""


def load(text: str) -> Any:
    """The value of the one document in the text. Raises ``NotPlain``."""
    try:
        events = yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        return _Reader(events).document()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        raise NotPlain(f"{where}{getattr(error, 'problem', None) or 'it can not be read'}"[:300]) from None


class _Reader:
    def __init__(self, events: Any) -> None:
        self._events = events

    def document(self) -> Any:
        """Between the start of the stream and its end stands one document."""
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                break
        else:
            raise NotPlain("it is empty")
        value = self._value(next(self._events), 0)
        _ = next(self._events)
        if not isinstance(next(self._events), yaml.StreamEndEvent):
            raise NotPlain("it holds several documents")
        return value

    def _value(self, event: Any, depth: int) -> Any:
        if depth > MOST_DEPTH:
            raise NotPlain(f"it is nested more than {MOST_DEPTH} deep")
        where = f"line {event.start_mark.line + 1}: "
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise NotPlain(f"{where}anchors and aliases are not read; write the value out, or as $ref")
        if getattr(event, "tag", None):
            raise NotPlain(f"{where}tags are not read")
        if isinstance(event, yaml.ScalarEvent):
            return _scalar(event.value) if event.implicit[0] else event.value
        if isinstance(event, yaml.SequenceStartEvent):
            found: list[Any] = []
            while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
                found.append(self._value(event, depth + 1))
            return found
        return self._mapping(depth)

    def _mapping(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while True:
            event: Any = next(self._events)
            if isinstance(event, yaml.MappingEndEvent):
                return found
            line = event.start_mark.line + 1
            if not isinstance(event, yaml.ScalarEvent):
                raise NotPlain(f"line {line}: a key must be a text")
            if event.value in found or event.value == "<<":
                raise NotPlain(f"line {line}: the key {event.value!r:.60} stands twice, or merges others")
            found[event.value] = self._value(next(self._events), depth + 1)


def _scalar(text: str) -> Any:
    if text in NULL:
        return None
    if text in YES or text in NO:
        return text in YES
    if WHOLE.fullmatch(text):
        return int(text)
    return float(text) if FRACTION.fullmatch(text) else text
