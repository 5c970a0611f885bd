"""Text without its case, as each database says it: both sides of a comparison are folded by the same function."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class Lowered(FunctionElement[str]):
    """A text in lower case, of whatever letters."""

    name = "gatelodge_lower"
    type = sa.String()
    inherit_cache = True


class AsciiLowered(Lowered):
    """A text in lower case, where it is enough to know ASCII."""

    name = "gatelodge_ascii_lower"
    inherit_cache = True


def folded(text: Any, *compared_with: object) -> Any:
    """A text without its case, to be compared with these values, or (none given) to be sorted.

    SQLite's own lower() knows only ASCII. That is enough for values of ASCII alone, and much faster.
    """
    is_ascii = bool(compared_with) and all(isinstance(value, str) and value.isascii() for value in compared_with)
    return (AsciiLowered if is_ascii else Lowered)(text)


@compiles(Lowered)
def _anywhere(element: Lowered, compiler: Any, **options: Any) -> str:
    return f"lower({compiler.process(element.clauses, **options)})"


@compiles(Lowered, "sqlite")
def _in_sqlite(element: Lowered, compiler: Any, **options: Any) -> str:
    """``database`` gives each connection this function."""
    return f"gatelodge_lower({compiler.process(element.clauses, **options)})"


@compiles(AsciiLowered, "sqlite")
def _ascii_in_sqlite(element: AsciiLowered, compiler: Any, **options: Any) -> str:
    return f"lower({compiler.process(element.clauses, **options)})"


@compiles(Lowered, "mysql", "mariadb")
def _in_mysql(element: Lowered, compiler: Any, **options: Any) -> str:
    """Compared letter by letter: a column's own collation may take e for é."""
    return f"convert(lower({compiler.process(element.clauses, **options)}) using utf8mb4) collate utf8mb4_bin"
