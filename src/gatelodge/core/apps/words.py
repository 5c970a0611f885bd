"""The words by which an app is found: those of its name, API Name and contact, each by its beginning.

They are kept in a table of their own, so that looking for one costs the same with ten apps and with a hundred thousand.
"""

import re
import unicodedata

from gatelodge.core.apps.settings import Settings
from gatelodge.core.operation import Operation, Value, execute

LONGEST = 40
"""Characters of a word that count."""
MOST_WANTED = 5
"""Words of a search that count."""


def words_of(text: str) -> tuple[str, ...]:
    """The words of a text, in small letters without accents.

    Every character that is no plain letter or digit becomes the digits of its code point. The words are then in the
    same order to every database, whichever language it sorts by.
    """
    plain = unicodedata.normalize("NFKD", text).casefold()
    found = re.findall(r"\w+", "".join(c for c in plain if not unicodedata.combining(c)).replace("_", " "))
    return tuple(dict.fromkeys(_plain(word)[:LONGEST] for word in found))


def _plain(word: str) -> str:
    return "".join(c if c.isascii() else f"0x{ord(c):x}" for c in word)


def index(org_id: str, app_id: str, settings: Settings) -> Operation[None]:
    """Write down what this app is found by, in place of what it was found by before."""
    yield from execute(
        "DELETE FROM app_words WHERE org_id = :org_id AND app_id = :app_id", org_id=org_id, app_id=app_id
    )
    for word in words_of(f"{settings.label} {settings.api_name} {settings.contact_email}"):
        yield from execute(
            "INSERT INTO app_words (org_id, word, app_id) VALUES (:org_id, :word, :app_id)",
            org_id=org_id,
            word=word,
            app_id=app_id,
        )


def found_sql(search: str) -> tuple[str, dict[str, Value]]:
    """A condition for another module's statement on ``id`` and ``:org_id``: the app has words that begin with each of
    these; and the values that it needs. "" when nothing is looked for.
    """
    conditions: list[str] = []
    values: dict[str, Value] = {}
    for n, word in enumerate(words_of(search)[:MOST_WANTED]):
        until = _next(word)
        below = f" AND word < :until{n}" if until else ""
        conditions.append(f"id IN (SELECT app_id FROM app_words WHERE org_id = :org_id AND word >= :from{n}{below})")
        values[f"from{n}"] = word
        if until:
            values[f"until{n}"] = until
    return " AND ".join(conditions), values


def _next(word: str) -> str:
    """The first word behind all that begin so; "" when there is none. Only small letters and digits occur."""
    kept = word.rstrip("z")
    if not kept:
        return ""
    return kept[:-1] + ("a" if kept[-1] == "9" else chr(ord(kept[-1]) + 1))
