"""The rate of a merchant for a month, as posting asks for it: looked up once, recorded when first needed.

A rate follows from what the merchant cleared in the month before, as far as it was posted when the month's
first cashback came. From then on it is a fact; what clears late changes volumes, and no rate.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, NamedTuple, TypeAlias

import psycopg

from schemas.times import Micros

REMEMBERED_MAX = 200_000

Moment: TypeAlias = tuple[int, Micros]
"""A merchant's funding account and a time: together they lie in one month of the merchant."""
_AccountMonth: TypeAlias = tuple[int, date]

_MONTHS = """
SELECT DISTINCT account_id, month::date,
       (extract(epoch FROM month AT TIME ZONE zone) * 1000000)::bigint,
       (extract(epoch FROM (month + interval '1 month') AT TIME ZONE zone) * 1000000)::bigint
FROM unnest(%(accounts)s::bigint[], %(moments)s::bigint[]) AS wanted (account_id, at)
JOIN accounts USING (account_id)
LEFT JOIN merchants USING (merchant_id)
CROSS JOIN LATERAL (SELECT coalesce(merchants.timezone, 'UTC') AS zone) AS local
CROSS JOIN LATERAL (
    SELECT date_trunc('month', (timestamptz 'epoch' + at * interval '1 microsecond') AT TIME ZONE zone)
) AS begun (month)
"""
# The tiers of the merchant and asset, else of the merchant, else of the asset, else of all.
_FIND = """
SELECT account_id, wanted.month, rate_bps, before, coalesce(cleared, 0), tiers.volumes, tiers.rates
FROM unnest(%(accounts)s::bigint[], %(months)s::date[], %(before)s::date[])
         AS wanted (account_id, month, before)
JOIN accounts USING (account_id)
LEFT JOIN merchant_rates AS known
    ON known.partner_id = accounts.partner_id AND known.merchant_id = accounts.merchant_id
    AND known.asset = accounts.asset AND known.livemode = accounts.livemode AND known.month = wanted.month
LEFT JOIN merchant_volumes AS sold ON sold.funding_account = account_id AND sold.month = before
LEFT JOIN LATERAL (
    SELECT array_agg(from_volume ORDER BY from_volume) AS volumes,
           array_agg(tier.rate_bps ORDER BY from_volume) AS rates
    FROM commission_tiers_now AS tier
    WHERE (tier.merchant_id = accounts.merchant_id OR tier.merchant_id IS NULL)
      AND (tier.asset = accounts.asset OR tier.asset IS NULL)
    GROUP BY tier.merchant_id, tier.asset
    ORDER BY tier.merchant_id NULLS LAST, tier.asset NULLS LAST LIMIT 1
) AS tiers ON true
"""
_RECORD = """
INSERT INTO merchant_rates (livemode, partner_id, merchant_id, asset, month, volume, rate_bps)
SELECT livemode, partner_id, merchant_id, asset, month, volume, rate_bps
FROM unnest(%(accounts)s::bigint[], %(months)s::date[], %(volumes)s::bigint[], %(rates)s::int[])
         AS recorded (account_id, month, volume, rate_bps)
JOIN accounts USING (account_id)
ORDER BY partner_id, merchant_id, asset, month, livemode
"""
_CLEAR = """
INSERT INTO merchant_volumes (funding_account, month, cleared)
SELECT * FROM unnest(%(accounts)s::bigint[], %(months)s::date[], %(cleared)s::bigint[]) AS moved
ORDER BY 1, 2
ON CONFLICT (funding_account, month) DO UPDATE SET cleared = merchant_volumes.cleared + excluded.cleared
"""


@dataclass(slots=True)
class _Month:
    """A calendar month of a merchant: its first day, where it begins and ends (exclusive), and its rate."""

    first: date
    begins: Micros
    ends: Micros
    bps: int | None = None


class _Unrecorded(NamedTuple):
    """What a rate follows from: the volume posted before this batch, and tiers (none: the flat rate)."""

    before: date
    volume: int
    from_volumes: list[int] | None
    rates: list[int] | None


class CommissionBook:
    """Rates and volumes of one session, a batch at a time.

    `begin`, then `rate` and `clear`, then `record` and, as the last of the transaction, `move`.
    """

    def __init__(self) -> None:
        self._months: dict[int, list[_Month]] = {}
        self._count = 0
        self._connection: psycopg.Connection | None = None
        self._earned: Callable[[], Iterable[Moment]] = tuple
        self._others: Callable[[], Iterable[Moment]] = tuple
        self._unrecorded: dict[_AccountMonth, _Unrecorded] = {}
        self._recorded: dict[_AccountMonth, tuple[int, int]] = {}
        self._cleared: Counter[_AccountMonth] = Counter()

    def forget(self) -> None:
        """Drop the memory: after a rolled-back transaction it holds what was never recorded."""
        self._months.clear()
        self._count = 0
        self._drop_batch()

    def begin(
        self,
        connection: psycopg.Connection,
        *,
        earned: Callable[[], Iterable[Moment]],
        others: Callable[[], Iterable[Moment]] = tuple,
    ) -> None:
        """Begin a batch inside its transaction; nothing is asked of the database but what is not known yet.

        `earned` and `others` say when asked of which creations and clearings the batch consists: what is
        missing is then looked up for all at once.
        """
        if self._count > REMEMBERED_MAX:
            self.forget()
        self._connection, self._earned, self._others = connection, earned, others

    def rate(self, account: int, at: Micros, *, flat_bps: int) -> int:
        """Hundredths of a percent for a cashback created at `at`; `flat_bps` where no tiers are given.

        Clearings of the batch count for it as far as `clear` was told of them before.
        """
        month = self._month(account, at)
        if month.bps is None and (account, month.first) not in self._unrecorded:
            self._learn_rates(account, at)
        if month.bps is None:
            month.bps = self._record((account, month.first), flat_bps)
        return month.bps

    def clear(self, account: int, at: Micros, amount: int) -> None:
        """Count a reward that cleared."""
        self._cleared[account, self._month(account, at).first] += amount

    def record(self, connection: psycopg.Connection) -> None:
        """Write the rates that the batch recorded. Raises `UniqueViolation` where another one recorded."""
        if self._recorded:
            volumes, rates = zip(*self._recorded.values(), strict=True)
            figures = {"volumes": list(volumes), "rates": list(rates)}
            connection.execute(_RECORD, _columns(self._recorded) | figures)

    def move(self, connection: psycopg.Connection) -> None:
        """Add what cleared to the volumes. All that clears for a merchant waits from here to the commit."""
        if self._cleared:
            connection.execute(_CLEAR, _columns(self._cleared) | {"cleared": list(self._cleared.values())})
        self._drop_batch()

    def _drop_batch(self) -> None:
        self._connection, self._earned, self._others = None, tuple, tuple
        self._unrecorded.clear()
        self._recorded.clear()
        self._cleared.clear()

    def _record(self, key: _AccountMonth, flat_bps: int) -> int:
        before, volume, from_volumes, rates = self._unrecorded[key]
        volume += self._cleared[key[0], before]
        bps = rates[bisect_right(from_volumes, volume) - 1] if from_volumes and rates else flat_bps
        self._recorded[key] = volume, bps
        return bps

    def _month(self, account: int, at: Micros) -> _Month:
        return self._known(account, at) or self._learn_months(account, at)

    def _known(self, account: int, at: Micros) -> _Month | None:
        for month in self._months.get(account, ()):
            if month.begins <= at < month.ends:
                return month
        return None

    def _learn_months(self, account: int, at: Micros) -> _Month:
        moments = {(account, at), *self._earned(), *self._others()}
        missing = [moment for moment in moments if not self._known(*moment)]
        names = {"accounts": [each for each, _ in missing], "moments": [each for _, each in missing]}
        for of, first, begins, ends in self._ask(_MONTHS, names):
            # The latest one learned is the likeliest to be asked for.
            self._months.setdefault(of, []).insert(0, _Month(first, begins, ends))
            self._count += 1
        month = self._known(account, at)
        assert month is not None, f"there is no account {account}"
        return month

    def _learn_rates(self, account: int, at: Micros) -> None:
        months: dict[_AccountMonth, _Month] = {}
        for moment in {(account, at), *self._earned()}:
            month = self._month(*moment)
            if month.bps is None:
                months[moment[0], month.first] = month
        before = [(month.first - timedelta(days=1)).replace(day=1) for month in months.values()]
        rows = self._ask(_FIND, _columns(months) | {"before": before})
        for of, first, bps, previous, volume, from_volumes, rates in rows:
            if bps is None:
                self._unrecorded.setdefault((of, first), _Unrecorded(previous, volume, from_volumes, rates))
            else:
                months[of, first].bps = bps

    def _ask(self, query: str, names: dict[str, Any]) -> list[tuple[Any, ...]]:
        assert self._connection is not None, "begin first"
        return self._connection.execute(query.encode(), names).fetchall()


def _columns(keys: Iterable[_AccountMonth]) -> dict[str, Any]:
    accounts, months = zip(*keys, strict=True)
    return {"accounts": list(accounts), "months": list(months)}
