"""The six read tools under the original's names: what they say of themselves, and what each does with its arguments."""

from typing import Any
from urllib.parse import unquote

from gatelodge.gateway.records.errors import INVALID_ARGUMENT, NOT_FOUND, RecordError
from gatelodge.gateway.records.finding import find
from gatelodge.gateway.records.schema import ID, Catalogue, Field, SObject
from gatelodge.gateway.records.soql.parsing import parse_search
from gatelodge.gateway.records.soql.running import run
from gatelodge.gateway.records.soql.tree import Comparison, Ordered, Path, Query, Selected
from gatelodge.gateway.records.soql.values import Record, shown
from gatelodge.gateway.records.tool import Tool, Work

MOST_RECENT = 2000
RECENT = 50
CHANGED = "LastModifiedDate"
MOST_STEPS = 5
MOST_NAMES = 100


def get_object_schema(work: Work, arguments: dict[str, Any]) -> Any:
    """Every object, or the fields and relationships of those named."""
    named = arguments.get("sobject-name") or ()
    names = [named] if isinstance(named, str) else list(named)
    if not names:
        return {"sobjects": [_headline(each) for each in work.catalogue.visible()]}
    if len(names) > MOST_NAMES:
        raise RecordError(INVALID_ARGUMENT, f"sobject-name takes at most {MOST_NAMES} names.")
    described = [_description(work.catalogue, work.catalogue.object(name)) for name in names]
    return described[0] if isinstance(named, str) else {"sobjects": described}


def _headline(of: SObject) -> dict[str, Any]:
    headline: dict[str, Any] = {"name": of.name, "label": of.label, "labelPlural": of.plural, "queryable": True}
    return headline | ({"description": of.description} if of.description else {})


def _description(catalogue: Catalogue, of: SObject) -> dict[str, Any]:
    return _headline(of) | {
        "fields": [_field(catalogue, field, of) for field in catalogue.fields(of)],
        "childRelationships": [
            {"childSObject": child.object.name, "field": child.field.name, "relationshipName": name}
            for name, child in catalogue.children(of)
        ],
    }


def _field(catalogue: Catalogue, field: Field, of: SObject) -> dict[str, Any]:
    described: dict[str, Any] = {"name": field.name, "label": field.label or field.name, "type": field.type}
    if field.description:
        described["description"] = field.description
    if field.length:
        described["length"] = field.length
    if field.values:
        described["picklistValues"] = list(field.values)
    if field.name == of.name_field:
        described["nameField"] = True
    if field.parent and catalogue.access.can_read(field.parent):
        described |= {"referenceTo": [field.parent], "relationshipName": field.relationship}
    return described


def soql_query(work: Work, arguments: dict[str, Any]) -> Any:
    """Run a query."""
    return work.planned(work.catalogue, arguments["q"], work.today).answer(work.connection)


def search(work: Work, arguments: dict[str, Any]) -> Any:
    """Look words up."""
    return find(work.connection, work.catalogue, parse_search(arguments["q"]), work.today)


def get_user_info(work: Work, arguments: dict[str, Any]) -> Any:
    """Who is signed in here."""
    caller = work.caller
    return {
        "id": caller.user_id,
        "username": caller.username,
        "name": caller.user_label,
        "email": caller.email,
        "timeZone": caller.time_zone,
        "utcTime": shown(work.now, "datetime"),
        "organizationId": caller.org_id,
        "permissionSets": [each.label for each in caller.access.sets],
    }


def list_recent(work: Work, arguments: dict[str, Any]) -> Any:
    """The records of an object that changed last."""
    of = work.catalogue.object(arguments["sobject-name"])
    is_dated = any(field.name == CHANGED for field in work.catalogue.fields(of))
    query = Query(
        selected=_all_fields(work.catalogue, of),
        source=of.name,
        order=(Ordered(Path((CHANGED,)), is_descending=True, nulls_first=False),) if is_dated else (),
        limit=arguments.get("limit", RECENT),
    )
    return {
        "objectDescribe": _headline(of),
        "recentItems": run(work.connection, work.catalogue, query, work.today)["records"],
    }


def get_related(work: Work, arguments: dict[str, Any]) -> Any:
    """Follow relationships from one record, up to parents and at last down to children."""
    of, record_id = work.catalogue.object(arguments["sobject-name"]), arguments["id"]
    steps = [step for step in arguments["relationship-path"].replace(".", "/").split("/") if step]
    if not 1 <= len(steps) <= MOST_STEPS:
        raise RecordError(
            INVALID_ARGUMENT, f"relationship-path must name 1 to {MOST_STEPS} relationships, parted by /."
        )
    record = one(work, of, ID, record_id)
    for step in steps[:-1]:
        of, record = up(work, of, record, step)
    return _last(work, of, record, steps[-1])


def _last(work: Work, of: SObject, record: Record, step: str) -> Any:
    if step.lower() in (name.lower() for name, _ in work.catalogue.children(of)):
        child = work.catalogue.child(of, step)
        value = record_value(work, of, record, child.field.target)
        query = Query(
            selected=_all_fields(work.catalogue, child.object),
            source=child.object.name,
            where=Comparison(Path((child.field.name,)), "=", value),
        )
        return run(work.connection, work.catalogue, query, work.today)
    return up(work, of, record, step)[1]


def record_value(work: Work, of: SObject, record: Record, field: str) -> Any:
    """The value of a field that leads to another object. Raises ``RecordError`` (NOT_FOUND) for none."""
    if field == ID:
        return unquote(record["attributes"]["url"].rpartition("/")[2])
    if record.get(field) is None:
        raise RecordError(NOT_FOUND, f"this {of.name} has no {field}, or you may not see it.")
    return record[field]


def up(work: Work, of: SObject, record: Record, step: str) -> tuple[SObject, Record]:
    """The parent of a record, as far as the user sees it. Raises ``RecordError``."""
    reference, parent = work.catalogue.parent(of, step)
    value = record_value(work, of, record, reference.name) if reference.name == ID else record.get(reference.name)
    if value is None:
        raise RecordError(NOT_FOUND, f"this {of.name} has no {reference.relationship}.")
    return parent, one(work, parent, reference.target, value)


def one(work: Work, of: SObject, field: str, value: Any) -> Record:
    """The record whose field has this value, with all that the user sees of it. Raises ``RecordError`` (NOT_FOUND)."""
    query = Query(
        selected=_all_fields(work.catalogue, of), source=of.name, where=Comparison(Path((field,)), "=", value)
    )
    found = run(work.connection, work.catalogue, query, work.today)["records"]
    if not found:
        raise RecordError(NOT_FOUND, f"there is no {of.name} with the id {value!s:.40}, or you may not see it.")
    return found[0]


def _all_fields(catalogue: Catalogue, of: SObject) -> tuple[Selected, ...]:
    return tuple(Selected(Path((field.name,))) for field in catalogue.fields(of))


OBJECT = {"type": "string", "description": "The API name of an object, for example Account."}
OBJECT_ALIASES: dict[str, str] = dict.fromkeys(
    ("object-name", "objects", "sobject", "object", "sObject", "sobjectName"), "sobject-name"
)

TOOLS = (
    Tool(
        name="getObjectSchema",
        title="Get Object Schema",
        description="Lists the objects that you may query; with sobject-name, the fields and relationships of that"
        " object (or of several). Ask this before writing a query.",
        arguments={
            "sobject-name": {
                "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
                "description": "An object's API name, or a list of them. Left out: all objects.",
            }
        },
        aliases=OBJECT_ALIASES,
        run=get_object_schema,
    ),
    Tool(
        name="soqlQuery",
        title="SOQL Query",
        description="Runs a SOQL query as you and answers with totalSize, done and records. Example: SELECT Id, Name,"
        " Owner.Name FROM Account WHERE Industry = 'Energy' ORDER BY Name LIMIT 20",
        arguments={"q": {"type": "string", "description": "The SOQL query.", "maxLength": 20_000}},
        required=("q",),
        aliases={"query": "q", "soql": "q"},
        run=soql_query,
    ),
    Tool(
        name="find",
        title="Find",
        description="Searches the text of records. Give words, or SOSL: FIND {acme} IN NAME FIELDS RETURNING"
        " Account(Id, Name), Contact LIMIT 20",
        arguments={"q": {"type": "string", "description": "Words, or a SOSL search.", "maxLength": 20_000}},
        required=("q",),
        aliases={"search": "q", "query": "q", "sosl": "q"},
        run=search,
    ),
    Tool(
        name="getUserInfo",
        title="Get User Info",
        description="Tells who you are signed in as: id, name, e-mail, time zone and permission sets.",
        arguments={},
        run=get_user_info,
    ),
    Tool(
        name="listRecentSobjectRecords",
        title="List Recent Records",
        description="Lists the records of an object that were changed last.",
        arguments={
            "sobject-name": OBJECT,
            "limit": {"type": "integer", "minimum": 1, "maximum": MOST_RECENT, "description": "How many. Default 50."},
        },
        required=("sobject-name",),
        aliases=OBJECT_ALIASES,
        run=list_recent,
    ),
    Tool(
        name="getRelatedRecords",
        title="Get Related Records",
        description="Follows a relationship of one record, for example Contacts or Owner of an Account; several are"
        " parted by /.",
        arguments={
            "sobject-name": OBJECT,
            "id": {"type": "string", "description": "The record's id."},
            "relationship-path": {"type": "string", "description": "For example Contacts, Owner, or Account/Owner."},
        },
        required=("sobject-name", "id", "relationship-path"),
        aliases=OBJECT_ALIASES
        | {"relationshipPath": "relationship-path", "relationship": "relationship-path"}
        | {"recordId": "id", "record-id": "id"},
        run=get_related,
    ),
)
BY_NAME = {tool.name: tool for tool in TOOLS}
