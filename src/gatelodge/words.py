"""The words of pages in the reader's language (gettext). English is the source; nothing on the wire comes through here.

The reader belongs to the request: ``speak`` says who it is for the task that answers, and whoever makes a sentence in
that task, or in an operation that it runs, makes it in that language (decision 0041).
"""

import gettext
import re
from contextvars import ContextVar
from functools import lru_cache
from importlib import resources

import msgspec

ENGLISH = "en"
LANGUAGES = {ENGLISH: "English", "de": "Deutsch"}
"""What a reader may choose, each called by its own name."""
PSEUDO = "en-XA"
"""Accented English: whoever asks for it sees at once which text of a page never came through here."""
ACCENTED = str.maketrans("AEIOUYaceinosuyz", "ÅÉÎÖÛÝåçéîñöšûýž")
KEPT = re.compile(r"(\{[^{}]*\}|%\([a-z_]+\)s|%%)")
"""What a sentence's values are put in by."""


class Reader(msgspec.Struct, frozen=True):
    """Who reads the answer: in which language, and in which time zone (IANA)."""

    language: str = ENGLISH
    zone: str = "UTC"


_reader: ContextVar[Reader] = ContextVar("reader", default=Reader())  # noqa: B039 - a frozen struct can't be changed


class Accented(gettext.NullTranslations):
    """Translations into accented English, for whoever looks for text that is not translated."""

    def gettext(self, message: str) -> str:
        """The message with marks on its letters, and its values' places as they are."""
        parts = KEPT.split(message)
        return "".join(part if n % 2 else part.translate(ACCENTED) for n, part in enumerate(parts))

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        """The same, of the form for so many."""
        return self.gettext(msgid1 if n == 1 else msgid2)


def speak(language: str = "", zone: str = "") -> None:
    """Answer this request in that language and that time zone; "" leaves each as it is."""
    before = _reader.get()
    known = language if language in LANGUAGES or language == PSEUDO else before.language
    _ = _reader.set(Reader(known, zone or before.zone))


def reader() -> Reader:
    """Whom this task answers."""
    return _reader.get()


def language_of(accepted: str) -> str:
    """The language that a browser prefers among ours, by its Accept-Language (RFC 9110 §12.5.4)."""
    wanted: list[tuple[float, int, str]] = []
    for n, part in enumerate(accepted[:200].split(",")):
        tag, _semicolon, quality = part.strip().partition(";")
        number = re.fullmatch(r"\s*q=([01](?:\.[0-9]{0,3})?)", quality) if quality else None
        weight = float(number[1]) if number else 1.0
        known = PSEUDO if tag.lower() == PSEUDO.lower() else tag.lower().partition("-")[0]
        if weight and (known in LANGUAGES or known == PSEUDO):
            wanted.append((-weight, n, known))
    return min(wanted)[2] if wanted else ENGLISH


def mark(text: str) -> str:
    """Name a text to be translated where it is shown, not where it stands."""
    return text


class Reason(msgspec.Struct, frozen=True):
    """Why something failed or was refused: a sentence with places, and what stands in them. ``str`` is English, for wires,
    logs and records; a page says ``here``. A place may hold the reason of the reason.
    """

    text: str
    values: dict[str, "str | Reason"] = {}

    def __str__(self) -> str:
        return self.text.format(**{name: str(value) for name, value in self.values.items()})

    def here(self) -> str:
        """The sentence in the reader's language."""
        values = {name: v.here() if isinstance(v, Reason) else v for name, v in self.values.items()}
        return _(self.text).format(**values)


LONGEST_VALUE = 200


def reason(text: str, **values: object) -> Reason:
    """A reason, of which the catalogue has the text. Values are cut at 200 characters: some come from strangers."""
    kept = {name: v if isinstance(v, Reason) else str(v)[:LONGEST_VALUE] for name, v in values.items()}
    return Reason(text, kept)


def verbatim(said: str) -> Reason:
    """A reason in words that are nobody's to translate."""
    return Reason("{said}", {"said": said})


def here(why: Reason | str | None) -> str:
    """The reason in the reader's language; what is words already as it stands, and "" for none."""
    return why.here() if isinstance(why, Reason) else why or ""


class Because(Exception):
    """Something failed for a reason, which a page words in its reader's language."""

    def __init__(self, why: Reason) -> None:
        super().__init__(str(why))
        self.reason = why


def _(text: str) -> str:
    """This text in the reader's language. Values are put in afterwards, by ``.format``."""
    return _translations(_reader.get().language).gettext(text) if text else ""


def ngettext(one: str, several: str, n: int) -> str:
    """The form of this text for so many, in the reader's language."""
    return _translations(_reader.get().language).ngettext(one, several, n)


@lru_cache(maxsize=8)
def _translations(language: str) -> gettext.NullTranslations:
    if language == PSEUDO:
        return Accented()
    file = resources.files("gatelodge").joinpath(f"locale/{language}/LC_MESSAGES/gatelodge.mo")
    if language == ENGLISH or not file.is_file():
        return gettext.NullTranslations()
    with file.open("rb") as stream:
        return gettext.GNUTranslations(stream)  # type: ignore[arg-type] - a binary stream, which is all it reads
