"""Quick Find: the tree of Setup's pages, narrowed to what somebody looks for by title or by another word for it."""

import msgspec

from gatelodge.words import _


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """One leaf of the tree. ``words`` are what Quick Find knows it by besides its title; ``permissions`` are those of
    which one is needed to see it, none for a page of everybody's own; ``tab`` "" has no tab; ``help`` is what its
    Help says, a paragraph a line.
    """

    path: str
    title: str
    tab: str
    group: str
    words: str
    permissions: tuple[str, ...]
    help: str = ""


class Leaf(msgspec.Struct, frozen=True, kw_only=True):
    """A leaf as it is drawn: its title cut at the match."""

    path: str
    words: str
    before: str
    match: str
    after: str
    is_here: bool


class Group(msgspec.Struct, frozen=True):
    """A branch of the tree."""

    label: str
    leaves: list[Leaf]


def tree(seen: list[Page], find: str, here: str) -> list[Group]:
    """These pages in their groups, without those that ``find`` doesn't mean; ``here`` is the page that is open."""
    groups: dict[str, list[Leaf]] = {}
    open_page = page_at(seen, here)
    for page in seen:
        if leaf := _leaf(page, find, is_here=page is open_page):
            groups.setdefault(_(page.group), []).append(leaf)
    return [Group(label, leaves) for label, leaves in groups.items()]


def page_at(seen: list[Page], here: str) -> Page | None:
    """The page that is open, or under which it is: the one with the longest path."""
    under = [page for page in seen if f"{here}/".startswith(f"{page.path}/")]
    return max(under, key=lambda page: len(page.path), default=None)


def known_by(page: Page) -> str:
    """Every other word for a page, in English and in the reader's language."""
    own = _(page.words)
    return page.words if own == page.words else f"{own} {page.words}".lower()


def _leaf(page: Page, find: str, *, is_here: bool) -> Leaf | None:
    wanted, title = " ".join(find.lower().split()), _(page.title)
    at = title.lower().find(wanted) if wanted else -1
    if wanted and at < 0 and wanted not in known_by(page):
        return None
    end = at + len(wanted)
    before, match, after = (title[:at], title[at:end], title[end:]) if at >= 0 else (title, "", "")
    return Leaf(path=page.path, words=known_by(page), before=before, match=match, after=after, is_here=is_here)
