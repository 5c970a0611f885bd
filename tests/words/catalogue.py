"""The texts that pages say, taken from the code, and their translations: ``python -m tests.words.catalogue`` brings the
.po files up to date and compiles them to the .mo files that ship. What was translated stays; what is new waits, empty.
"""

import io
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from babel.messages import mofile, pofile
from babel.messages.catalog import Catalog
from babel.messages.extract import extract

from gatelodge.core import orgs, server_kinds
from gatelodge.core.apps import policies, presets, settings
from gatelodge.core.org_options import APP_RULES, PREFERENCES
from gatelodge.core.scopes import SCOPES
from gatelodge.core.server_terms import DECIDED_FIELDS, TERM_FIELDS
from gatelodge.setup.frame import LABELS
from gatelodge.setup.tree import TREE

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src/gatelodge"
LOCALES = SOURCE / "locale"
KEYWORDS = {"_": None, "gettext": None, "mark": None, "reason": None, "ngettext": (1, 2)}
MADE = datetime(2026, 11, 24, tzinfo=UTC)
Message = str | tuple[str, ...]


def texts() -> dict[Message, None]:
    """Every text that may be shown, in the order of the files that say it."""
    found: dict[Message, None] = {}
    for path in sorted([*SOURCE.rglob("*.py"), *SOURCE.rglob("*.html")]):
        method = "python" if path.suffix == ".py" else "jinja2.ext:babel_extract"
        with path.open("rb") as file:
            for _line, message, _comments, _context in extract(method, file, KEYWORDS, options={"silent": "false"}):
                found[tuple(message) if isinstance(message, tuple | list) else message] = None
    for text in said_by_data():
        if text:
            found[text] = None
    found.pop("", None)
    return found


def said_by_data() -> Iterator[str]:
    """Texts that stand in data: labels and helps of fields, the pages of the tree, scopes, permissions, presets."""
    for field in (*settings.FIELDS, *policies.FIELDS, *PREFERENCES, *APP_RULES, *DECIDED_FIELDS, *TERM_FIELDS):
        yield from (field.label, field.help, field.unsafe, field.section, *(label for _value, label in field.choices))
    for page in TREE:
        yield from (page.title, page.tab, page.group, page.words, page.help)
    for scope in SCOPES:
        yield from (scope.label, scope.meaning)
    yield from LABELS.values()
    yield from (*server_kinds.KINDS.values(), *server_kinds.SOURCES.values(), *orgs.KINDS)
    for preset in presets.PRESETS:
        yield preset.hint
        if preset.name == "other":
            yield preset.label


def translated(language: str) -> Catalog:
    """The catalogue of a language as it stands in the repository."""
    with po_file(language).open("rb") as file:
        return pofile.read_po(file, locale=language)


def updated(language: str) -> Catalog:
    """The same with exactly the texts that the code has now."""
    before, made = translated(language), Catalog(locale=language, header_comment="", fuzzy=False)
    for message in texts():
        key = message[0] if isinstance(message, tuple) else message
        known = before.get(key)
        made.add(message, known.string if known and known.string else None)
    return made


def written(catalogue: Catalog) -> bytes:
    """A catalogue as it stands in its .po file: sorted, without places, so that a change shows as itself."""
    kept = Catalog(locale=catalogue.locale, header_comment="#", fuzzy=False)
    for message in catalogue:
        if message.id:
            kept.add(message.id, message.string)
    made = io.BytesIO()
    pofile.write_po(made, kept, sort_output=True, no_location=True, omit_header=True, width=0)
    head = (
        f'msgid ""\nmsgstr ""\n"Language: {kept.locale_identifier}\\n"\n"Content-Type: text/plain; charset=utf-8\\n"\n'
    )
    return f'{head}"Plural-Forms: {kept.plural_forms}\\n"\n\n'.encode() + made.getvalue()


def compiled(catalogue: Catalog) -> bytes:
    """A catalogue as programs read it."""
    made = io.BytesIO()
    catalogue.creation_date = catalogue.revision_date = MADE  # or two builds would differ
    mofile.write_mo(made, catalogue)
    return made.getvalue()


def untranslated(catalogue: Catalog) -> list[str]:
    """The texts that lack a translation, or one of its forms."""
    lacking: list[str] = []
    for message in catalogue:
        said = message.string if isinstance(message.string, tuple | list) else (message.string,)
        if message.id and not all(said):
            lacking.append(message.id if isinstance(message.id, str) else message.id[0])
    return lacking


def po_file(language: str) -> Path:
    """Where a language's translations are kept."""
    return LOCALES / language / "LC_MESSAGES" / "gatelodge.po"


def languages() -> list[str]:
    """The languages that there are files for."""
    return sorted(path.name for path in LOCALES.iterdir() if path.is_dir())


if __name__ == "__main__":
    for language in languages():
        if not po_file(language).exists():
            po_file(language).write_bytes(written(Catalog(locale=language)))
        catalogue = updated(language)
        po_file(language).write_bytes(written(catalogue))
        po_file(language).with_suffix(".mo").write_bytes(compiled(translated(language)))
        for text in untranslated(catalogue):
            sys.stdout.write(f"{language}: {text}\n")
