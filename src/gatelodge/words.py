"""The words of pages in the reader's language (gettext). English is the source; nothing on the wire comes through here.

The language belongs to the request: ``speak`` sets it for the task that answers, and whoever makes a sentence in that
task gets it in that language.
"""

import gettext
from contextvars import ContextVar

ENGLISH = gettext.NullTranslations()
_spoken: ContextVar[gettext.NullTranslations] = ContextVar("spoken", default=ENGLISH)


def speak(translations: gettext.NullTranslations) -> None:
    """Answer this request in that language."""
    _ = _spoken.set(translations)


def _(text: str) -> str:
    """This text in the reader's language. Values are put in afterwards, by ``.format``."""
    return _spoken.get().gettext(text)


def ngettext(one: str, several: str, n: int) -> str:
    """The form of this text for so many, in the reader's language."""
    return _spoken.get().ngettext(one, several, n)
