"""Values as JSON has them, in the shape of the original's REST API."""

import base64
import datetime as dt
import math
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from gatelodge.gateway.records.schema import SObject

MOST_ROWS = 2000
"""Records of one answer."""
VERSION = "v67.0"

Record = dict[str, Any]


def attributes(of: SObject, record_id: str) -> Record:
    """The beginning of every record: its type and the path that the original's REST API has for it."""
    written = record_id if record_id.isalnum() and record_id.isascii() else quote(record_id, safe="")
    return {"attributes": {"type": of.name, "url": f"/services/data/{VERSION}/sobjects/{of.name}/{written}"}}


def shown(value: Any, kind: str) -> Any:
    """A value as JSON has it: datetimes in the original's form, in UTC; ids as text; bytes in base64."""
    if type(value) is str and kind != "boolean":  # most are
        return value
    match value:
        case None:
            return None
        case dt.datetime():
            at = value.astimezone(dt.UTC) if value.tzinfo else value
            return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03}+0000"
        case dt.date():
            return value.isoformat()
        case bytes() | memoryview():
            return base64.b64encode(value).decode()
        case float() | Decimal() if not math.isfinite(value):
            return None  # JSON has no word for it
        case float() | Decimal() if kind not in ("id", "reference"):
            return value
    if kind == "boolean":
        return bool(value)
    return str(value) if kind in ("id", "reference") else value
