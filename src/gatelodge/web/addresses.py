"""Where a request comes from: the peer's address, or what a trusted proxy says of it."""

import ipaddress
import re
from functools import lru_cache

from starlette.requests import Request

from gatelodge.config import Config

HOP = re.compile(r"\[(?P<v6>[0-9A-Fa-f:.]+)\](?::\d{1,5})?|(?P<v4>[0-9.]+)(?::\d{1,5})?|(?P<bare>[0-9A-Fa-f:.]+)")

V6_NETWORK = 64
"""Bits of an IPv6 address that one household or office has."""
LONGEST = 64


def client_address(request: Request, config: Config) -> str:
    """The client's address. ``X-Forwarded-For`` is read from the right, and only past proxies that are trusted."""
    peer = request.scope.get("client")
    address = str(peer[0]) if peer else ""
    if not config.trusted_proxy:
        return address
    hops = [hop.strip() for value in request.headers.getlist("x-forwarded-for") for hop in value.split(",")]
    while hops and is_within(address, config.trusted_proxy):
        told = _address(hops.pop())
        if not told:
            break  # a proxy that says nothing readable is the last place we know
        address = told
    return address


@lru_cache(maxsize=4096)
def network_of(address: str) -> str:
    """Whom an address stands for where callers are counted: an IPv6 network of 64 bits is one household. An IPv4 address
    that came in IPv6 clothes is the IPv4 one.
    """
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:LONGEST]
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    mapped = found.ipv4_mapped
    return str(mapped or ipaddress.ip_network((int(found), V6_NETWORK), strict=False))


def _address(hop: str) -> str:
    """The address of one hop, which some proxies write with a port; "" when it is none."""
    found = HOP.fullmatch(hop)
    try:
        return str(ipaddress.ip_address(next(filter(None, found.groups())))) if found else ""
    except ValueError:
        return ""


@lru_cache(maxsize=4096)
def is_within(address: str, networks: tuple[str, ...]) -> bool:
    """Whether this address is in one of these networks (CIDR)."""
    try:
        return any(ipaddress.ip_address(address) in ipaddress.ip_network(network) for network in networks)
    except ValueError:
        return False
