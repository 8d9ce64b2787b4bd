"""Made-up programs with edges where amounts and times lie, for histories that look for mistakes.

All take a `random.Random`, so that a seed replays them.
"""

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

Line = dict[str, Any]

STARTS = (
    datetime(2026, 3, 26, 9, 0, tzinfo=UTC),  # three days before summer time begins in Europe
    datetime(2025, 10, 23, 18, 30, tzinfo=UTC),  # three days before it ends
    datetime(2024, 2, 27, 23, 59, 59, 999_999, tzinfo=UTC),  # leap day ahead
    datetime(2025, 11, 1, 4, 0, tzinfo=UTC),  # a day before it ends in New York
)
TYPES = ("campaign", "deal", "deal", "airdrop", "loyalty_program", "loyalty_program")
PERIODS = ("day", "day", "week", "month", "lifetime")
ZONES = ("Europe/Paris", "America/New_York", "Australia/Lord_Howe", "UTC")
SMALL_BASKETS = (0, 1, 100, 999, 1000, 1001, 2000, 2001)
BASKETS = (0, 1, 99, 100, 999, 1000, 1001, 1999, 2000, 2001, 3333, 4999, 5000, 5001, 28950)
_BOUNDS = (1, 49, 50, 75, 99, 200, 250, 500)
_SHUTS = frozenset(
    {
        "merchant_ids",
        "partner_ids",
        "store_ids",
        "mccs",
        "channels",
        "schedule",
        "valid_to",
        "min_spend_minor",
    }
)


def open_campaign(rng: Random, program_id: str, start: datetime) -> Line:
    """A campaign in euro that only amounts can keep from rewarding."""
    program = campaign(rng, program_id, start, unit=rng.choice(("currency", "points")))
    shut = {"merchant_ids", "partner_ids", "store_ids", "mccs", "channels", "schedule", "valid_to"}
    return {name: value for name, value in program.items() if name not in shut} | {
        "currency": "EUR",
        "version": 1,
    }


def program_versions(rng: Random, program_id: str, start: datetime) -> list[Line]:
    """One to three versions of one campaign around `start`; they agree on currency and unit."""
    currency = "EUR" if chance(rng, 85) else "GBP"
    unit = rng.choice(("currency", "currency", "points"))
    first = {**campaign(rng, program_id, start, unit=unit), "currency": currency, "version": 1}
    versions = [first]
    for version in range(2, 2 + (rng.randint(0, 2) if chance(rng, 40) else 0)):
        later = campaign(rng, program_id, start, unit=unit)
        effective_from = iso(start + timedelta(hours=rng.randint(-48, 48)))
        versions.append({**later, "currency": currency, "version": version, "effective_from": effective_from})
    return versions


def any_open_program(rng: Random, program_id: str, start: datetime) -> list[Line]:
    """One to three versions of a program of any type that bounds members, not shops, keep from rewarding.

    They agree on currency and unit, and now and then not even on the type.
    """
    unit = rng.choice(("currency", "currency", "points"))
    kind = rng.choice(TYPES)
    versions: list[Line] = []
    for version in range(1, 2 + (rng.randint(0, 2) if chance(rng, 35) else 0)):
        program = campaign(rng, program_id, start, unit=unit)
        open_one = {name: value for name, value in program.items() if name not in _SHUTS or chance(rng, 8)}
        typed = of_type(rng, open_one, kind if chance(rng, 95) else rng.choice(TYPES))
        typed |= {"currency": "EUR", "version": version}
        if version > 1:
            typed["effective_from"] = iso(start + timedelta(hours=rng.randint(-24, 96)))
        versions.append(bounded(rng, typed))
    return versions


def of_type(rng: Random, program: Line, kind: str) -> Line:
    """The program as one of another type."""
    typed = {**program, "type": kind}
    if kind == "deal" and chance(rng, 25):
        typed["clip_reusable"] = True
    if kind == "loyalty_program":
        if chance(rng, 60):
            typed["threshold_count"] = rng.choice((1, 2, 2, 3))
        else:
            typed["threshold_minor"] = rng.choice((1, 1000, 2001, 3000, 5000))
        if chance(rng, 30):
            typed["external_id"] = f"ext-{program['program_id']}"
    return typed


def bounded(rng: Random, program: Line) -> Line:
    """The program with bounds that a handful of purchases reaches, by the calendar of some zone."""
    bounds: Line = {}
    if chance(rng, 40):
        bounds["member_limit"] = {"count": rng.choice((1, 1, 2, 3)), "period": rng.choice(PERIODS)}
    if chance(rng, 40):
        bounds["member_cap"] = {"amount": rng.choice(_BOUNDS), "period": rng.choice(PERIODS)}
    if chance(rng, 30):
        scopes = rng.choice((("total",), ("daily",), ("total", "daily")))
        bounds["budget"] = {scope: rng.choice(_BOUNDS) for scope in scopes}
    if chance(rng, 15):
        bounds["new_members_only"] = True
    if "schedule" not in program and chance(rng, 40):
        bounds["schedule"] = {"timezone": rng.choice(ZONES)}
    return program | bounds


def campaign(rng: Random, program_id: str, start: datetime, *, unit: str) -> Line:
    """A campaign without version and currency, its edges on the amounts of `BASKETS`."""
    program: Line = {
        "program_id": program_id,
        "type": "campaign",
        "valid_from": iso(start - timedelta(days=rng.choice((30, 30, 1, 0)))),
        "hold_days": rng.choice((0, 0, 1, 2, 14, 30)),
        "reward": reward(rng, unit),
    }
    if chance(rng, 15):
        program["valid_to"] = iso(start + timedelta(days=rng.choice((1, 2, 60))))
    if chance(rng, 35):
        program["min_spend_minor"] = rng.choice(BASKETS)
    if chance(rng, 30):
        program["max_spend_minor"] = max(rng.choice(BASKETS), program.get("min_spend_minor", 0))
    if chance(rng, 40):
        program["hold_anchor"] = rng.choice(("purchase", "settled"))
    if chance(rng, 30):
        program["auth_expiry_days"] = rng.choice((1, 2, 5, 30))
    if chance(rng, 40):
        program["stackable"] = True
    if chance(rng, 25):
        program["priority"] = rng.choice((-1, 0, 1))
    program |= filters(rng)
    if chance(rng, 20):
        program["schedule"] = schedule(rng, start)
    return program


def filters(rng: Random) -> Line:
    """Now and then something that shuts a purchase out."""
    choices: Line = {}
    for field, values in (
        ("merchant_ids", ("shop", "inn")),
        ("partner_ids", ("bank",)),
        ("store_ids", ("s1", "s2")),
        ("mccs", ("5411",)),
        ("channels", ("ONLINE", "IN_STORE")),
    ):
        if chance(rng, 12):
            choices[field] = [rng.choice(values)]
    return choices


def reward(rng: Random, unit: str) -> Line:
    """Flat, percent or tiered with cliffs both ways."""
    if chance(rng, 45):
        ends = sorted({rng.choice(BASKETS[1:]) for _ in range(rng.randint(1, 3))})
        brackets: list[Line] = [{"up_to_minor": end, "reward": plain_reward(rng)} for end in ends]
        chosen: Line = {"type": "tiered", "brackets": [*brackets, {"reward": plain_reward(rng)}]}
    else:
        chosen = plain_reward(rng)
    return chosen | ({"unit": "points"} if unit == "points" else {})


def plain_reward(rng: Random) -> Line:
    """A reward as it may stand in a bracket."""
    if chance(rng, 50):
        return {"type": "flat", "amount": rng.choice((0, 1, 50, 200))}
    percent: Line = {"type": "percent", "bps": rng.choice((0, 1, 100, 150, 1000, 10_000))}
    return percent | ({"max_amount": rng.choice((1, 30, 500))} if chance(rng, 25) else {})


def schedule(rng: Random, start: datetime) -> Line:
    """Opening hours; over midnight too."""
    hours: Line = {"timezone": rng.choice(ZONES)}
    if chance(rng, 40):
        hours["weekdays"] = sorted(rng.sample(range(1, 8), rng.randint(1, 6)))
    opens, closes = rng.sample(("00:00", "01:30", "02:30", "09:00", "18:00", "23:59"), 2)
    if chance(rng, 70):
        hours["from"] = opens
    if chance(rng, 70) and (closes != "00:00" or "from" in hours):
        hours["to"] = closes
    if chance(rng, 25):
        hours["excluded_dates"] = [(start + timedelta(days=rng.randint(0, 3))).date().isoformat()]
    return hours


def chance(rng: Random, percent: int) -> bool:
    """True in `percent` of 100 cases; shrinks to False."""
    return rng.randint(0, 99) >= 100 - percent


def iso(at: datetime) -> str:
    """ISO 8601 with Z."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def span(rng: Random) -> timedelta:
    """From minutes to weeks; whole days meet holds and expiries to the microsecond."""
    if chance(rng, 30):
        return timedelta(days=rng.choice((1, 2, 5, 14, 30, 60)), microseconds=rng.choice((0, 0, 1, -1)))
    return timedelta(minutes=rng.choice((0, 1, 60, 60 * 24, 60 * 24 * 3)) + rng.randint(0, 90))
