"""Trusted IP ranges: networks as CIDR, or a first and a last address."""

import ipaddress
from functools import lru_cache

from gatelodge.words import _

MOST_RANGES = 128
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class NotARange(ValueError):
    """The text is no range of addresses; the message says what one looks like."""


@lru_cache(maxsize=4096)
def parse(text: str) -> tuple[Address, Address]:
    """The first and the last address of a range such as 10.0.0.0/8 or 10.0.0.1-10.0.0.9. Raises ``NotARange``."""
    first, dash, last = (part.strip() for part in text.partition("-"))
    try:
        if dash:
            start, end = ipaddress.ip_address(first), ipaddress.ip_address(last)
        else:
            network = ipaddress.ip_network(first)
            start, end = network[0], network[-1]
    except ValueError as error:
        raise NotARange(
            _("{text!r:.80}: {error}; write for example 198.51.100.0/24 or 10.0.0.1-10.0.0.9").format(
                text=text, error=error
            )
        ) from None
    if start.version != end.version or int(start) > int(end):
        raise NotARange(_("{text!r:.80} ends before it begins").format(text=text))
    return start, end


def problem(ranges: tuple[str, ...]) -> str:
    """Why these can't be trusted ranges, as a sentence; "" when they can."""
    if len(ranges) > MOST_RANGES:
        return _("There are {n} ranges; at most {most_ranges} are allowed.").format(
            n=len(ranges), most_ranges=MOST_RANGES
        )
    for text in ranges:
        try:
            _parsed = parse(text)
        except NotARange as error:
            return f"{error}."
    return ""


def are_within(address: str, ranges: tuple[str, ...]) -> bool:
    """Whether the address lies in one of the ranges. An IPv4 address that came in IPv6 clothes is the IPv4 one."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    own = mapped or found
    return any(start.version == own.version and int(start) <= int(own) <= int(end) for start, end in map(parse, ranges))
