"""What a member used of each program: how often and how much, by the local day of the purchase.

A row a month and one over all time; a day, a week and a month are sums over days.
"""

from datetime import UTC, date, timedelta
from functools import lru_cache

import msgspec

from schemas.money import SUM_MAX
from schemas.times import DAY, Micros, to_datetime
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


_EPOCH: Day = date(1970, 1, 1).toordinal()


def local_day(program: Program, at: Micros) -> Day:
    """The date on the wall of the program's schedule, UTC without one."""
    if program.zone is UTC:
        return _EPOCH + at // DAY
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
        first, last, months = _span(day, period)
        count = amount = 0
        for month in months:
            row = self._rows.get(_key(who, program_id, month))
            if row is not None:
                use = _within(row, first, last)
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
        days[day] = _added(before, count, amount)
        self._rows.put(key, _encode(days))
        key = _key(who, program_id, "*")
        row = self._rows.get(key)
        before = (0, 0) if row is None else _decode_use(row)
        self._rows.put(key, _encode(_added(before, count, amount)))


def _added(use: Use, count: int, amount: int) -> Use:
    return use[0] + count, min(use[1] + amount, SUM_MAX)


def _key(who: PurchaseId, program_id: str, month: str) -> bytes:
    return f"u{who.member}\x1f{program_id}\x1f{month}".encode()


# Each purchase asks several times for the same few days: what is spelt or summed once is kept.
@lru_cache(10_000)
def _month(day: Day) -> str:
    return date.fromordinal(day).isoformat()[:7]


@lru_cache(10_000)
def _span(day: Day, period: str) -> tuple[Day, Day, tuple[str, ...]]:
    """The first and last day of a period, and the months whose rows hold them."""
    first, last = first_and_last(day, period)
    return first, last, tuple(dict.fromkeys((_month(first), _month(last))))


@lru_cache(10_000)
def _within(row: bytes, first: Day, last: Day) -> Use:
    count = amount = 0
    for day, use in _decode_days(row).items():
        if first <= day <= last:
            count += use[0]
            amount += use[1]
    return count, amount
