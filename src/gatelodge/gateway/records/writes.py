"""The five tools that write, under the original's names."""

from typing import Any

from gatelodge.gateway.records import writing
from gatelodge.gateway.records.errors import INVALID_ARGUMENT, RecordError
from gatelodge.gateway.records.schema import ID, SObject
from gatelodge.gateway.records.tool import Tool, Work
from gatelodge.gateway.records.tools import MOST_STEPS, OBJECT, OBJECT_ALIASES, one, record_value, up

RECORD_ALIASES = OBJECT_ALIASES | {"recordId": "id", "record-id": "id"}
BODY_ALIASES = {"fields": "body", "record": "body", "data": "body"}
PATH_ALIASES = {"relationshipPath": "relationship-path", "relationship": "relationship-path"}
ID_ARGUMENT = {"type": "string", "description": "The record's id."}
BODY = {"type": "object", "description": 'Fields by API name and their values, for example {"Name": "Acme"}.'}
PATH = {
    "type": "string",
    "description": "Relationships up to one parent, parted by /, for example Account or Account/Owner.",
}
SINCE = {
    "type": "string",
    "description": "Change it only if LastModifiedDate (or the table's own such field) still has this value, as it was read.",
}


def create_record(work: Work, arguments: dict[str, Any]) -> Any:
    """Make a record."""
    of = work.catalogue.object(arguments["sobject-name"])
    return {"id": writing.create(work, of, arguments["body"]), "success": True, "errors": []}


def update_record(work: Work, arguments: dict[str, Any]) -> Any:
    """Change a record."""
    of = work.catalogue.object(arguments["sobject-name"])
    return _updated(work, of, arguments["id"], arguments)


def update_related(work: Work, arguments: dict[str, Any]) -> Any:
    """Change the parent that a path leads to."""
    of, record_id = _led_to(work, arguments)
    return _updated(work, of, record_id, arguments)


def delete_record(work: Work, arguments: dict[str, Any]) -> Any:
    """Delete a record."""
    of = work.catalogue.object(arguments["sobject-name"])
    return _deleted(work, of, arguments["id"])


def delete_related(work: Work, arguments: dict[str, Any]) -> Any:
    """Delete the parent that a path leads to."""
    of, record_id = _led_to(work, arguments)
    return _deleted(work, of, record_id)


def _updated(work: Work, of: SObject, record_id: str, arguments: dict[str, Any]) -> Any:
    writing.update(work, of, record_id, arguments["body"], arguments.get("if-unmodified-since", ""))
    return {"id": record_id, "success": True, "errors": []}


def _deleted(work: Work, of: SObject, record_id: str) -> Any:
    writing.delete(work, of, record_id)
    return {"id": record_id, "success": True, "errors": []}


def _led_to(work: Work, arguments: dict[str, Any]) -> tuple[SObject, str]:
    """The one record at the end of a path of parents. Raises ``RecordError``."""
    of = work.catalogue.object(arguments["sobject-name"])
    steps = [step for step in arguments["relationship-path"].replace(".", "/").split("/") if step]
    if not 1 <= len(steps) <= MOST_STEPS:
        raise RecordError(
            INVALID_ARGUMENT, f"relationship-path must name 1 to {MOST_STEPS} relationships, parted by /."
        )
    record = one(work, of, ID, arguments["id"])
    for step in steps:
        if step.lower() in (name.lower() for name, _ in work.catalogue.children(of)):
            raise RecordError(
                INVALID_ARGUMENT, f"{step:.80} leads to many records; name each by its own id, with updateSobjectRecord or"
                " deleteSobjectRecord.",
            )  # fmt: skip
        of, record = up(work, of, record, step)
    return of, record_value(work, of, record, ID)


CREATE = Tool(
    name="createSobjectRecord",
    title="Create Record",
    description="Makes a record as you and answers its id. Ask getObjectSchema for the fields first.",
    arguments={"sobject-name": OBJECT, "body": BODY},
    required=("sobject-name", "body"),
    mark="write",
    aliases=OBJECT_ALIASES | BODY_ALIASES,
    run=create_record,
)
UPDATE = Tool(
    name="updateSobjectRecord",
    title="Update Record",
    description="Changes fields of one record as you; fields that you leave out stay as they are.",
    arguments={"sobject-name": OBJECT, "id": ID_ARGUMENT, "body": BODY, "if-unmodified-since": SINCE},
    required=("sobject-name", "id", "body"),
    mark="write",
    aliases=RECORD_ALIASES | BODY_ALIASES,
    run=update_record,
)
UPDATE_RELATED = Tool(
    name="updateRelatedRecord",
    title="Update Related Record",
    description="Changes fields of the parent that a relationship of one record leads to, for example Account of a Contact.",
    arguments={
        "sobject-name": OBJECT, "id": ID_ARGUMENT, "relationship-path": PATH, "body": BODY, "if-unmodified-since": SINCE,
    },
    required=("sobject-name", "id", "relationship-path", "body"),
    mark="write",
    aliases=RECORD_ALIASES | BODY_ALIASES | PATH_ALIASES,
    run=update_related,
)  # fmt: skip
DELETE = Tool(
    name="deleteSobjectRecord",
    title="Delete Record",
    description="Deletes one record as you. There is no way back.",
    arguments={"sobject-name": OBJECT, "id": ID_ARGUMENT},
    required=("sobject-name", "id"),
    mark="destructive",
    aliases=RECORD_ALIASES,
    run=delete_record,
)
DELETE_RELATED = Tool(
    name="deleteRelatedRecord",
    title="Delete Related Record",
    description="Deletes the parent that a relationship of one record leads to. There is no way back.",
    arguments={"sobject-name": OBJECT, "id": ID_ARGUMENT, "relationship-path": PATH},
    required=("sobject-name", "id", "relationship-path"),
    mark="destructive",
    aliases=RECORD_ALIASES | PATH_ALIASES,
    run=delete_related,
)
