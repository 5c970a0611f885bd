"""What an administrator calls the tables and columns of a database: labels and API names, kept with the server.

Written as TOML or JSON: ``[objects.order_items]`` names a table or view as the database does, with ``name``, ``label``,
``plural``, ``name_field``, ``key`` (for what has no primary key), ``hidden``; ``[objects.order_items.fields.qty]`` a column.
"""

import re
import tomllib

import msgspec

from gatelodge.core.errors import Refused
from gatelodge.words import _

LARGEST = 256 * 1024
NAME = re.compile(r"(?!FROM$)[A-Za-z][A-Za-z0-9_]{0,79}", re.IGNORECASE)


class FieldWords(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is said of one column."""

    name: str = ""
    label: str = ""
    hidden: bool = False


class ObjectWords(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is said of one table or view, by the columns' own names."""

    name: str = ""
    label: str = ""
    plural: str = ""
    name_field: str = ""
    key: tuple[str, ...] = ()
    hidden: bool = False
    fields: dict[str, FieldWords] = {}


class Mapping(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole of it. ``schema`` is the one of PostgreSQL that is read; "" for the connection's own."""

    schema: str = ""
    objects: dict[str, ObjectWords] = {}


def parse(text: str) -> Mapping:
    """A mapping from TOML or JSON. Raises ``Refused`` ("mapping") that says where and what."""
    if len(text) > LARGEST:
        raise Refused(
            _("the mapping has {n} characters; at most {largest} are allowed").format(n=len(text), largest=LARGEST),
            "mapping",
        )
    try:
        if text.lstrip().startswith("{"):
            made = msgspec.json.decode(text, type=Mapping)
        else:
            made = msgspec.convert(tomllib.loads(text), Mapping)
    except (msgspec.MsgspecError, tomllib.TOMLDecodeError) as error:
        raise Refused(_("the mapping can't be read: {error}").format(error=error), "mapping") from None
    for table, words in made.objects.items():
        named = [(table, words.name), *((f"{table}.{column}", each.name) for column, each in words.fields.items())]
        for whose, name in named:
            if name and not NAME.fullmatch(name):
                raise Refused(
                    _(
                        "{whose:.120} can't be called {name!r:.90}: an API name is of letters, digits and _, begins with"
                        " a letter and isn't FROM"
                    ).format(whose=whose, name=name),
                    "mapping",
                )
    return made


def written(mapping: Mapping) -> str:
    """The mapping as it is kept."""
    return msgspec.json.encode(mapping).decode()
