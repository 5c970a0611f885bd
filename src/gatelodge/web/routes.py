"""From a request to the org and the row that answers it. Rows are data: ENDPOINTS of a face, PAGES of Setup.

Absolute URLs come from configuration and never from headers: a Host that is not the deployment's gets 421.
"""

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gatelodge import words
from gatelodge.web.errors import answer_for
from gatelodge.web.forms import check_readable
from gatelodge.web.heads import Read
from gatelodge.web.site import Endpoint, Site

WELL_KNOWN = re.compile(r"/\.well-known/[a-z-]+")
AMBIGUOUS = re.compile(rb"%(?:2[Ff]|5[Cc]|[01][0-9A-Fa-f]|7[Ff])")
"""An encoded slash, backslash or control character: a proxy before us may read such a path in another way."""
CORS_HEADERS = (
    "Authorization", "Content-Type", "DPoP", "Last-Event-ID", "Mcp-Method", "Mcp-Name", "Mcp-Session-Id",
    "MCP-Protocol-Version",
)  # fmt: skip
"""What a page of another origin may send; ``Accept`` needs no leave."""
EXPOSED = "WWW-Authenticate, Mcp-Session-Id, MCP-Protocol-Version, Retry-After, Trace-Id"
"""What such a page may read of an answer besides its body."""
PREFLIGHT_SECONDS = 600


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One row. ``path`` is under the org's URL and may have ``{names}`` that match one segment each.

    ``is_page``: for people in a browser, so that a wrong loopback name is redirected rather than refused.
    ``any_origin``: any web page may read the answer, without credentials (CORS).
    ``refuses_unreadable``: the row checks its query itself, so that a page in its frame says what is wrong.
    """

    path: str
    methods: tuple[str, ...]
    answer: Endpoint
    is_page: bool = False
    any_origin: bool = False
    refuses_unreadable: bool = False


Place = dict[str, Route]
"""The rows of one path, by method."""
Found = tuple[str | None, Place, dict[str, str]]
"""What a path leads to: the name of its org (None: it is under no org's URL), its rows, and the names in it."""
MOST_FOUND = 1000
LONGEST_FOUND = 200
"""How many paths are remembered with what they lead to, and how long they may be."""


class Dispatcher:
    """The ASGI application behind every face: finds the org by the path's beginning, and the row by the rest. ``lost``
    answers a browser that asks for a page of Setup that there isn't.
    """

    def __init__(self, site: Site, routes: Iterable[Route], *, lost: Endpoint) -> None:
        self._site, self._lost = site, lost
        self._exact: dict[str, Place] = {}
        for route in routes:
            self._exact.setdefault(route.path, {}).update(dict.fromkeys(route.methods, route))
        self._patterns = [(_pattern(path), place) for path, place in self._exact.items() if "{" in path]
        public = urlsplit(site.config.public_url)
        self._host = public.netloc.lower()
        self._base = public.path.rstrip("/")
        self._aliases = _loopback_aliases(site.config.public_url)
        self._found: dict[str, Found] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        request = Read(scope, receive, send)
        try:
            response = await self._answer(request)
        except Exception as error:  # noqa: BLE001 - the outermost wall: nothing of a bug reaches a stranger
            response = answer_for(error, request)
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> ASGIApp:
        path = request.scope["path"]
        raw_path = request.scope["raw_path"]
        if (b"%" in raw_path and AMBIGUOUS.search(raw_path)) or "\ufffd" in path:
            return PlainTextResponse("The path holds an encoded slash, a control character or bad UTF-8\n", 400)
        name, place, names = self._found.get(path) or self._find(path)
        org = None if name is None else self._site.live.org_at(name)
        if org is None:
            place = {}
        host = request.headers.get("host", "").lower()
        if host != self._host:
            return self._misdirected(request, host, place)
        if org is not None and not place and _looks_for_a_page(request, path.removeprefix(org.path)):
            words.speak(words.language_of(request.headers.get("accept-language", "")))
            return await self._lost(self._site, org, request)
        if org is None or not place:
            return PlainTextResponse("Not found\n", 404)
        route = place.get("GET" if request.method == "HEAD" else request.method)
        if route is None:
            if request.method == "OPTIONS" and any(each.any_origin for each in place.values()):
                return preflight("*", tuple(place))
            allowed = (*place, "HEAD") if "GET" in place else tuple(place)
            return PlainTextResponse("Method not allowed\n", 405, headers={"Allow": ", ".join(allowed)})
        request.scope["path_params"] = dict(names)
        # Programs are answered in English.
        is_page = route.is_page
        words.speak(words.language_of(request.headers.get("accept-language", "")) if is_page else words.ENGLISH)
        try:
            if not route.refuses_unreadable:
                check_readable(request.scope["query_string"])
            response = await route.answer(self._site, org, request)
        except Exception as error:  # noqa: BLE001 - caught here too, so that a page of another origin may read it
            response = answer_for(error, request)
        if route.any_origin and isinstance(response, Response):
            response.headers.update(shared_with("*"))
        return response

    def _find(self, path: str) -> Found:
        """What a path leads to. It depends on the rows alone, so that it is remembered."""
        name_and_rest = self._org_and_rest(path)
        found: Found = (name_and_rest[0], *self._place(name_and_rest[1])) if name_and_rest else (None, {}, {})
        if found[1] and len(path) <= LONGEST_FOUND:
            if len(self._found) >= MOST_FOUND:
                self._found.pop(next(iter(self._found)))
            self._found[path] = found
        return found

    def _org_and_rest(self, path: str) -> tuple[str, str] | None:
        """The org's name and what remains of the path under its URL. RFC 8414 §3.1 and RFC 9728 §3.1 put the well-known
        part before the org's path; it is moved behind it here, so that each document has one row.
        """
        well_known = WELL_KNOWN.match(path)
        prefix, rest = (well_known[0], path[well_known.end() :]) if well_known else ("", path)
        if not rest.startswith(self._base) or (self._base and rest[len(self._base) :][:1] not in ("", "/")):
            return None
        rest = rest[len(self._base) :]
        name = ""
        if rest.startswith("/o/"):
            name, _, below = rest[3:].partition("/")
            if not name:
                return None  # the first org is at its own URL alone
            rest = f"/{below}" if below or rest.endswith("/") else ""
        return name, prefix + rest

    def _place(self, rest: str) -> tuple[Place, dict[str, str]]:
        place = self._exact.get(rest)
        if place is not None and "{" not in rest:
            return place, {}
        for pattern, each in self._patterns:
            if match := pattern.fullmatch(rest):
                return each, match.groupdict()
        return {}, {}

    def _misdirected(self, request: Request, host: str, place: Place) -> Response:
        path = request.scope["raw_path"].decode("ascii", "replace")
        query = request.scope["query_string"].decode("ascii", "replace")
        right = f"{urlsplit(self._site.config.public_url).scheme}://{self._host}{path}"
        if host in self._aliases and request.method in ("GET", "HEAD") and all(each.is_page for each in place.values()):
            return RedirectResponse(right + (f"?{query}" if query else ""), 307)
        return PlainTextResponse(
            f"Misdirected request: no org answers at the host {host!r:.100}. This one is at {right}\n", 421
        )


def _looks_for_a_page(request: Request, below: str) -> bool:
    """Whether a person in a browser asks for something below Setup."""
    is_browser = request.method in ("GET", "HEAD") and "text/html" in request.headers.get("accept", "")
    return is_browser and below.startswith("/setup/")


def _loopback_aliases(public_url: str) -> frozenset[str]:
    """The other names of this machine, when the deployment's own is one of them."""
    parts = urlsplit(public_url)
    if parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        return frozenset()
    port = f":{parts.port}" if parts.port else ""
    return frozenset(f"{name}{port}" for name in ("localhost", "127.0.0.1", "[::1]"))


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(path)))


def shared_with(origin: str) -> dict[str, str]:
    """The headers by which a browser lets pages of this origin ("*": of any) read an answer. Never with credentials:
    a token must be sent on purpose, no cookie opens anything to another site's page (Fetch standard, CORS protocol).
    """
    return {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": EXPOSED} | (
        {} if origin == "*" else {"Vary": "Origin"}
    )


def preflight(origin: str, methods: tuple[str, ...], headers: tuple[str, ...] = ()) -> Response:
    """The answer to a browser that asks before it sends a page's request: these methods and, besides the usual
    headers, these.
    """
    allowed = {
        "Access-Control-Allow-Methods": ", ".join(methods),
        "Access-Control-Allow-Headers": ", ".join((*CORS_HEADERS, *headers)),
        "Access-Control-Max-Age": str(PREFLIGHT_SECONDS),
    }
    return Response(status_code=204, headers=shared_with(origin) | allowed)
