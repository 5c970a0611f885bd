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
TOOLS: dict[str, dict[str, Mark]] = {"sobject-reads": READS}
"""The marks of each variant's tools by name, in the order in which they are listed."""
