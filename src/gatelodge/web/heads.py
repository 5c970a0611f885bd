"""A request's headers, found by name. Starlette looks through all of them each time, which a call of an MCP server, that
asks for nine, would pay for nine times.
"""

from typing import Any

from starlette.datastructures import Headers
from starlette.requests import Request


class Heads(Headers):
    """The same headers, sorted once. Names on the wire are in lower case already, as ASGI demands."""

    def __init__(self, scope: Any) -> None:
        super().__init__(scope=scope)
        self._by_name: dict[bytes, list[bytes]] = {}
        for name, value in self._list:
            same = self._by_name.get(name)
            if same is None:
                self._by_name[name] = [value]
            else:
                same.append(value)

    def __getitem__(self, key: str) -> str:
        """The first value of this name. Raises ``KeyError``."""
        return self._by_name[key.lower().encode("latin-1")][0].decode("latin-1")

    def get(self, key: str, default: Any = None) -> Any:
        """The first value of this name, or this in its place."""
        found = self._by_name.get(key.lower().encode("latin-1"))
        return default if found is None else found[0].decode("latin-1")

    def getlist(self, key: str) -> list[str]:
        """Every value of this name, in the order they came in."""
        return [value.decode("latin-1") for value in self._by_name.get(key.lower().encode("latin-1"), ())]

    def __contains__(self, key: object) -> bool:
        """Whether there is one of this name."""
        return isinstance(key, str) and key.lower().encode("latin-1") in self._by_name


class Read(Request):
    """A request with such headers."""

    @property
    def headers(self) -> Headers:
        """The headers, sorted when they are first asked for."""
        if not hasattr(self, "_headers"):
            self._headers = Heads(self.scope)
        return self._headers
