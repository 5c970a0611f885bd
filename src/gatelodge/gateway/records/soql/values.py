"""Values as JSON has them, in the shape of the original's REST API."""

import datetime as dt
from typing import Any

from gatelodge.gateway.records.schema import SObject

MOST_ROWS = 2000
"""Records of one answer."""
VERSION = "v67.0"

Record = dict[str, Any]


def attributes(of: SObject, record_id: str) -> Record:
    """The beginning of every record: its type and the path that the original's REST API has for it."""
    return {"attributes": {"type": of.name, "url": f"/services/data/{VERSION}/sobjects/{of.name}/{record_id}"}}


def shown(value: Any, kind: str) -> Any:
    """A value as JSON has it: datetimes in the original's form, in UTC."""
    if isinstance(value, dt.datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S.000+0000")
    if isinstance(value, dt.date):
        return value.isoformat()
    return bool(value) if kind == "boolean" and value is not None else value
