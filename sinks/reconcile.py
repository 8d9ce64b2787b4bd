"""Reconciliation: one query on one view."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date

import psycopg
from psycopg import sql

from sinks.books.reading import ROWS_AT_ONCE, reading

# Of the lines before the first day wanted each merchant's last: what was pending then is pending still.
_QUERY = sql.SQL("""
SELECT merchant_id, livemode, asset, day, created, cleared, reverted, reversed, pending, commission, proof,
       day < %(since)s::date AS is_before
FROM (
    SELECT *, lead(day) OVER (PARTITION BY merchant_id, livemode, asset ORDER BY day) AS next_day
    FROM {view}
    WHERE (%(merchant)s::text IS NULL OR merchant_id = %(merchant)s)
      AND (%(partner)s::text IS NULL OR {partner})
      AND (%(until)s::date IS NULL OR day IS NULL OR day <= %(until)s)
) AS line
WHERE %(since)s::date IS NULL OR day IS NULL OR day >= %(since)s OR next_day IS NULL OR next_day >= %(since)s
ORDER BY merchant_id, livemode DESC, asset, day
""")
_OF_ALL = _QUERY.format(view=sql.Identifier("reconciliation"), partner=sql.SQL("true"))
_OF_PARTNER = _QUERY.format(
    view=sql.Identifier("partner_reconciliation"), partner=sql.SQL("partner_id = %(partner)s")
)


@dataclass(frozen=True)
class Wanted:
    """Which lines; days are those of each merchant's time zone, both inclusive, None: from ever, for ever."""

    merchant_id: str | None = None
    partner_id: str | None = None
    since: date | None = None
    until: date | None = None


@dataclass(frozen=True)
class Line:
    """One merchant, asset and day (of the merchant's time zone); amounts in minor units or points.

    `pending` is what was pending at the end of the day; the other amounts moved on it. `proof` must be 0:
    it is what the transfers and the kept balances differ from what the cashbacks say. No `day`: not one
    entry is left of a merchant who has cashbacks, so the proof is not 0 either.
    """

    merchant_id: str
    livemode: bool
    asset: str
    day: date | None
    created: int
    cleared: int
    reverted: int
    reversed: int
    pending: int
    commission: int
    proof: int


@dataclass(frozen=True)
class Total:
    """All lines of one mode and asset; `pending` as it was at the end of the last day wanted."""

    livemode: bool
    asset: str
    created: int = 0
    cleared: int = 0
    reverted: int = 0
    reversed: int = 0
    pending: int = 0
    commission: int = 0
    proof: int = 0

    def plus(self, line: Line) -> "Total":
        """With the movements of `line`; what is pending is not added, it does not move."""
        return replace(
            self,
            created=self.created + line.created,
            cleared=self.cleared + line.cleared,
            reverted=self.reverted + line.reverted,
            reversed=self.reversed + line.reversed,
            commission=self.commission + line.commission,
            proof=self.proof + line.proof,
        )


class Reconciliation:
    """The lines in their order, read while they are asked for, and the totals of those read so far."""

    def __init__(self, connection: psycopg.Connection, wanted: Wanted) -> None:
        self._connection = connection
        self._wanted = wanted
        self._totals: dict[tuple[bool, str], Total] = {}

    def lines(self) -> Iterator[Line]:
        """By merchant, live before test, asset and day."""
        names = {
            "merchant": self._wanted.merchant_id,
            "partner": self._wanted.partner_id,
            "since": self._wanted.since,
            "until": self._wanted.until,
        }
        with self._connection.cursor(name="reconciliation") as rows:
            rows.itersize = ROWS_AT_ONCE
            rows.execute(_OF_PARTNER if self._wanted.partner_id else _OF_ALL, names)
            yield from self._summed_up(rows)

    def totals(self) -> list[Total]:
        """One a mode and asset, live before test; complete once all lines were read."""
        return sorted(self._totals.values(), key=lambda each: (not each.livemode, each.asset))

    def _summed_up(self, rows: Iterable[tuple[object, ...]]) -> Iterator[Line]:
        last: Line | None = None
        for *figures, is_before in rows:
            line = Line(*figures)  # type: ignore[arg-type]
            kind = (line.livemode, line.asset)
            total = self._totals.get(kind, Total(line.livemode, line.asset))
            is_same = last and (last.merchant_id, last.livemode, last.asset) == (line.merchant_id, *kind)
            grown = line.pending - (last.pending if last and is_same else 0)
            if not is_before:
                total = total.plus(line)
            self._totals[kind] = replace(total, pending=total.pending + grown)
            last = line
            if not is_before:
                yield line


def reconcile(database_url: str) -> list[Line]:
    """Every line, by merchant, live before test, asset and day."""
    with reading(database_url, "reconcile") as connection:
        return list(Reconciliation(connection, Wanted()).lines())
