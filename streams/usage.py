"""What a member used of each program: how often and how much, by the local day of the purchase.

A row a month and one over all time; a day, a week and a month are sums over days.
"""

from collections.abc import Iterator
from datetime import date, timedelta

import msgspec

from schemas.times import Micros, to_datetime
from streams.program import Program
from streams.purchase import PurchaseId
from streams.rows import Rows

Day = int
"""A local date as its ordinal (1 January of year 1 is 1)."""

Use = tuple[int, int]
"""Purchases rewarded, and the sum of their rewards."""

_encode = msgspec.msgpack.Encoder().encode
_decode_days = msgspec.msgpack.Decoder(dict[Day, Use]).decode
_decode_use = msgspec.msgpack.Decoder(Use).decode


def local_day(program: Program, at: Micros) -> Day:
    """The date on the wall of the program's schedule, UTC without one."""
    return to_datetime(at).astimezone(program.zone).toordinal()


def first_and_last(day: Day, period: str) -> tuple[Day, Day]:
    """The period that holds `day`: day, week (ISO, from Monday) or month; both ends inclusive."""
    if period == "day":
        return day, day
    local = date.fromordinal(day)
    if period == "week":
        monday = day - local.weekday()
        return monday, monday + 6
    first = local.replace(day=1)
    return first.toordinal(), (first + timedelta(days=32)).replace(day=1).toordinal() - 1


class Usage:
    """The counters of all members of a partition."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def used(self, who: PurchaseId, program_id: str, day: Day, period: str) -> Use:
        """How often and how much the member earned in the period that holds `day`."""
        if period == "lifetime":
            row = self._rows.get(_key(who, program_id, "*"))
            return (0, 0) if row is None else _decode_use(row)
        first, last = first_and_last(day, period)
        count = amount = 0
        for month in _months(first, last):
            row = self._rows.get(_key(who, program_id, month))
            for each, use in _decode_days(row).items() if row is not None else ():
                if first <= each <= last:
                    count += use[0]
                    amount += use[1]
        return count, amount

    def add(self, who: PurchaseId, program_id: str, day: Day, count: int, amount: int) -> None:
        """Adds to a day and to all time; what is negative gives back."""
        if not count and not amount:
            return
        key = _key(who, program_id, _month(day))
        row = self._rows.get(key)
        days = {} if row is None else _decode_days(row)
        before = days.get(day, (0, 0))
        days[day] = (before[0] + count, before[1] + amount)
        self._rows.put(key, _encode(days))
        key = _key(who, program_id, "*")
        row = self._rows.get(key)
        before = (0, 0) if row is None else _decode_use(row)
        self._rows.put(key, _encode((before[0] + count, before[1] + amount)))


def _key(who: PurchaseId, program_id: str, month: str) -> bytes:
    return f"u{who.member}\x1f{program_id}\x1f{month}".encode()


def _month(day: Day) -> str:
    return date.fromordinal(day).isoformat()[:7]


def _months(first: Day, last: Day) -> Iterator[str]:
    yield _month(first)
    if _month(last) != _month(first):
        yield _month(last)
