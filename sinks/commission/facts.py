"""Recorded rates: listed, exported, and given to a rebuild before anything of their month is posted."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

import psycopg

from schemas.errors import Rejected
from schemas.times import Micros, to_datetime, to_iso
from sinks.audit import record
from sinks.commission.forms import RATE_MAX, VOLUME_MAX, Form

_FIELDS = (
    "livemode", "partner_id", "merchant_id", "asset", "month", "volume", "rate_bps", "recorded_at",
)  # fmt: skip
_COLUMNS = """
livemode, partner_id, merchant_id, asset, month, volume, rate_bps,
(extract(epoch FROM recorded_at) * 1000000)::bigint
"""
_ALL = f"""
SELECT {_COLUMNS} FROM merchant_rates
WHERE (%(merchant)s::text IS NULL OR merchant_id = %(merchant)s)
  AND (%(partner)s::text IS NULL OR partner_id = %(partner)s)
  AND (%(month)s::date IS NULL OR month = %(month)s)
ORDER BY month, partner_id, merchant_id, asset, livemode DESC
"""  # noqa: S608 - constants
_GIVE = """
INSERT INTO merchant_rates (livemode, partner_id, merchant_id, asset, month, volume, rate_bps, recorded_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
"""
_KNOWN = f"""
SELECT {_COLUMNS} FROM merchant_rates
WHERE livemode = %s AND partner_id = %s AND merchant_id = %s AND asset = %s AND month = %s
"""  # noqa: S608 - constants


@dataclass(frozen=True)
class Rate:
    """A merchant's rate with a partner for a month (its first day), in hundredths of a percent.

    `volume` is what cleared in the month before, minor units or points, as far as it was posted then.
    """

    livemode: bool
    partner_id: str
    merchant_id: str
    asset: str
    month: date
    volume: int
    rate_bps: int
    recorded_at: Micros

    def to_json(self) -> dict[str, Any]:
        """The file form."""
        return {
            **{name: getattr(self, name) for name in _FIELDS},
            "month": f"{self.month:%Y-%m}",
            "recorded_at": to_iso(self.recorded_at),
        }


@dataclass(frozen=True)
class Imported:
    """How many rates were new, and how many were there already."""

    added: int
    known: int


def rates(
    connection: psycopg.Connection,
    *,
    merchant_id: str | None = None,
    partner_id: str | None = None,
    month: date | None = None,
) -> list[Rate]:
    """Recorded rates, by month, partner, merchant and asset."""
    names = {"merchant": merchant_id, "partner": partner_id, "month": month}
    return [Rate(*row) for row in connection.execute(_ALL, names)]


def parse(lines: Iterable[str]) -> Iterator[Rate]:
    """Rates in their file form, one JSON object a line. Raises `Rejected` naming the line and its field."""
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            given = json.loads(line)
        except ValueError as error:
            raise Rejected(f"line {number}", f"not JSON: {error}", "write one object a line") from None
        form = Form(given, _FIELDS, f"line {number}: ")
        yield Rate(
            form.boolean("livemode"),
            form.identifier("partner_id"),
            form.identifier("merchant_id"),
            form.asset("asset"),
            form.month("month"),
            form.integer("volume", VOLUME_MAX),
            form.integer("rate_bps", RATE_MAX),
            form.instant("recorded_at"),
        )


def give(
    connection: psycopg.Connection, given: Iterable[Rate], *, actor: str, reason: str, source: str
) -> Imported:
    """Record rates that an earlier ledger used; all of them or none. Audited, with `source` as its subject.

    Raises `Rejected` when one is recorded already otherwise: then cashbacks may have been posted with it.
    """
    added = known = 0
    with connection.transaction():
        for rate in given:
            if _add(connection, rate):
                added += 1
            else:
                known += 1
        details = {"added": added, "known": known}
        record(connection, actor=actor, action="rates.import", subject=source, reason=reason, details=details)
    return Imported(added, known)


def _add(connection: psycopg.Connection, rate: Rate) -> bool:
    key = (rate.livemode, rate.partner_id, rate.merchant_id, rate.asset, rate.month)
    figures = (rate.volume, rate.rate_bps, to_datetime(rate.recorded_at))
    if connection.execute(_GIVE, key + figures).rowcount == 1:
        return True
    row = connection.execute(_KNOWN, key).fetchone()
    assert row is not None
    recorded = Rate(*row)
    if (recorded.volume, recorded.rate_bps) == (rate.volume, rate.rate_bps):
        return False
    raise Rejected(
        "rate_bps",
        f"{rate.partner_id}, {rate.merchant_id}, {rate.asset}, {rate.month:%Y-%m}: {rate.rate_bps} on a "
        f"volume of {rate.volume} is given, {recorded.rate_bps} on {recorded.volume} is recorded",
        "a recorded rate is a fact; import into a ledger before anything of that month is posted",
    )
