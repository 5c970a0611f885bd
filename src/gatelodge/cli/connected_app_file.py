"""Reading a Connected App's metadata file, for its name and consumer key alone.

The file comes from elsewhere, so the parser believes little of it: no document type, hence no entities to expand or to
fetch, and no more than a metadata file's size.
"""

from pathlib import Path
from xml.parsers import expat

from gatelodge.core.errors import Refused

LONGEST = 1 << 20
NAMESPACE = "http://soap.sforce.com/2006/04/metadata"
ROOT = "ConnectedApp"
PLACES = {(ROOT, "label"): "name", (ROOT, "oauthConfig", "consumerKey"): "consumer_key"}
"""Where the two stand in the file."""


def read(path: Path) -> dict[str, str]:
    """``name`` and ``consumer_key``, as far as the file has them. Raises ``Refused``."""
    try:
        with path.open("rb") as file:
            content = file.read(LONGEST + 1)
    except OSError as error:
        raise Refused(f"{path} can't be read: {error.strerror}") from None
    if len(content) > LONGEST:
        raise Refused(f"{path} is larger than {LONGEST} bytes; a .connectedApp-meta.xml file is a few kilobytes")
    try:
        return _Reading().of(content)
    except expat.ExpatError as error:
        raise Refused(f"{path} is no XML that can be read: {error}") from None
    except Refused as refused:
        raise Refused(f"{path} {refused.message}") from None


class _Reading:
    """One pass through a file: where the parser is, and what it has found."""

    def __init__(self) -> None:
        self._path: list[str] = []
        self._text: list[str] = []
        self._found: dict[str, str] = {}

    def of(self, content: bytes) -> dict[str, str]:
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._refuse
        parser.StartElementHandler = self._begin
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text.append
        parser.Parse(content, True)
        return self._found

    def _refuse(self, *_: object) -> None:
        raise Refused("declares a document type, which no metadata file does")

    def _begin(self, name: str, attributes: dict[str, str]) -> None:
        namespace, _, word = name.rpartition(" ")
        if not self._path and (namespace, word) != (NAMESPACE, ROOT):
            raise Refused(f"is the metadata of {word}, not of a {ROOT}")
        self._path.append(word if namespace == NAMESPACE else name)
        self._text.clear()

    def _end(self, name: str) -> None:
        field = PLACES.get(tuple(self._path))  # type: ignore[call-overload] - any path may be asked for
        if field:
            self._found[field] = "".join(self._text).strip()
        self._path.pop()
        self._text.clear()
