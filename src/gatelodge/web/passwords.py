"""Password hashing, in two threads of its own and with a bounded queue, so that it can't starve the token endpoint."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHash

from gatelodge.core.errors import Unavailable

T = TypeVar("T")
MOST_WAITING = 64


class Passwords:
    """argon2id with 19 MiB, two passes, one lane (OWASP's first choice)."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="passwords")
        self._waiting = 0
        self._nobodys: str | None = None

    async def hash(self, password: str) -> str:
        """What to store for a password. Raises ``Unavailable`` when too many wait."""
        return await self._in_thread(lambda: self._hasher.hash(password))

    async def is_right(self, stored: str | None, password: str) -> bool:
        """Whether this is the password. Without a stored hash the same work is done, so that an unknown user takes
        as long as a known one. Raises ``Unavailable`` when too many wait.
        """
        return await self._in_thread(lambda: self._compare(stored, password))

    def _compare(self, stored: str | None, password: str) -> bool:
        if not stored:  # a user who signs in elsewhere has no password, and none opens the door
            self._nobodys = self._nobodys or self._hasher.hash("nobody's password")
        try:
            return self._hasher.verify(stored or self._nobodys or "", password) and bool(stored)
        except (Argon2Error, InvalidHash):
            return False

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if self._waiting >= MOST_WAITING:
            raise Unavailable("too many sign-ins at once", retry_after=2)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)
