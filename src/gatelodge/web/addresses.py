"""Where a request comes from: the peer's address, or what a trusted proxy says of it."""

import ipaddress
from functools import lru_cache

from starlette.requests import Request

from gatelodge.config import Config


def client_address(request: Request, config: Config) -> str:
    """The client's address. ``X-Forwarded-For`` is read from the right, and only past proxies that are trusted."""
    peer = request.scope.get("client")
    address = str(peer[0]) if peer else ""
    if not config.trusted_proxy:
        return address
    hops = [hop.strip() for value in request.headers.getlist("x-forwarded-for") for hop in value.split(",")]
    while hops and _is_trusted(address, config.trusted_proxy):
        address = hops.pop()
    return address[:64]


@lru_cache(maxsize=4096)
def _is_trusted(address: str, networks: tuple[str, ...]) -> bool:
    try:
        return any(ipaddress.ip_address(address) in ipaddress.ip_network(network) for network in networks)
    except ValueError:
        return False
