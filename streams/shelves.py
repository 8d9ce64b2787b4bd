"""What a member may still use of one program: grants of clips that nothing used up, and of airdrops.

They lie on pages, so that no row grows with their number and a purchase need not look each one up.
"""

from collections.abc import Iterator

import msgspec

from schemas.times import Micros
from streams.rows import Rows

GRANTS_MAX = 10_000
"""Grants of one program that one member may use."""
PAGE_GRANTS = 20

NEVER: Micros = 2**62


class Usable(msgspec.Struct, array_like=True, gc=False):
    """A grant: of which clip or airdrop, from when, until when, and when it was ended; `NEVER` if not."""

    id: str
    granted_at: Micros
    expires_at: Micros
    ended_at: Micros


_encode = msgspec.msgpack.Encoder().encode
_decode_sizes = msgspec.msgpack.Decoder(dict[int, int]).decode
_decode_page = msgspec.msgpack.Decoder(list[Usable]).decode


class Shelves:
    """The pages of all members of a partition; `name` is that of one member and program."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def usable(self, name: str) -> Iterator[Usable]:
        """All of them."""
        for number in self._sizes(name):
            yield from self._page(name, number)

    def is_full(self, name: str) -> bool:
        """Whether there is no room for another grant."""
        return sum(self._sizes(name).values()) >= GRANTS_MAX

    def add(self, name: str, grant: Usable) -> int:
        """Puts a grant on a page; returns which."""
        sizes = self._sizes(name)
        last = next(reversed(sizes), 0)
        # The last page first: only when it is full the others are looked through for what was freed there.
        roomy = (number for number in (last, *sizes) if sizes.get(number, PAGE_GRANTS) < PAGE_GRANTS)
        number = next(roomy, last + 1)
        page = self._page(name, number)
        page.append(grant)
        self._keep(name, sizes, number, page)
        return number

    def remove(self, name: str, number: int, grant_id: str) -> None:
        """Takes all grants of an id off a page."""
        page = [grant for grant in self._page(name, number) if grant.id != grant_id]
        self._keep(name, self._sizes(name), number, page)

    def end(self, name: str, number: int, grant_id: str, at: Micros) -> None:
        """Notes on a page that what was granted of an id before `at` was ended then."""
        page = self._page(name, number)
        for grant in page:
            if grant.id == grant_id and grant.granted_at < at:
                grant.ended_at = min(grant.ended_at, at)
        self._rows.put(_page_key(name, number), _encode(page))

    def _keep(self, name: str, sizes: dict[int, int], number: int, page: list[Usable]) -> None:
        if page:
            sizes[number] = len(page)
            self._rows.put(_page_key(name, number), _encode(page))
        else:
            sizes.pop(number, None)
            self._rows.delete(_page_key(name, number))
        if sizes:
            self._rows.put(_sizes_key(name), _encode(sizes))
        else:
            self._rows.delete(_sizes_key(name))

    def _sizes(self, name: str) -> dict[int, int]:
        """How many grants lie on each page."""
        row = self._rows.get(_sizes_key(name))
        return {} if row is None else _decode_sizes(row)

    def _page(self, name: str, number: int) -> list[Usable]:
        row = self._rows.get(_page_key(name, number))
        return [] if row is None else _decode_page(row)


def _sizes_key(name: str) -> bytes:
    return f"i{name}".encode()


def _page_key(name: str, number: int) -> bytes:
    return f"j{name}\x1f{number}".encode()
