"""Where webhooks may connect to: the internet, never into our own networks.

The address is checked when the socket is made, after the name was resolved, so a name that resolves to
something else the second time gains nothing.
"""

import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

Address = IPv4Address | IPv6Address

_NAT64 = IPv6Network("64:ff9b::/96")
# Nobody's on the internet by the registries of IANA; not every version of `ipaddress` knows.
_ASIDE = (
    IPv4Network("192.0.0.0/24"),  # protocol assignments
    IPv4Network("192.88.99.0/24"),  # relays of 6to4, given up
    IPv6Network("3fff::/20"),  # documentation
)


class AddressRefused(OSError):
    """The name leads to an address webhooks must not reach."""


def is_deliverable(address: Address) -> bool:
    """Whether `address`, and the one inside it if it is a mapped or tunnelled one, is on the internet."""
    inner = _inside(address)
    if inner is not None:
        return is_deliverable(inner)
    if isinstance(address, IPv6Address) and address.is_site_local:
        return False
    if any(address in network for network in _ASIDE):
        return False
    return address.is_global and not (
        address.is_multicast or address.is_reserved or address.is_unspecified or address.is_loopback
    )


def is_loopback(host: str) -> bool:
    """Whether `host`, a name or an address, is this machine by its spelling."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


class SocketFactory:
    """Makes sockets for addresses that may be reached, in the form aiohttp's connector asks for."""

    def __init__(self, *, allow_loopback: bool) -> None:
        self._allow_loopback = allow_loopback

    def __call__(self, found: tuple[Any, ...]) -> socket.socket:
        """`found` is a row of `getaddrinfo`. Raises `AddressRefused`."""
        family, kind, protocol, _, place = found
        address = ip_address(str(place[0]).partition("%")[0])
        allowed = is_deliverable(address) or (self._allow_loopback and address.is_loopback)
        if not allowed:
            raise AddressRefused(f"{address} is not a public address")
        return socket.socket(family, kind, protocol)


def _inside(address: Address) -> Address | None:
    if isinstance(address, IPv4Address):
        return None
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    if address.teredo:
        return address.teredo[1]
    return address.ipv4_mapped or address.sixtofour
