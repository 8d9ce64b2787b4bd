"""Tiers of commission: from which volume on which rate, for all merchants or for one."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import psycopg
import yaml

from schemas.errors import Rejected
from schemas.program_files import PlainLoader
from schemas.times import Micros
from sinks.audit import record
from sinks.commission.forms import RATE_MAX, VOLUME_MAX, Form

_NEW_SET = "INSERT INTO commission_tier_sets DEFAULT VALUES RETURNING set_no"
_ADD = """
INSERT INTO commission_tiers (set_no, merchant_id, asset, from_volume, rate_bps) VALUES (%s, %s, %s, %s, %s)
"""
_LATEST = """
SELECT set_no, (extract(epoch FROM set_at) * 1000000)::bigint FROM commission_tier_sets
ORDER BY set_no DESC LIMIT 1
"""
_TIERS = """
SELECT merchant_id, asset, from_volume, rate_bps FROM commission_tiers WHERE set_no = %s
ORDER BY merchant_id NULLS FIRST, asset NULLS FIRST, from_volume
"""


@dataclass(frozen=True)
class Tier:
    """From this volume on (minor units, or points) this rate (hundredths of a percent)."""

    from_volume: int
    rate_bps: int


@dataclass(frozen=True)
class Schedule:
    """The tiers of a merchant (None: of those with none of their own), in an asset (None: in the others)."""

    merchant_id: str | None
    asset: str | None
    tiers: tuple[Tier, ...]


@dataclass(frozen=True)
class TierSet:
    """All schedules in force; number 0 is before any was set."""

    set_no: int
    set_at: Micros | None
    schedules: tuple[Schedule, ...]


def parse(text: str) -> list[Schedule]:
    """Schedules of a YAML (or JSON) list; an empty one means no tiers. Raises `Rejected` naming the field."""
    try:
        given = yaml.load(text, Loader=PlainLoader)  # noqa: S506 - it is a SafeLoader
    except yaml.YAMLError as error:
        raise Rejected("file", f"not YAML: {' '.join(str(error).split())}", "correct it") from None
    if not isinstance(given, list):
        raise Rejected("file", "is not a list", "write a list of schedules, or [] for no tiers")
    schedules = [_schedule(each, f"{place}.") for place, each in enumerate(given)]
    whose = [(each.merchant_id, each.asset) for each in schedules]
    for place, each in enumerate(whose):
        if each in whose[:place]:
            raise Rejected(str(place), f"the schedule of {_named(*each)} is given twice", "leave one")
    return schedules


def put(connection: psycopg.Connection, schedules: Sequence[Schedule], *, actor: str, reason: str) -> TierSet:
    """Put `schedules` in force instead of all before; rates recorded before stay. Audited."""
    with connection.transaction():
        row = connection.execute(_NEW_SET).fetchone()
        assert row is not None
        set_no = row[0]
        for each in schedules:
            for tier in each.tiers:
                values = (set_no, each.merchant_id, each.asset, tier.from_volume, tier.rate_bps)
                connection.execute(_ADD, values)
        details = {"schedules": [asdict(each) for each in schedules]}
        record(
            connection,
            actor=actor,
            action="tiers.set",
            subject=f"tiers {set_no}",
            reason=reason,
            details=details,
        )
        return in_force(connection)


def in_force(connection: psycopg.Connection) -> TierSet:
    """The schedules in force now."""
    row = connection.execute(_LATEST).fetchone()
    if row is None:
        return TierSet(0, None, ())
    found: dict[tuple[str | None, str | None], list[Tier]] = {}
    for merchant, asset, from_volume, rate_bps in connection.execute(_TIERS, (row[0],)):
        found.setdefault((merchant, asset), []).append(Tier(from_volume, rate_bps))
    return TierSet(row[0], row[1], tuple(Schedule(*whose, tuple(tiers)) for whose, tiers in found.items()))


def _schedule(given: object, path: str) -> Schedule:
    form = Form(given, ("merchant_id", "asset", "tiers"), path)
    tiers = [_tier(each, f"{path}tiers.{place}.") for place, each in enumerate(form.entries("tiers"))]
    if tiers[0].from_volume != 0:
        problem = f"{tiers[0].from_volume} leaves lower volumes without a rate"
        raise Rejected(f"{path}tiers.0.from_volume", problem, "begin the first tier at 0")
    for place, (before, tier) in enumerate(pairwise(tiers), start=1):
        if tier.from_volume <= before.from_volume:
            problem = f"{tier.from_volume} is not above {before.from_volume} of the tier before"
            raise Rejected(f"{path}tiers.{place}.from_volume", problem, "order tiers by volume")
    return Schedule(
        form.identifier("merchant_id") if form.has("merchant_id") else None,
        form.asset("asset") if form.has("asset") else None,
        tuple(tiers),
    )


def _tier(given: Any, path: str) -> Tier:
    form = Form(given, ("from_volume", "rate_bps"), path)
    return Tier(form.integer("from_volume", VOLUME_MAX), form.integer("rate_bps", RATE_MAX))


def _named(merchant: str | None, asset: str | None) -> str:
    return f"{merchant or 'all merchants'} in {asset or 'all assets'}"
