"""The types of a database's columns: what each is in SOQL, how it is read and bound, and between which numbers it is."""

from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from gatelodge.gateway.records.schema import FieldType

MYSQL = ("mysql", "mariadb")
BITS = {mysql.TINYINT: 8, mysql.MEDIUMINT: 24}
LARGEST_REAL = 3.4028235e38


class Bits(sa.types.TypeDecorator[int]):
    """MySQL's BIT as the number that it is: its driver brings bytes."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        """The number, which MySQL takes."""
        return None if value is None else int(value)

    def process_result_value(self, value: Any, dialect: Any) -> Any:
        """The number in bytes."""
        return int.from_bytes(value, "big") if isinstance(value, bytes) else value


def type_of(dialect: str, native: Any) -> tuple[FieldType, Any, bool]:
    """SOQL's type for a column's, SQLAlchemy's type to read and bind it with, and whether it goes as text."""
    own = _mysqls_own(native) if dialect in MYSQL else None
    if own is not None:
        return *own, False
    match native:
        case sa.Enum():
            return "string", native if dialect == "postgresql" else sa.String(), dialect == "postgresql"
        case sa.Boolean():
            return "boolean", sa.Boolean(), False
        case sa.Integer():
            return "int", sa.BigInteger(), False
        case sa.Float():
            return "double", sa.Float(), False
        case sa.Numeric():
            return "double", sa.Float() if dialect == "sqlite" else sa.Numeric(), False
        case sa.DateTime():
            return "datetime", sa.DateTime(timezone=bool(native.timezone)), False
        case sa.Date():
            return "date", sa.Date(), False
        case sa.String():
            return "string", sa.String(), False
        case sa.LargeBinary() | sa.BINARY() | sa.VARBINARY():
            return "base64", sa.LargeBinary(), False
        case sa.Uuid() if dialect == "postgresql":
            return "string", sa.Uuid(as_uuid=False), True
    if dialect == "sqlite":
        return "string", sa.String(), False
    return "string", native, True


def _mysqls_own(native: Any) -> tuple[FieldType, Any] | None:
    """The same for what means another thing in MySQL than it says."""
    match native:
        case mysql.BIT():
            return "boolean" if native.length in (None, 1) else "int", Bits()
        case sa.Integer() if getattr(native, "display_width", None) == 1:
            return "boolean", sa.Boolean()
        case mysql.YEAR():
            return "int", sa.BigInteger()
    return None


def limits_of(dialect: str, native: Any) -> tuple[Any, Any]:
    """The least and the largest number that a column takes; None for none that is known."""
    if dialect == "sqlite":
        return None, None
    match native:
        case sa.Integer() if not isinstance(native, sa.BigInteger):
            bits = 16 if isinstance(native, sa.SmallInteger) else BITS.get(type(native), 32)
            is_unsigned = bool(getattr(native, "unsigned", False))
            return (0, 2**bits - 1) if is_unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        case sa.Integer() if getattr(native, "unsigned", False):
            return 0, None
        case sa.REAL():
            return -LARGEST_REAL, LARGEST_REAL
        case sa.Float():
            return None, None
        case sa.Numeric() if native.precision is not None:
            scale = native.scale or 0
            most = Decimal(10) ** (native.precision - scale) - Decimal(10) ** -scale
            return -most, most
    return None, None
