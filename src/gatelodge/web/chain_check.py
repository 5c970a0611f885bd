"""Checking what is written down: the chains of an org from their first row to their head, beside all that goes on."""

import asyncio

import msgspec

from gatelodge.core import audit, calls, chains, tokens
from gatelodge.core.chains import Check, Head
from gatelodge.core.orgs import Org
from gatelodge.web.site import Site
from gatelodge.words import _

PURGED = {chains.AUDIT: "audit:events:purge", chains.CALLS: "calls:records:purge"}
SIGNED_TYPE = "gatelodge-heads+jwt"
OWNERS = {chains.AUDIT: audit.check, chains.CALLS: calls.check}


class KeptHead(msgspec.Struct, frozen=True, kw_only=True):
    """A chain's head as it was exported; ``seal`` is our MAC over it."""

    seq: int
    hash: str
    seal: str


class KeptHeads(msgspec.Struct, frozen=True, kw_only=True):
    """The heads of an org's chains at a time (epoch ms), to be kept where nobody of the org can write."""

    iss: str
    org_id: str
    at: int
    heads: dict[str, KeptHead]


class SignedHeads(msgspec.Struct, frozen=True, kw_only=True):
    """The same with a JWS over it by the org's signing key, for those who don't have the master key."""

    kept: KeptHeads
    signature: str


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a check of one chain has found. ``first`` is the number of the first row that is there."""

    name: str
    rows: int
    first: int
    seq: int
    hash: str
    problems: list[str]

    @property
    def is_whole(self) -> bool:
        """Whether nothing was changed, removed, added or moved."""
        return not self.problems


class Checked(msgspec.Struct, frozen=True):
    """The last check on this node: when (epoch seconds), and what it found."""

    at: int
    verdicts: list[Verdict]

    @property
    def is_whole(self) -> bool:
        """Whether both chains were."""
        return all(each.is_whole for each in self.verdicts)


async def export(site: Site, org: Org) -> SignedHeads:
    """The heads of the org's chains as they are now, sealed and signed."""
    heads: dict[str, KeptHead] = {}
    for name in chains.NAMES:
        head = await site.store.read(chains.find, org.id, name) or _empty(org.id, name)
        heads[name] = KeptHead(seq=head.seq, hash=head.hash, seal=chains.sealed(site.ring, head))
    kept = KeptHeads(iss=org.issuer, org_id=org.id, at=site.clock.now_ms(), heads=heads)
    signer = (await site.live.keys(org.id)).signer
    return SignedHeads(
        kept=kept, signature=tokens.sign(signer.key, signer.algorithm, signer.kid, kept, type=SIGNED_TYPE)
    )


async def verify(site: Site, org: Org, kept: KeptHeads | None = None) -> list[Verdict]:
    """Go along both chains of the org; ``kept``: they must still have these heads in them."""
    return [await _verify(site, org, name, kept) for name in chains.NAMES]


async def _verify(site: Site, org: Org, name: str, kept: KeptHeads | None) -> Verdict:
    head = await site.store.read(chains.find, org.id, name) or _empty(org.id, name)
    walk = Check(name, head.first_seq, head.first_hash, until=head.seq)
    walk.watch(head.sealed_seq)
    exported = kept.heads.get(name) if kept else None
    if exported:
        walk.watch(exported.seq)
    is_more = True
    while is_more:
        is_more = await site.store.read(OWNERS[name], walk, org.id)
        await asyncio.sleep(0)
    walk.end(head)
    await _look_behind(site, org, walk, head)
    await _look_at_the_beginning(site, org, walk, head)
    _look_at_the_seal(site, walk, head)
    if exported:
        _look_at(site, walk, head, exported)
    return Verdict(
        name=name, rows=walk.rows, first=head.first_seq + 1, seq=head.seq, hash=head.hash, problems=walk.problems
    )


async def _look_behind(site: Site, org: Org, walk: Check, head: Head) -> None:
    """Rows beyond the head were added by nobody of ours; those that came during the walk have moved the head."""
    beyond = Check(walk.name, head.seq, head.hash)
    _found = await site.store.read(OWNERS[walk.name], beyond, org.id)
    now = await site.store.read(chains.find, org.id, walk.name)
    if beyond.seq > (now.seq if now else 0):
        walk.found(_("rows after row {seq} of the {name}, its head, were added").format(seq=head.seq, name=walk.name))


async def _look_at_the_beginning(site: Site, org: Org, walk: Check, head: Head) -> None:
    if not head.first_hash:
        if head.first_seq and walk.name == chains.CALLS:
            walk.found(
                _("the calls begin after row {first_seq}, and nothing says that the rows before were purged").format(
                    first_seq=head.first_seq
                )
            )
        return
    told = await site.store.read(audit.newest, org.id, PURGED[walk.name], walk.name)
    said = told.told() if told else {}
    if (said.get("through"), said.get("hash")) != (head.first_seq, head.first_hash):
        walk.found(
            _(
                "the {name} begins after row {first_seq}, and the audit knows of no purge up to there: the"
                " beginning was cut off"
            ).format(name=walk.name, first_seq=head.first_seq)
        )


def _look_at_the_seal(site: Site, walk: Check, head: Head) -> None:
    if head.sealed_seq > head.seq:
        walk.found(
            _("row {sealed_seq} of the {name} was sealed, and its head is row {seq}: it was cut").format(
                sealed_seq=head.sealed_seq, name=walk.name, seq=head.seq
            )
        )
    elif head.sealed_seq > head.first_seq and not chains.is_sealed(
        site.ring, head.org_id, head.name, head.sealed_seq, walk.seen[head.sealed_seq], head.seal
    ):
        walk.found(
            _("row {sealed_seq} of the {name} isn't the one that was sealed: all up to it may be false").format(
                sealed_seq=head.sealed_seq, name=walk.name
            )
        )


def _look_at(site: Site, walk: Check, head: Head, exported: KeptHead) -> None:
    """The exported head must be ours, and still stand in the chain."""
    if not chains.is_sealed(site.ring, head.org_id, head.name, exported.seq, exported.hash, exported.seal):
        walk.found(
            _("the exported head of the {name} wasn't made by this deployment, or was changed").format(name=walk.name)
        )
    elif exported.seq > head.seq:
        walk.found(
            _("row {seq} of the {name} was exported, and its head is row {seq2}: it was cut").format(
                seq=exported.seq, name=walk.name, seq2=head.seq
            )
        )
    elif exported.seq > head.first_seq and walk.seen[exported.seq] != exported.hash:
        walk.found(
            _("row {seq} of the {name} isn't the one that was exported: all up to it may be false").format(
                seq=exported.seq, name=walk.name
            )
        )


def _empty(org_id: str, name: str) -> Head:
    return Head(org_id=org_id, name=name, first_seq=0, first_hash="", seq=0, hash="", sealed_seq=0, seal="")
