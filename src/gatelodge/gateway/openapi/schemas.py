"""Schemas of OpenAPI documents as JSON Schema 2020-12, with all that they refer to beside them under ``$defs``.

Only keywords that are known come along, each with a value of its own shape: what is made can be checked against without
surprises, and references that go round stay references.
"""

import re
from collections.abc import Callable
from typing import Any, cast

from gatelodge.gateway.openapi.document import Document, Object, Unsupported
from gatelodge.words import _

TYPES = ("null", "boolean", "object", "array", "number", "string", "integer")
ONE = ("additionalProperties", "not", "items", "contains", "propertyNames", "if", "then", "else",
       "unevaluatedItems", "unevaluatedProperties")  # fmt: skip
SEVERAL = ("allOf", "anyOf", "oneOf", "prefixItems")
BY_NAME = ("properties", "dependentSchemas")
IN_PLACE = ("not", "if", "then", "else", "allOf", "anyOf", "oneOf", "dependentSchemas")
"""Keywords whose schemas see the same value: a circle of these would never end."""
MOST_DEPTH = 60
MOST_DEFS = 500
NO_NAME = re.compile(r"[^A-Za-z0-9_.-]")


def is_number(value: object) -> bool:
    """A JSON number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _is_list(value: object) -> bool:
    return isinstance(value, list)


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in cast("list[Any]", value))


def _are_types(value: object) -> bool:
    listed = cast("list[Any]", value if isinstance(value, list) else [value])
    return bool(listed) and len(set(map(str, listed))) == len(listed) and all(each in TYPES for each in listed)


def _is_anything(value: object) -> bool:
    return True


def _depends(value: object) -> bool:
    return isinstance(value, dict) and all(map(_are_texts, cast("Object", value).values()))


def _divides(value: object) -> bool:
    return is_number(value) and cast("float", value) > 0


PLAIN: dict[str, Callable[[object], bool]] = {
    "type": _are_types,
    "title": _is_text,
    "description": _is_text,
    "enum": _is_list,
    "const": _is_anything,
    "default": _is_anything,
    "examples": _is_list,
    "format": _is_text,
    "pattern": _is_text,
    "minimum": is_number,
    "maximum": is_number,
    "exclusiveMinimum": is_number,
    "exclusiveMaximum": is_number,
    "multipleOf": _divides,
    "minLength": _is_count,
    "maxLength": _is_count,
    "minItems": _is_count,
    "maxItems": _is_count,
    "minContains": _is_count,
    "maxContains": _is_count,
    "minProperties": _is_count,
    "maxProperties": _is_count,
    "uniqueItems": _is_flag,
    "required": _are_texts,
    "dependentRequired": _depends,
    "deprecated": _is_flag,
}
"""Keywords that hold no schemas, each with the shape of its value."""


class Schemas:
    """The schemas of one side of one operation. ``without`` is the flag of properties that don't belong to that side:
    ``readOnly`` ones are not sent, ``writeOnly`` ones not answered.
    """

    def __init__(self, document: Document, *, without: str) -> None:
        self._document, self._without = document, without
        self._names: dict[str, str] = {}
        self._waiting: list[str] = []

    def convert(self, node: object, depth: int = 0) -> Any:
        """One schema. Raises ``Unsupported``."""
        self._document.step()
        if depth > MOST_DEPTH:
            raise Unsupported(
                _("has a schema that is nested more than {most_depth} deep").format(most_depth=MOST_DEPTH)
            )
        if isinstance(node, bool):
            return node
        if not isinstance(node, dict):
            raise Unsupported(_("has a schema that is no object"))
        given = cast("Object", node)
        made = self._reference(given)
        if made and self._document.is_3_0:
            return made  # what stands beside a reference counts for nothing (OpenAPI 3.0.4 §4.8.23)
        given = _of_3_0(given) if self._document.is_3_0 else given
        for name, value in given.items():
            if name in PLAIN:
                if not PLAIN[name](value):
                    raise Unsupported(_("has a schema with {name} {value!r:.60}").format(name=name, value=value))
                made[name] = value
            elif name in ONE:
                made[name] = self.convert(value, depth + 1)
            elif name in SEVERAL:
                made[name] = [self.convert(each, depth + 1) for each in _listed(name, value)]
            elif name in BY_NAME:
                made[name] = {key: self.convert(each, depth + 1) for key, each in _named(name, value).items()}
        self._leave_out(given, made)
        if "patternProperties" in given:
            # Expressions that others wrote are not run here: what they would allow is left to the API.
            _dropped = made.pop("additionalProperties", None), made.pop("unevaluatedProperties", None)
        return _nullable(made) if self._document.is_3_0 and given.get("nullable") is True else made

    def _reference(self, given: Object) -> Object:
        if "$ref" not in given:
            return {}
        reference = given["$ref"]
        if not isinstance(reference, str) or reference not in self._names:
            _found = self._document.at(reference)
            if len(self._names) >= MOST_DEFS:
                raise Unsupported(_("refers to more than {most_defs} schemas").format(most_defs=MOST_DEFS))
            base = NO_NAME.sub("_", str(reference).rpartition("/")[2])[:60] or "schema"
            taken, n, name = set(self._names.values()), 2, base
            while name in taken:
                name, n = f"{base}_{n}", n + 1
            self._names[reference] = name
            self._waiting.append(reference)
        return {"$ref": f"#/$defs/{self._names[reference]}"}

    def _leave_out(self, given: Object, made: Object) -> None:
        """Without the properties of the other side."""
        for name, each in cast("Object", given.get("properties") or {}).items():
            if self.is_left_out(each):
                del made["properties"][name]
                if name in made.get("required", ()):
                    made["required"] = [other for other in made["required"] if other != name]

    def is_left_out(self, node: object) -> bool:
        """Whether a property belongs to the other side alone."""
        if isinstance(node, dict) and "$ref" in node:
            node = self._document.at(cast("Object", node)["$ref"])
        return isinstance(node, dict) and cast("Object", node).get(self._without) is True

    def defs(self) -> Object:
        """All that was referred to, by name. Raises ``Unsupported``, also for what goes round without an end."""
        made: Object = {}
        while self._waiting:
            reference = self._waiting.pop()
            made[self._names[reference]] = self.convert(self._document.at(reference))
        _check_ends(made)
        return {name: made[name] for name in self._names.values()}


def _listed(name: str, value: object) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise Unsupported(_("has a schema with {name} that is no list").format(name=name))
    return cast("list[Any]", value)


def _named(name: str, value: object) -> Object:
    if not isinstance(value, dict):
        raise Unsupported(_("has a schema with {name} that is no object").format(name=name))
    return cast("Object", value)


def _of_3_0(given: Object) -> Object:
    """A schema of 3.0 in the words of 2020-12 (OpenAPI 3.0.4 §4.8.24)."""
    made = dict(given)
    for exclusive, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        flag = made.get(exclusive)
        if isinstance(flag, bool):
            del made[exclusive]
            if flag and bound in made:
                made[exclusive] = made.pop(bound)
    if "example" in made:
        made["examples"] = [made.pop("example")]
    return made


def _nullable(made: Object) -> Object:
    if isinstance(made.get("type"), str) and not any(name in made for name in ("allOf", "anyOf", "oneOf")):
        made["type"] = [made["type"], "null"]
        if "enum" in made and None not in made["enum"]:
            made["enum"] = [*made["enum"], None]
        return made
    return {"anyOf": [made, {"type": "null"}]}


def _check_ends(defs: Object) -> None:
    """Raises ``Unsupported`` where a reference leads back to itself for the same value."""
    state: dict[str, int] = {}
    for start in defs:
        stack = [(start, iter(_seen_in_place(defs[start])))] if start not in state else []
        state.setdefault(start, 1)
        while stack:
            name, following = stack[-1]
            onward = next(following, None)
            if onward is None:
                state[name] = 2
                _last = stack.pop()
            elif state.get(onward) == 1:
                raise Unsupported(_("has a schema {onward!r:.60} that is made of itself").format(onward=onward))
            elif onward not in state:
                state[onward] = 1
                stack.append((onward, iter(_seen_in_place(defs[onward]))))


def _seen_in_place(schema: Any) -> list[str]:
    """The names of the definitions that see the same value as this schema."""
    if not isinstance(schema, dict):
        return []
    found = cast("Object", schema)
    names = [str(found["$ref"]).rpartition("/")[2]] if "$ref" in found else []
    for keyword in IN_PLACE:
        below = found.get(keyword)
        several: list[Any] = below if isinstance(below, list) else [below]
        if keyword == "dependentSchemas" and isinstance(below, dict):
            several = list(cast("Object", below).values())
        for each in several:
            names += _seen_in_place(each)
    return names
