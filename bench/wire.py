"""The cheapest HTTP client that can walk a flow: one keep-alive connection, one cookie jar, one request at a time."""

import asyncio
import html
import re
from urllib.parse import urlencode, urlsplit

import httptools
import msgspec

INPUT = re.compile(r"<input([^>]*)>")
ATTRIBUTE = re.compile(r'([a-z_-]+)="([^"]*)"')
ACTION = re.compile(r'<form[^>]*action="([^"]*)"')


class Answer(msgspec.Struct):
    """One response, whole."""

    status: int = 0
    headers: dict[str, str] = {}
    body: bytes = b""


class Connection(asyncio.Protocol):
    """A connection to one server. ``Connection.open`` makes it; ``send`` asks and waits for the answer."""

    def __init__(self, host: str) -> None:
        self._host = host
        self.cookies: dict[str, str] = {}
        self._waiting: asyncio.Future[Answer] | None = None

    @classmethod
    async def open(cls, url: str, port: int | None = None) -> "Connection":
        """To the server of this URL; with ``port``, to the node of it that listens there."""
        parts, loop = urlsplit(url), asyncio.get_running_loop()
        _, made = await loop.create_connection(lambda: cls(parts.netloc), "127.0.0.1", port or parts.port)
        return made

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(exc or ConnectionError("the server closed the connection"))

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        header = name.decode("latin-1").lower()
        if header == "set-cookie":
            cookie, _, rest = value.decode("latin-1").partition(";")
            key, _, kept = cookie.partition("=")
            self.cookies[key.strip()] = kept
            if not kept or "max-age=0" in rest.lower() or "1970" in rest:
                self.cookies.pop(key.strip(), None)
        else:
            self._answer.headers[header] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._answer.body += body

    def on_message_complete(self) -> None:
        self._answer.status = self._parser.get_status_code()
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(self._answer)

    def close(self) -> None:
        self._transport.close()

    async def send(self, method: str, target: str, body: bytes = b"", **headers: str) -> Answer:
        """One request; names of ``headers`` write _ for -."""
        self._answer, self._parser = Answer(headers={}), httptools.HttpResponseParser(self)
        self._waiting = asyncio.get_running_loop().create_future()
        lines = [f"{method} {target} HTTP/1.1", f"host: {self._host}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        if self.cookies:
            lines.append("cookie: " + "; ".join(f"{name}={value}" for name, value in self.cookies.items()))
        if method == "POST":
            lines.append(f"content-length: {len(body)}")
        self._transport.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        return await self._waiting

    async def get(self, target: str) -> Answer:
        return await self.send("GET", target)

    async def post(self, target: str, fields: dict[str, str]) -> Answer:
        return await self.send(
            "POST", target, urlencode(fields).encode(), content_type="application/x-www-form-urlencoded"
        )

    async def walk(self, target: str, way_back: str, typed: dict[str, str]) -> str:
        """Follow redirects and fill in forms, as a person in a browser does, until the URL that leads back."""
        answer = await self.get(target)
        for _ in range(12):
            if answer.status in (302, 303, 307):
                location = answer.headers["location"]
                if location.startswith(way_back):
                    return location
                parts = urlsplit(location)
                answer = await self.get(parts.path + (f"?{parts.query}" if parts.query else ""))
            elif answer.status == 200:
                page = answer.body.decode()
                inputs = [dict(ATTRIBUTE.findall(found)) for found in INPUT.findall(page)]
                fields = {each["name"]: html.unescape(each.get("value", "")) for each in inputs if "name" in each}
                fields |= {name: value for name, value in typed.items() if name in fields or f'name="{name}"' in page}
                answer = await self.post(ACTION.findall(page)[-1], fields)
            else:
                raise AssertionError(f"the flow stopped with {answer.status}: {answer.body[:500]!r}")
        raise AssertionError("the flow leads nowhere")
