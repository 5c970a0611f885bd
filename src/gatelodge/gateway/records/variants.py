"""The four standard servers and their tools, in the original's order."""

from gatelodge.gateway.records.tool import Tool
from gatelodge.gateway.records.tools import TOOLS
from gatelodge.gateway.records.writes import CREATE, DELETE, DELETE_RELATED, UPDATE, UPDATE_RELATED

READS, MUTATIONS, DELETES, ALL = "sobject-reads", "sobject-mutations", "sobject-deletes", "sobject-all"
WRITES = (CREATE, UPDATE, UPDATE_RELATED)
TAKES = (DELETE, DELETE_RELATED)
VARIANTS: dict[str, tuple[Tool, ...]] = {
    READS: TOOLS,
    MUTATIONS: (*TOOLS, *WRITES),
    DELETES: (*TOOLS, *TAKES),
    ALL: (*TOOLS, *WRITES, *TAKES),
}
