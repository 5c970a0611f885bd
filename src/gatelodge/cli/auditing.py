"""The verbs of what is written down: check it, hand it out, and give its heads to be kept elsewhere."""

from typing import Any

import msgspec

from gatelodge.cli.verb import Verb
from gatelodge.core import audit, calls
from gatelodge.core.errors import Refused
from gatelodge.core.orgs import Org
from gatelodge.web import chain_check
from gatelodge.web.chain_check import SignedHeads
from gatelodge.web.site import Site

A_BATCH = 250
"""Rows of one answer."""


async def verify(site: Site, org: Org, arguments: dict[str, Any]) -> object:
    """Check both chains of the org. ``head`` is the content of an exported file, "" for none. Raises ``Refused``."""
    kept = None
    if arguments["head"]:
        try:
            kept = msgspec.json.decode(arguments["head"], type=SignedHeads).kept
        except msgspec.DecodeError as error:
            raise Refused(f"--head isn't what gatelodge audit head prints with --json: {error}", "head") from None
        if kept.org_id != org.id:
            raise Refused(f"--head is of the org {kept.org_id} ({kept.iss}), not of {org.id}", "head")
    return [
        {
            "chain": each.name,
            "state": "whole" if each.is_whole else "broken",
            "rows": each.rows,
            "head": each.seq,
            "hash": each.hash,
            "problems": each.problems,
        }
        for each in await chain_check.verify(site, org, kept)
    ]


async def export(site: Site, org: Org, arguments: dict[str, Any]) -> object:
    """The rows after a number, in their order, a batch of them."""
    read = calls.after if arguments["calls"] else audit.after
    return [msgspec.to_builtins(each) for each in await site.store.read(read, org.id, arguments["after"], A_BATCH)]


async def head(site: Site, org: Org, arguments: dict[str, Any]) -> object:
    """The heads of both chains, sealed and signed."""
    return msgspec.to_builtins(await chain_check.export(site, org))


VERBS: dict[str, Verb] = {"audit verify": verify, "audit export": export, "audit head": head}
