"""The tools of hosted servers, with what each does to records. Their definitions stand in the program that answers them,
so nothing is pinned: these names are enough to list, choose and refuse them.
"""

from gatelodge.core.definitions import Mark

READS: dict[str, Mark] = {
    "getObjectSchema": "read",
    "soqlQuery": "read",
    "find": "read",
    "getUserInfo": "read",
    "listRecentSobjectRecords": "read",
    "getRelatedRecords": "read",
}
WRITES: dict[str, Mark] = {
    "createSobjectRecord": "write",
    "updateSobjectRecord": "write",
    "updateRelatedRecord": "write",
}
DELETES: dict[str, Mark] = {"deleteSobjectRecord": "destructive", "deleteRelatedRecord": "destructive"}
TOOLS: dict[str, dict[str, Mark]] = {
    "sobject-reads": READS,
    "sobject-mutations": READS | WRITES,
    "sobject-deletes": READS | DELETES,
    "sobject-all": READS | WRITES | DELETES,
}
"""The marks of each variant's tools by name, in the order in which they are listed."""
PROMPTS: dict[str, tuple[str, ...]] = {"sobject-all": ("recordReview", "objectOverview")}
"""The names of each variant's prompts. They read nothing: they say how to use the tools."""
