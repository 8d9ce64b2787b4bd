"""What an endpoint may be: its URL, its event types, its rate, its batches."""

import re
import socket
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from yarl import URL

from schemas.webhooks import EVENT_TYPES
from sinks.webhooks.addresses import is_deliverable, is_loopback

URL_MAX = 2_048
PER_SECOND_MAX = 10_000
BATCH_EVENTS_MAX = 100
HOST_MAX = 253
_PORTS = (443, 8443)
_NAME = re.compile(r"([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.?")


class EndpointRefused(ValueError):
    """An endpoint that cannot be had as asked. The message names the field, the problem and the remedy."""


LookUp = Callable[[str], Sequence[str]]
"""Addresses of a name. Raises OSError when it has none."""


def _addresses(host: str) -> Sequence[str]:
    return [str(row[4][0]) for row in socket.getaddrinfo(host, 443, type=socket.SOCK_STREAM)]


def check_url(url: str, *, allow_loopback: bool) -> None:
    """Raises `EndpointRefused` unless webhooks may be sent there; names are checked again at each connect."""
    try:
        parts = urlsplit(url)
        port = parts.port
        # Whoever sends must see the same host as whoever checks.
        host = parts.hostname or ""
        if "\\" in url or (URL(url, encoded=True).raw_host or "").lower() != host or "%" in host:
            raise ValueError("the host can be read in two ways")
    except ValueError as error:
        raise EndpointRefused(f"url: {error}; write https://host/path") from None
    if len(url) > URL_MAX or not url.isascii() or any(c.isspace() or ord(c) < 33 for c in url):
        raise EndpointRefused(f"url: must be ASCII without blanks, at most {URL_MAX} characters; encode it")
    if not host or parts.scheme not in ("https", "http"):
        raise EndpointRefused("url: is not an https address; write https://host/path")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise EndpointRefused("url: holds credentials or a fragment; leave them out, requests are signed")
    if allow_loopback and is_loopback(host):
        return
    if parts.scheme != "https":
        raise EndpointRefused(
            "url: is not https; use https (http to this machine, in development only, takes "
            "CASHBACK_WEBHOOK_ALLOW_LOOPBACK=true here and where the webhooks are sent)"
        )
    if port not in (None, *_PORTS):
        raise EndpointRefused(f"url: port {port} is not allowed; use 443 or 8443")
    _check_host(host)


def check_event_types(event_types: Sequence[str]) -> None:
    """Raises `EndpointRefused` unless there is at least one and all are ours."""
    known = EVENT_TYPES.values()
    if not event_types:
        raise EndpointRefused(f"event_types: is empty; choose of {', '.join(known)}")
    for each in event_types:
        if each not in known:
            raise EndpointRefused(f"event_types: {each!r} is unknown; choose of {', '.join(known)}")


def check_rate(per_second_max: int | None) -> None:
    """Raises `EndpointRefused` unless it is None or 1 to `PER_SECOND_MAX` requests a second."""
    _check_bound("per_second_max", per_second_max, PER_SECOND_MAX)


def check_batch(batch_max: int | None) -> None:
    """Raises `EndpointRefused` unless it is None or 1 to `BATCH_EVENTS_MAX` events a request."""
    _check_bound("batch_max", batch_max, BATCH_EVENTS_MAX)


def check_where_it_leads(url: str, *, allow_loopback: bool, look_up: LookUp = _addresses) -> bool:
    """Whether the name of `url` resolves now. Raises `EndpointRefused` when it leads to a private address.

    A courtesy at registration: what counts is the address of each connection, checked when it is made.
    """
    host = urlsplit(url).hostname or ""
    try:
        found = [ip_address(each.partition("%")[0]) for each in look_up(host)]
    except OSError:
        return False
    for address in found:
        if not is_deliverable(address) and not (allow_loopback and address.is_loopback):
            raise EndpointRefused(
                f"url: {host} leads to {address}, not a public address; webhooks go to the internet only"
            )
    return True


def _check_bound(field: str, value: int | None, most: int) -> None:
    if value is not None and not 1 <= value <= most:
        raise EndpointRefused(f"{field}: {value} is out of bounds; give 1 to {most}, or leave it out")


def _check_host(host: str) -> None:
    try:
        address = ip_address(host)
    except ValueError:
        last = host.rstrip(".").rpartition(".")[2]
        # "0x7f.1" and "2130706433" are addresses to resolvers, though not to `ip_address`.
        inside = is_loopback(host) or last in ("local", "internal", "localhost")
        if not _NAME.fullmatch(host) or len(host) > HOST_MAX or last[0].isdigit() or inside:
            raise EndpointRefused(
                f"url: {host} is not a public name; use one that the internet knows"
            ) from None
        return
    if not is_deliverable(address):
        raise EndpointRefused(f"url: {host} is not a public address; webhooks go to the internet only")
