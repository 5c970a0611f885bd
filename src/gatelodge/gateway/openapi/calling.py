"""Asking a REST API for one caller: at the administrator's URL and nowhere else, with the org's credential and nothing of
the client's.
"""

import asyncio
from urllib.parse import urlsplit

from gatelodge import __version__
from gatelodge.core.mcp_servers import McpServer
from gatelodge.core.orgs import Org
from gatelodge.gateway import credentials
from gatelodge.gateway.caller import Caller
from gatelodge.gateway.openapi.answering import Answer
from gatelodge.gateway.openapi.writing import Written
from gatelodge.gateway.relay import upstream
from gatelodge.gateway.relay.upstream import Failed, HttpLine, Upstream
from gatelodge.gateway.user_grants import NeedsGrant
from gatelodge.web.site import Site
from gatelodge.words import reason

UNAUTHORIZED = 401
ALWAYS = {
    "Accept": "application/json, text/*;q=0.5",
    "Accept-Encoding": "identity",
    "User-Agent": f"Gatelodge/{__version__}",
}


class Api:
    """One API and the connections to it."""

    def __init__(self, site: Site, org: Org, server: McpServer) -> None:
        self._site, self._org, self._server = site, org, server
        self._path = urlsplit(server.source).path.rstrip("/")
        self._line = HttpLine(
            Upstream(
                url=server.source, terms=server.terms, name=server.name, org_id=server.org_id, server_id=server.id
            ),
            site.outbound,
        )

    @property
    def credential_header(self) -> str:
        """The header of the org's credential, which no argument may fill; "" for none."""
        return self._server.terms.header_name if self._server.terms.credential == "header" else ""

    async def close(self) -> None:
        """End every connection."""
        await self._line.close()

    async def ask(self, written: Written, caller: Caller) -> Answer:
        """The answer to one request; a token that the API takes no more is fetched anew, once. Raises ``Failed``."""
        given = await self._credential(caller)
        answer = await self._sent(written, given)
        if answer.status == UNAUTHORIZED and given:
            again = await self._credential(caller, given)
            if again != given:
                answer = await self._sent(written, again)
        return answer

    async def _credential(self, caller: Caller, refused: dict[str, str] | None = None) -> dict[str, str]:
        try:
            return await credentials.headers_for(self._site, self._org, self._server, caller, refused=refused)
        except NeedsGrant as needed:
            raise Failed("refused", 403, needed.reason) from None
        except credentials.NoCredential as error:
            raise Failed("upstream_error", 502, error.reason) from None

    async def _sent(self, written: Written, credential: dict[str, str]) -> Answer:
        target = f"{self._path}{written.target}"
        headers = {**written.headers, **ALWAYS, **credential}
        try:
            async with asyncio.timeout(self._server.terms.call_seconds):
                answer = await self._line.send(written.method, headers, written.body, target=target)
                return await self._read(answer)
        except TimeoutError:
            why = reason("{name} did not finish its answer in time", name=self._server.name)
            raise Failed("timeout", 504, why) from None
        except OSError as error:
            broken = type(error).__name__
            why = reason("{name} broke off its answer ({error})", name=self._server.name, error=broken)
            raise Failed("upstream_error", 502, why) from None

    async def _read(self, answer: upstream.Answer) -> Answer:
        """The whole body, which may have so many bytes."""
        most, body = self._server.terms.largest_answer, bytearray()
        try:
            async for chunk in answer.pieces():
                body += chunk
                if len(body) > most:
                    why = reason("{name} answered with more than {most} bytes", name=self._server.name, most=most)
                    raise Failed("too_large", 502, why)
        finally:
            answer.close()
        return Answer(status=answer.status, headers=answer.headers, body=bytes(body))
