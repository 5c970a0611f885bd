"""What a page says to those who read it, hear it or are shown it: its texts, without what is code or data."""

from html.parser import HTMLParser

SAID = ("aria-label", "placeholder", "title", "alt", "data-says", "data-fails")
VOID = {"input", "meta", "link", "br", "img", "use", "path", "circle", "rect", "polyline", "polygon"}
SILENT = {"code", "pre", "script", "style", "svg", "kbd", "bdi"}
"""Elements whose text is not said in words: names, values, pictures, and what others wrote."""


class Reading(HTMLParser):
    """The texts of a page, each trimmed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._silent: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in SILENT or (given.get("lang") and tag == "option") or (tag == "option" and self._is_data(given)):
            self._silent.append(tag)
        if not self._silent and tag != "time":
            self.texts += [value.strip() for name, value in attrs if name in SAID and value]

    def handle_endtag(self, tag: str) -> None:
        if self._silent and self._silent[-1] == tag:
            self._silent.pop()

    def handle_data(self, data: str) -> None:
        if not self._silent and (text := " ".join(data.split())):
            self.texts.append(text)

    def _is_data(self, given: dict[str, str | None]) -> bool:
        """A choice that is called by its value, such as a time zone."""
        return "value" not in given
