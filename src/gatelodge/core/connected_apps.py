"""Connected Apps whose keys an org knows by import. They can't be used: the refusal says so, and says the way out."""

import re

import msgspec

from gatelodge.core.errors import Refused
from gatelodge.core.operation import Operation, execute, one
from gatelodge.words import _

KEY_SHAPE = re.compile(r"3MVG9[A-Za-z0-9._]{20,251}")
LONGEST_NAME = 255


class ConnectedApp(msgspec.Struct, frozen=True, kw_only=True):
    """A Connected App of the original: a name and a consumer key, nothing that could be used here."""

    org_id: str
    client_id: str
    name: str
    imported_at: int


def remember(imported: ConnectedApp) -> Operation[None]:
    """Know a Connected App's key from now on, or by a new name. Raises ``Refused`` for another shape."""
    if not KEY_SHAPE.fullmatch(imported.client_id):
        raise Refused(
            _("{client_id!r:.100} is no consumer key: it begins with 3MVG9").format(client_id=imported.client_id),
            "consumer_key",
        )
    if not 1 <= len(imported.name) <= LONGEST_NAME or not imported.name.isprintable():
        raise Refused(
            _("the name must have 1 to {longest_name} printable characters").format(longest_name=LONGEST_NAME), "name"
        )
    yield from execute(
        "INSERT INTO connected_apps (org_id, client_id, name, imported_at)"
        " VALUES (:org_id, :client_id, :name, :imported_at)"
        " ON CONFLICT (org_id, client_id) DO UPDATE SET name = excluded.name",
        **msgspec.structs.asdict(imported),
    )


def find(org_id: str, client_id: str) -> Operation[ConnectedApp | None]:
    """The Connected App with this consumer key, if the org knows one."""
    return (
        yield from one(
            "SELECT org_id, client_id, name, imported_at FROM connected_apps"
            " WHERE org_id = :org_id AND client_id = :client_id",
            ConnectedApp,
            org_id=org_id,
            client_id=client_id,
        )
    )
