"""A field of Settings or Policies as everything else reads it: label, help, section, kind, default and choices.

The form, the command line, the docs and the metadata files are made from these; nothing spells a label twice.
"""

from typing import Any, Literal, cast

import msgspec

Kind = Literal["text", "long", "choice", "flag", "list", "number"]


def option(
    label: str,
    *,
    section: str,
    help: str = "",
    choices: dict[str, str] | None = None,
    is_long: bool = False,
    unsafe: str = "",
) -> msgspec.Meta:
    """The words of one field. ``choices`` maps each value to its label; ``is_long``: a text of several lines;
    ``unsafe`` says why an MCP client should not have it, and is shown beside it.
    """
    extra = {"section": section, "choices": choices or {}, "is_long": is_long, "unsafe": unsafe}
    return msgspec.Meta(title=label, description=help, extra=extra)


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


def fields_of(described: type[msgspec.Struct]) -> tuple[Field, ...]:
    """The fields of a class of options, in its order."""
    info = cast("msgspec.inspect.StructType", msgspec.inspect.type_info(described))
    return tuple(_field(each) for each in info.fields)


def _field(info: msgspec.inspect.Field) -> Field:
    described = cast("msgspec.inspect.Metadata", info.type)
    schema = cast("dict[str, str] | None", described.extra_json_schema) or {}  # pyright: ignore[reportUnknownMemberType]
    extra = cast("dict[str, Any] | None", described.extra) or {}  # pyright: ignore[reportUnknownMemberType]
    values = described.type.values if isinstance(described.type, msgspec.inspect.LiteralType) else ()
    labels: dict[str, str] = extra["choices"]
    return Field(
        name=info.name,
        label=schema.get("title", ""),
        help=schema.get("description", ""),
        section=extra["section"],
        kind=_kind(described.type, is_long=extra["is_long"]),
        default=info.default,
        choices=tuple((str(value), labels.get(str(value), str(value))) for value in values),
        unsafe=extra["unsafe"],
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
