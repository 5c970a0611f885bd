"""A field of Settings or Policies as everything else reads it: label, help, section, kind, default and choices.

The form, the command line, the docs and the metadata files are made from these; nothing spells a label twice.
"""

from typing import Any, Literal, cast

import msgspec

from gatelodge.core.errors import Refused
from gatelodge.words import _

Kind = Literal["text", "long", "choice", "flag", "list", "number"]


def option(
    label: str,
    *,
    section: str,
    help: str = "",
    choices: dict[str, str] | None = None,
    is_long: bool = False,
    unsafe: str = "",
    flag: str = "",
) -> msgspec.Meta:
    """The words of one field. ``choices`` maps each value to its label, in the order of the form; ``is_long``: a text of
    several lines; ``unsafe`` says why an MCP client should not have it, and is shown beside it; ``flag`` is that of the
    command line where it is shorter than the field's name.
    """
    extra = {"section": section, "choices": choices or {}, "is_long": is_long, "unsafe": unsafe, "flag": flag}
    return msgspec.Meta(title=label, description=help, extra=extra)


ON = frozenset({"on", "true", "yes", "1"})
OFF = frozenset({"off", "false", "no", "0", ""})
MOST_DIGITS = 9
"""More than any rule allows."""


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One field, as forms and commands show it. ``choices`` are (value, label)."""

    name: str
    label: str
    help: str
    section: str
    kind: Kind
    default: Any
    choices: tuple[tuple[str, str], ...] = ()
    unsafe: str = ""
    flag: str = ""


def fields_of(described: type[msgspec.Struct]) -> tuple[Field, ...]:
    """The fields of a class of options, in its order."""
    info = cast("msgspec.inspect.StructType", msgspec.inspect.type_info(described))
    return tuple(_field(each) for each in info.fields)


def from_text(field: Field, texts: tuple[str, ...]) -> Any:
    """What a person typed or chose for a field, as its value; a list has one text for each line, else the last counts.
    None sent is the default. Raises ``Refused`` for a text that its kind can't be.
    """
    if field.kind == "list":
        lines = (line.strip() for text in texts for line in text.splitlines())
        return tuple(dict.fromkeys(line for line in lines if line))
    if not texts:
        return field.default
    text = texts[-1].replace("\r\n", "\n").strip()
    match field.kind:
        case "flag":
            if text.lower() not in ON | OFF:
                raise Refused(
                    _("{label} is {text!r:.60}; it must be on or off.").format(label=_(field.label), text=text),
                    field.name,
                )
            return text.lower() in ON
        case "number":
            if not (text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS):
                raise Refused(_("{text!r:.60} is not a whole number.").format(text=text), field.name)
            return int(text)
        case "choice":
            if text not in dict(field.choices):
                allowed = ", ".join(value for value, _label in field.choices)
                raise Refused(
                    _("{text!r:.60} is not one of: {allowed}.").format(text=text, allowed=allowed), field.name
                )
            return text
        case _:
            return text


def _field(info: msgspec.inspect.Field) -> Field:
    described = cast("msgspec.inspect.Metadata", info.type)
    schema = cast("dict[str, str] | None", described.extra_json_schema) or {}  # pyright: ignore[reportUnknownMemberType]
    extra = cast("dict[str, Any] | None", described.extra) or {}  # pyright: ignore[reportUnknownMemberType]
    values = described.type.values if isinstance(described.type, msgspec.inspect.LiteralType) else ()
    labels: dict[str, str] = extra["choices"]
    in_order = sorted(map(str, values), key=[*labels, *values].index)  # msgspec has them by the alphabet
    return Field(
        name=info.name,
        label=schema.get("title", ""),
        help=schema.get("description", ""),
        section=extra["section"],
        kind=_kind(described.type, is_long=extra["is_long"]),
        default=info.default,
        choices=tuple((value, labels.get(value, value)) for value in in_order),
        unsafe=extra["unsafe"],
        flag=extra["flag"] or f"--{info.name.replace('_', '-')}",
    )


def _kind(bare: msgspec.inspect.Type, *, is_long: bool) -> Kind:
    match bare:
        case msgspec.inspect.LiteralType():
            return "choice"
        case msgspec.inspect.BoolType():
            return "flag"
        case msgspec.inspect.IntType():
            return "number"
        case msgspec.inspect.VarTupleType() | msgspec.inspect.UnionType():
            return "list"
        case _:
            return "long" if is_long else "text"
