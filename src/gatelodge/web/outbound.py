"""Foreign URLs: a name is resolved once, every address is checked (``place_of``), and only those that were checked are
connected to. The one client for documents follows no redirects and takes little time and little text. What can't be
checked is not fetched.
"""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable
from functools import lru_cache
from urllib.parse import SplitResult, urlsplit

import msgspec

from gatelodge.words import Because, reason

SECONDS = 5.0
MOST_BYTES = 64 * 1024
MOST_ADDRESSES = 4
PORTS = {"https": 443, "http": 80}
NAT64 = ipaddress.ip_network("64:ff9b::/96")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Awaitable[list[str]]]


class NotFetched(Because):
    """The URL was not fetched, or its answer not taken."""


class Fetched(msgspec.Struct, frozen=True, kw_only=True):
    """A whole answer, with its headers by lower-case name."""

    status: int
    headers: dict[str, str]
    body: bytes


async def resolve(host: str, port: int) -> list[str]:
    """Every address of a name, as the system knows them."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]) for each in found))


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A foreign URL that may be asked, and the addresses where it may be: connect to one of these, whatever the name says
    by then, and verify the certificate for ``host``.
    """

    parts: SplitResult
    host: str
    port: int
    addresses: tuple[Address, ...]

    def at(self, address: Address) -> str:
        """The URL with an address in the place of its host, without a fragment."""
        host = f"[{address}]" if address.version == 6 else str(address)  # noqa: PLR2004 - IPv6
        return self.parts._replace(netloc=f"{host}:{self.port}", fragment="").geturl()


async def place_of(url: str, *, allows_private: bool, resolve: Resolve = resolve) -> Place:
    """Where a URL may be asked: its name resolved once, and every address checked. ``allows_private``: an administrator
    named this place and said that it stands in a private network or on this machine; only then may a loopback address
    be asked by http. Raises ``NotFetched``.
    """
    parts, port = _parts(url)
    host = parts.hostname or ""
    try:
        found = [ipaddress.ip_address(each) for each in [*_literal(host)] or await resolve(host, port)]
    except (OSError, ValueError, UnicodeError):
        raise NotFetched(reason("the name {host!r} has no address", host=host[:80])) from None
    for address in found:
        if not is_allowed(address, allows_private=allows_private):
            raise NotFetched(
                reason(
                    "{url} is at {address}, which is no public address; an administrator can allow private ones for a"
                    " place that they name",
                    url=_shown(url),
                    address=address,
                )
            )
    if parts.scheme == "http" and not (allows_private and all(each.is_loopback for each in found)):
        raise NotFetched(
            reason("{url} must be https; http is for this machine alone, where private is allowed", url=_shown(url))
        )
    return Place(parts=parts, host=host, port=port, addresses=tuple(found[:MOST_ADDRESSES]))


class Outbound:
    """Fetches foreign URLs. ``resolve`` and ``tls`` are given by tests: a name server and a certificate of their own."""

    def __init__(self, resolve: Resolve = resolve, tls: ssl.SSLContext | None = None, seconds: float = SECONDS) -> None:
        self._resolve, self._tls, self._seconds = resolve, tls, seconds

    async def fetch(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: dict[str, str] | None = None,
        body: bytes = b"",
        allows_private: bool = False,
        most_bytes: int = MOST_BYTES,
    ) -> Fetched:
        """The answer to one request. ``allows_private``: an administrator named this place and said that it stands in
        a private network or on this machine; only then may a loopback address be asked by http. Raises ``NotFetched``.
        """
        try:
            async with asyncio.timeout(self._seconds):
                place = await place_of(url, allows_private=allows_private, resolve=self._resolve)
                return await self._fetch(url, place, method, headers or {}, body, most_bytes)
        except TimeoutError:
            raise NotFetched(
                reason("{url} did not answer within {n} seconds", url=_shown(url), n=f"{self._seconds:g}")
            ) from None

    @property
    def tls(self) -> ssl.SSLContext:
        """What certificates are checked by: made once, for it costs more than a request."""
        return self._tls or default_tls()

    async def addresses(self, url: str, *, allows_private: bool = False) -> tuple[Address, ...]:
        """Where a URL leads: every address of its host, each of which may be asked. For connections that are kept, and so
        are not ``fetch``'s. Raises ``NotFetched``.
        """
        return (await place_of(url, allows_private=allows_private, resolve=self._resolve)).addresses

    async def _fetch(
        self, url: str, place: Place, method: str, headers: dict[str, str], body: bytes, most_bytes: int
    ) -> Fetched:
        import httpx2  # noqa: PLC0415 - after readiness alone

        tls = self.tls if place.parts.scheme == "https" else False
        refusal = ""
        for address in place.addresses:
            # One client per request: a kept connection would be found again by its address, whatever name it is for.
            async with httpx2.AsyncClient(verify=tls, trust_env=False, timeout=self._seconds) as client:
                request = client.build_request(
                    method,
                    place.at(address),
                    headers={
                        "Accept": "application/json",
                        "Accept-Encoding": "identity",
                        **headers,
                        "Host": place.parts.netloc,
                    },
                    content=body or None,
                    extensions={"sni_hostname": place.host},
                )
                try:
                    return await _answer(
                        await client.send(request, stream=True, follow_redirects=False), url, most_bytes
                    )
                except httpx2.ConnectError as error:
                    refusal = str(error)
                except httpx2.HTTPError as error:
                    broken = type(error).__name__
                    raise NotFetched(reason("{url} broke off: {error}", url=_shown(url), error=broken)) from None
        raise NotFetched(reason("{url} can't be reached: {error}", url=_shown(url), error=refusal or "no address"))


def is_allowed(address: Address, *, allows_private: bool) -> bool:
    """Whether an address may be asked: a public one, or with ``allows_private`` one of a private network or of this
    machine. An IPv4 address in IPv6 clothes (mapped, 6to4, Teredo, NAT64) is the IPv4 one.
    """
    for each in (address, *_worn(address)):
        if each.is_multicast or each.is_unspecified or each.is_link_local:
            return False  # also the metadata services of clouds, 169.254.169.254
        if each.is_reserved and not each.is_loopback and each not in NAT64:
            return False
        if not each.is_global and each not in NAT64 and not (allows_private and each.is_private):
            return False
    return True


@lru_cache(maxsize=1)
def default_tls() -> ssl.SSLContext:
    """The system's certificates, read once: that costs more than a request."""
    return ssl.create_default_context()


def _worn(address: Address) -> list[Address]:
    if isinstance(address, ipaddress.IPv4Address):
        return []
    worn = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in NAT64:
        worn.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return [each for each in worn if each is not None]


def _parts(url: str) -> tuple[SplitResult, int]:
    try:
        parts = urlsplit(url)
        port = parts.port or PORTS.get(parts.scheme, 0)
    except ValueError:
        raise NotFetched(reason("{url!r} is not a URL", url=url[:120])) from None
    if parts.scheme not in PORTS or not parts.hostname or "@" in parts.netloc or not url.isascii():
        raise NotFetched(reason("{url} must be an https URL with a host and without a user", url=_shown(url)))
    if any(ord(letter) <= 0x20 or letter == "\\" for letter in url):  # noqa: PLR2004 - blanks and controls
        raise NotFetched(reason("{url} holds a blank, a control character or a backslash", url=_shown(url)))
    return parts, port


def _literal(host: str) -> list[str]:
    try:
        return [str(ipaddress.ip_address(host.partition("%")[0]))]
    except ValueError:
        return []


async def _answer(response, url: str, most_bytes: int) -> Fetched:  # noqa: ANN001 - httpx2's own type, imported on use
    try:
        if 300 <= response.status_code < 400:  # noqa: PLR2004 - a redirect leads where nobody checked
            raise NotFetched(reason("{url} redirects, and redirects are not followed", url=_shown(url)))
        if response.headers.get("content-encoding", "identity") != "identity":
            raise NotFetched(reason("{url} answered compressed, which was not asked for", url=_shown(url)))
        chunks, size = [], 0
        async for chunk in response.aiter_raw():
            size += len(chunk)
            if size > most_bytes:
                raise NotFetched(reason("{url} answered with more than {most} bytes", url=_shown(url), most=most_bytes))
            chunks.append(chunk)
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Fetched(status=response.status_code, headers=headers, body=b"".join(chunks))
    finally:
        await response.aclose()


def _shown(url: str) -> str:
    """A URL without its query, which may hold a secret."""
    return url.partition("?")[0].partition("#")[0][:200]
