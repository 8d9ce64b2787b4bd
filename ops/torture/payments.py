"""Made-up payments for load: endless, seeded, in the order in which they arrive, in bounded memory."""

from collections import deque
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from random import Random
from typing import Any

from ops.simulation.programs import iso

Line = dict[str, Any]

BEGIN = datetime(2025, 1, 6, 8, 0, tzinfo=UTC)


def mixed_inputs(
    count: int,
    seed: int,
    *,
    members: int = 1000,
    partners: Sequence[str] = ("bank",),
    start: datetime = BEGIN,
    seconds_between: float = 120.0,
) -> Iterator[Line]:
    """Exactly `count` plain inputs for load and end-to-end runs, in the order they arrive.

    A tenth are duplicates, a twentieth come late (by up to two days), 15 % of the purchases are refunded
    (half of them in part, a fifth of them before the purchase is known), three currencies, a fifth of the
    purchases in two captures. `seconds_between` purchases on average: 50 000 inputs last a month.
    """
    rng = Random(seed)
    under_way: list[tuple[datetime, int, Line]] = []
    recent: deque[Line] = deque(maxlen=500)
    now, number, queued = start, 0, 0
    for made in range(count):
        left = 0.9 * (count - made)  # without the duplicates among them
        while len(under_way) < left and (not under_way or now < under_way[0][0]):
            number += 1
            now += timedelta(seconds=rng.expovariate(1 / seconds_between))
            for at, line in _purchase(rng, f"t{number}", now, members, partners):
                queued += 1
                heappush(under_way, (at, queued, line))
        if recent and (not under_way or rng.random() < 0.1):
            yield rng.choice(recent)
        else:
            line = heappop(under_way)[2]
            recent.append(line)
            yield line


def mixed_programs() -> list[Line]:
    """Campaigns under which `mixed_inputs` earn: percent, tiered, points and a stackable flat one."""
    begin = {"type": "campaign", "version": 1, "valid_from": "2024-01-01T00:00:00Z"}
    tiers = [{"up_to_minor": 2000, "reward": {"type": "flat", "amount": 50}}]
    points = {
        "type": "tiered",
        "unit": "points",
        "brackets": [*tiers, {"reward": {"type": "flat", "amount": 200}}],
    }
    one = {"type": "percent", "bps": 100}
    return [
        {
            **begin,
            "program_id": "one-percent",
            "currency": "EUR",
            "min_spend_minor": 1001,
            "hold_days": 14,
            "reward": one,
        },
        {
            **begin,
            "program_id": "points",
            "currency": "EUR",
            "hold_days": 0,
            "stackable": True,
            "reward": points,
        },
        {
            **begin,
            "program_id": "pounds",
            "currency": "GBP",
            "hold_days": 2,
            "hold_anchor": "settled",
            "reward": one,
        },
        {
            **begin,
            "program_id": "dollars",
            "currency": "USD",
            "hold_days": 1,
            "reward": {"type": "flat", "amount": 25},
        },
    ]


def _purchase(
    rng: Random, external_id: str, now: datetime, members: int, partners: Sequence[str]
) -> list[tuple[datetime, Line]]:
    """One purchase, each line with its arrival."""
    amount = rng.randint(100, 9000)
    same: Line = {
        "partner_id": rng.choice(partners),
        "external_id": external_id,
        "member_id": f"m{rng.randrange(members)}",
        "merchant_id": "grocer",
        "currency": rng.choices(("EUR", "GBP", "USD"), (70, 15, 15))[0],
        "channel": rng.choice(("IN_STORE", "ONLINE")),
        "store_id": f"s{rng.randrange(5)}",
        "mcc": "5411",
    }
    events = [(now, "AUTHORIZED", amount)]
    for captured in [amount] if rng.random() < 0.8 else [amount // 3, amount - amount // 3]:
        events.append((now + timedelta(hours=rng.randint(1, 48)), "SETTLED", captured))
    known_from = now
    if rng.random() < 0.15:
        back = amount if rng.random() < 0.5 else rng.randint(1, amount)
        early = rng.random() < 0.2
        at = now + timedelta(hours=rng.randint(1, 3) if early else rng.randint(24, 480))
        events.append((at, "REFUNDED", back))
        known_from = at + timedelta(seconds=1) if early else now
    lines = []
    for part, (at, kind, minor) in enumerate(events):
        line = {**same, "kind": kind, "part_id": f"{part}", "amount_minor": minor, "occurred_at": iso(at)}
        late = timedelta(hours=rng.randint(1, 48)) if rng.random() < 0.05 else timedelta()
        lines.append((at if kind == "REFUNDED" else max(at + late, known_from), line))
    return lines
