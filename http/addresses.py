"""Where a request comes from: the address of who sent it, or for whom a proxy of ours did."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Final

import falcon.asgi

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NEIGHBOURS: Final = 64
"""Bits of an IPv6 address that say whose it is: the rest is chosen freely by whoever has it."""


def networks(text: str) -> tuple[Network, ...]:
    """Return the networks of a list with commas in between.

    Raises:
        ValueError: One is neither an address nor a network.
    """
    return tuple(ipaddress.ip_network(one.strip()) for one in text.split(",") if one.strip())


class Addresses:
    """Finds the address of a request's sender behind proxies that are trusted to tell it."""

    def __init__(self, proxies: Sequence[Network] = ()) -> None:
        self._proxies = proxies

    def of(self, req: falcon.asgi.Request) -> str:
        """Return the address as text; for IPv6, its network.

        Each proxy adds to the end of X-Forwarded-For whom it forwards for. What stands before the
        last address that is no trusted proxy's could be anything.
        """
        host, _ = req.scope.get("client") or ("", 0)
        if not self._proxies and ":" not in host:
            return host or "a socket of this machine"
        address = _parsed(host)
        if self._proxies and address is not None:
            forwarded = (req.get_header("X-Forwarded-For") or "").split(",")
            while self._is_proxy(address) and forwarded:
                before = _parsed(forwarded.pop())
                if before is None:
                    break
                address = before
        if isinstance(address, ipaddress.IPv6Address):
            return str(ipaddress.ip_network((int(address), _NEIGHBOURS), strict=False))
        return str(address or host)

    def _is_proxy(self, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
        return any(address in network for network in self._proxies)


def _parsed(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return an address, with or without a port; None if it is none."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address
