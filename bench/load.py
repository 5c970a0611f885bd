"""The load generator: reads what to do as JSON on stdin, says what it measured as JSON on stdout.

A closed loop over so many keep-alive connections, each with a signed-in, consented user. CPU is the server's, read at
the first and the last measured operation; verifiers and challenges are made beforehand.
"""

import asyncio
import base64
import hashlib
import json
import secrets
import sys
import time
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import uvloop
from measuring import cpu_seconds
from wire import Connection

WARM_UP = 1500


class Client:
    """One OAuth client instance on one connection."""

    def __init__(self, connection: Connection, target: dict[str, Any]) -> None:
        self._connection, self._target = connection, target
        self._refresh_token = ""
        self._verifier = secrets.token_urlsafe(48)
        digest = hashlib.sha256(self._verifier.encode()).digest()
        asked = {
            "response_type": "code",
            "client_id": target["client_id"],
            "redirect_uri": target["redirect_uri"],
            "scope": target["scope"],
            "resource": target["resource"],
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
        await self._token({"grant_type": "refresh_token", "refresh_token": self._refresh_token})

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
        await self._token(fields)

    async def _token(self, fields: dict[str, str]) -> None:
        answer = await self._connection.post(self._target["token"], {"client_id": self._target["client_id"], **fields})
        told = json.loads(answer.body)
        if answer.status != 200 or told["access_token"].count(".") != 2 or "refresh_token" not in told:
            raise AssertionError(f"{answer.status}: {answer.body[:500]!r}")
        if told["refresh_token"] == self._refresh_token:
            raise AssertionError("the refresh token was not rotated")
        self._refresh_token = told["refresh_token"]


async def run(asked: dict[str, Any]) -> dict[str, float]:
    target, pid = asked["target"], asked["target"]["pid"]
    connections = [await Connection.open(target["url"]) for _ in range(asked["connections"])]
    clients = [Client(connection, target) for connection in connections]
    for client in clients:
        await client.sign_in()
    left, took = WARM_UP, []

    async def work(client: Client) -> None:
        nonlocal left
        operation = getattr(client, asked["operation"])
        while left > 0:
            left -= 1
            begun = time.perf_counter()
            await operation()
            took.append(time.perf_counter() - begun)

    await asyncio.gather(*map(work, clients))
    took.clear()
    left, cpu, begun = asked["operations"], cpu_seconds(pid), time.perf_counter()
    await asyncio.gather(*map(work, clients))
    seconds, cpu = time.perf_counter() - begun, cpu_seconds(pid) - cpu
    for connection in connections:
        connection.close()
    took.sort()
    return {
        "cpu": cpu * 1000 / len(took),
        "rate": len(took) / seconds,
        "p50": took[len(took) // 2] * 1000,
        "p99": took[len(took) * 99 // 100] * 1000,
    }


if __name__ == "__main__":
    print(json.dumps(uvloop.run(run(json.load(sys.stdin)))))
