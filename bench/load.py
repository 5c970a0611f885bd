"""The load generator: reads what to do as JSON on stdin, says what it measured as JSON on stdout.

A closed loop over so many keep-alive connections, each with a signed-in, consented user where the operation needs one.
CPU is the server's, read at the first and the last measured operation; verifiers and challenges are made beforehand.
"""

import asyncio
import base64
import hashlib
import json
import secrets
import sys
import time
from collections import deque
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import uvloop
from measuring import cpu_seconds, cpu_seconds_of_all
from wire import Answer, Connection

WARM_UP = 1500


class Client:
    """One OAuth client instance on one connection. ``unseen`` are tokens that nobody asked the server about."""

    def __init__(self, connection: Connection, target: dict[str, Any], resource: str, unseen: deque[str]) -> None:
        self._connection, self._target, self._resource, self._unseen = connection, target, resource, unseen
        self._access_token = self._refresh_token = ""
        self._verifier = secrets.token_urlsafe(48)
        digest = hashlib.sha256(self._verifier.encode()).digest()
        asked = {
            "response_type": "code",
            "client_id": target["client_id"],
            "redirect_uri": target["redirect_uri"],
            "scope": target["scope"],
            "resource": resource,
            "state": secrets.token_urlsafe(16),
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        self._authorize = f"{target['authorize']}?{urlencode(asked)}"

    async def sign_in(self) -> None:
        """The first time there are pages; afterwards there are none."""
        location = await self._connection.walk(self._authorize, self._target["redirect_uri"], self._target["typed"])
        await self._redeem(location)

    async def code(self) -> None:
        """Authorize and redeem: two requests."""
        answer = await self._connection.get(self._authorize)
        await self._redeem(answer.headers.get("location", ""))

    async def refresh(self) -> None:
        """Rotate: one request."""
        before = self._refresh_token
        await self._user_token({"grant_type": "refresh_token", "refresh_token": before})
        if self._refresh_token == before:
            raise AssertionError("the refresh token was not rotated")

    async def client_credentials(self) -> None:
        """A token for the confidential client itself: one request."""
        fields = {"grant_type": "client_credentials", "scope": self._target["own_scope"], "resource": self._resource}
        told = await self._post("token", fields | self._target["confidential"])
        if told["access_token"].count(".") != 2:
            raise AssertionError(f"no JWT: {told}")

    async def introspect(self) -> None:
        """The confidential client asks about a token that it never asked about before: one request."""
        await self._ask(self._unseen.popleft())

    async def introspect_again(self) -> None:
        """The same about one token again and again, as a server that is called with it does."""
        await self._ask(self._access_token)

    async def make_token(self) -> None:
        """One more token that nobody asked about."""
        await self.refresh()
        self._unseen.append(self._access_token)

    async def _ask(self, token: str) -> None:
        told = await self._post("introspect", {"token": token} | self._target["confidential"])
        if not told["active"] or told["client_id"] != self._target["client_id"] or not told["exp"]:
            raise AssertionError(f"not introspected: {told}")

    async def _redeem(self, location: str) -> None:
        returned = parse_qs(urlsplit(location).query)
        if "code" not in returned:
            raise AssertionError(f"no code came back: {location}")
        fields = {
            "grant_type": "authorization_code",
            "code": returned["code"][0],
            "redirect_uri": self._target["redirect_uri"],
            "code_verifier": self._verifier,
        }
        await self._user_token(fields)

    async def _user_token(self, fields: dict[str, str]) -> None:
        told = await self._post("token", {"client_id": self._target["client_id"], **fields})
        if (told["access_token"].count(".") == 2) != (self._resource == self._target["resource"]):
            raise AssertionError(f"not the kind of token that was asked for: {told}")
        self._access_token, self._refresh_token = told["access_token"], told["refresh_token"]

    async def _post(self, endpoint: str, fields: dict[str, str]) -> dict[str, Any]:
        answer: Answer = await self._connection.post(self._target[endpoint], fields)
        if answer.status != 200:
            raise AssertionError(f"{answer.status}: {answer.body[:500]!r}")
        return json.loads(answer.body)


async def repeat(clients: list[Client], operation: str, times: int) -> list[float]:
    """All clients in closed loops until it was done so often; the seconds that each time took."""
    left, took = times, []

    async def work(client: Client) -> None:
        nonlocal left
        once = getattr(client, operation)
        while left > 0:
            left -= 1
            begun = time.perf_counter()
            await once()
            took.append(time.perf_counter() - begun)

    await asyncio.gather(*map(work, clients))
    return took


async def run(asked: dict[str, Any]) -> dict[str, float]:
    target, operation, times = asked["target"], asked["operation"], asked["operations"]
    connections = [await Connection.open(target["url"]) for _ in range(asked["connections"])]
    asks = operation.startswith("introspect")
    resource = target.get("introspected_resource", target["resource"]) if asks else target["resource"]
    unseen: deque[str] = deque()
    clients = [Client(connection, target, resource, unseen) for connection in connections]
    if operation != "client_credentials":
        for client in clients:
            await client.sign_in()
    if operation == "introspect":
        await repeat(clients, "make_token", WARM_UP + times)
    await repeat(clients, operation, WARM_UP)
    before, begun = used(target), time.perf_counter()
    took = sorted(await repeat(clients, operation, times))
    seconds = time.perf_counter() - begun
    cpu, database = ((now - then) * 1000 / times for now, then in zip(used(target), before, strict=True))
    for connection in connections:
        connection.close()
    return {
        "cpu": cpu,
        "database": database,
        "rate": times / seconds,
        "p50": took[len(took) // 2] * 1000,
        "p99": took[len(took) * 99 // 100] * 1000,
    }


def used(target: dict[str, Any]) -> tuple[float, float]:
    """CPU seconds of the server so far, and of its database where that is another program."""
    database = target.get("database_pid")
    return cpu_seconds(target["pid"]), cpu_seconds_of_all(database) if database else 0.0


if __name__ == "__main__":
    print(json.dumps(uvloop.run(run(json.load(sys.stdin)))))
