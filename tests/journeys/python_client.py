"""The Python SDK's client with its own OAuth provider, in a thread of its own: its browser is the test's Chromium."""

import asyncio
import queue
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata, OAuthToken

SECONDS = 30


class Kept:
    """The provider's storage: a client that was registered in Setup, and what it was given."""

    def __init__(self, client_id: str, callback_url: str) -> None:
        self._client = OAuthClientInformationFull(
            client_id=client_id, redirect_uris=[callback_url], token_endpoint_auth_method="none"
        )
        self.tokens: OAuthToken | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self._client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self._client = client_info


class PythonClient:
    """Give it a server URL and a consumer key; it asks for a browser once, and then calls the tool."""

    def __init__(self, server_url: str, consumer_key: str, callback_url: str, protocol: str) -> None:
        self.server_url, self.callback_url, self.protocol = server_url, callback_url, protocol
        self.kept = Kept(consumer_key, callback_url)
        self._opened: queue.Queue[str] = queue.Queue()
        self._returned: queue.Queue[str] = queue.Queue()
        self._thread = ThreadPoolExecutor(1)

    def begin_calling(self, tool: str, arguments: dict[str, Any]) -> None:
        """Start in the background."""
        self._outcome = self._thread.submit(lambda: asyncio.run(self._call(tool, arguments)))

    def page_to_open(self) -> str:
        """The URL for which the client wants a browser."""
        return self._opened.get(timeout=SECONDS)

    def receive(self, url: str) -> None:
        """The browser has come back to the client's callback."""
        self._returned.put(url)

    def result(self) -> Any:
        """What the tool answered. Raises what the client raised."""
        try:
            return self._outcome.result(timeout=SECONDS)
        finally:
            self._thread.shutdown()

    async def _call(self, tool: str, arguments: dict[str, Any]) -> Any:
        metadata = OAuthClientMetadata(client_name="Python SDK", redirect_uris=[self.callback_url])
        provider = OAuthClientProvider(self.server_url, metadata, self.kept, self._open, self._wait)
        async with (
            httpx2.AsyncClient(auth=provider, timeout=SECONDS) as http,
            Client(streamable_http_client(self.server_url, http_client=http), mode=self.protocol) as client,
        ):
            tools = await client.list_tools()
            assert tool in [each.name for each in tools.tools]
            return await client.call_tool(tool, arguments)

    async def _open(self, url: str) -> None:
        self._opened.put(url)

    async def _wait(self) -> AuthorizationCodeResult:
        url = await asyncio.to_thread(self._returned.get, timeout=SECONDS)
        got = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        return AuthorizationCodeResult(code=got["code"], state=got.get("state"), iss=got.get("iss"))
