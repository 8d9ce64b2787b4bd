"""Made-up histories, small and nasty, for laws. The long plain ones for load are in `ops.torture.payments`.

All take a `random.Random`, so that a seed replays them and Hypothesis can drive and shrink them
(`st.randoms(use_true_random=False)`).
"""

from dataclasses import dataclass
from dataclasses import field as field_of
from datetime import datetime, time, timedelta
from random import Random
from zoneinfo import ZoneInfo

from ops.simulation.grants import entitlements
from ops.simulation.programs import (
    BASKETS,
    SMALL_BASKETS,
    STARTS,
    ZONES,
    Line,
    any_open_program,
    chance,
    iso,
    open_campaign,
    program_versions,
    span,
)

__all__ = [
    "BASKETS",
    "SMALL_BASKETS",
    "History",
    "Line",
    "chance",
    "crowded_history",
    "held_history",
    "iso",
    "nasty_history",
    "shared_history",
]


@dataclass(frozen=True)
class History:
    """Programs, inputs in file order, the time to which the clock moves at the end (ISO 8601) or None,
    and what members may use.
    """

    programs: list[Line]
    transactions: list[Line]
    until: str | None
    entitlements: list[Line] = field_of(default_factory=list)


def nasty_history(rng: Random, *, spoiled: bool = True) -> History:
    """A few purchases of a few members under a few programs, with everything that may go wrong.

    Unless `spoiled`, without repetitions and conflicts.
    """
    start = rng.choice(STARTS)
    programs = [
        version for n in range(rng.randint(1, 4)) for version in program_versions(rng, f"p{n}", start)
    ]
    arrivals: list[tuple[datetime, int, Line]] = []
    for number in range(rng.randint(1, 3)):
        for line in purchase(rng, f"x{number}", start):
            arrivals.append((_arrival(rng, line), len(arrivals), line))
    for _ in range(rng.randint(0, 3) if spoiled else 0):
        at, _, line = rng.choice(arrivals)
        again = line if chance(rng, 60) else conflicting(rng, line)
        after = span(rng) if chance(rng, 80) else timedelta(days=-1)
        arrivals.append((at + after, len(arrivals), again))
    arrivals.sort(key=lambda item: item[:2])
    until = rng.choice((None, start + timedelta(days=rng.randint(0, 50)), start + timedelta(days=400)))
    return History(programs, [line for _, _, line in arrivals], None if until is None else iso(until))


def crowded_history(rng: Random) -> History:
    """One purchase with many parts under programs that all let it in: amounts, waiting, choice, cases."""
    start = rng.choice(STARTS)
    programs = [open_campaign(rng, f"p{n}", start) for n in range(rng.randint(1, 4))]
    if chance(rng, 25):  # nothing but age and name tells them apart
        programs = [{**program, "reward": programs[0]["reward"], "priority": 0} for program in programs]
    kinds = ("AUTHORIZED", "SETTLED", "SETTLED", "REFUNDED", "REFUNDED")
    lines: list[Line] = []
    for part in range(rng.randint(1, 8)):
        kind = rng.choice(kinds) if chance(rng, 95) else rng.choice(("VOIDED", "DECLINED"))
        amount = None if kind == "AUTHORIZED" and chance(rng, 15) else rng.choice(SMALL_BASKETS)
        at = start + (span(rng) if lines else timedelta())
        lines.append(one_purchase(kind, amount, at, part))
    lines = sorted(lines, key=lambda line: str(line["occurred_at"])) if chance(rng, 50) else lines
    return History(programs, lines, iso(start + timedelta(days=rng.choice((1, 15, 200)))))


def shared_history(rng: Random) -> History:
    """A few members who buy often, so that clips, limits, caps, budgets and stamps bind their purchases.

    Purchases lie around midnights of several zones; events come late now and then.
    """
    start = rng.choice(STARTS)
    programs = [
        version for n in range(rng.randint(1, 3)) for version in any_open_program(rng, f"p{n}", start)
    ]
    members = [("bank", "ann"), ("bank", "ben"), ("wallet", "ann")][: rng.choice((1, 1, 2, 3))]
    arrivals: list[tuple[datetime, int, Line]] = []
    times: list[datetime] = []
    for number in range(rng.randint(2, 7)):
        began = _near_midnight(rng, start)
        times.append(began)
        for line in _shared_purchase(rng, f"x{number}", rng.choice(members), began):
            late = timedelta(hours=rng.randint(1, 90)) if chance(rng, 8) else timedelta()
            arrivals.append((datetime.fromisoformat(line["occurred_at"]) + late, len(arrivals), line))
    arrivals.sort(key=lambda item: item[:2])
    until = rng.choice((None, start + timedelta(days=rng.randint(3, 50)), start + timedelta(days=170)))
    return History(
        programs,
        [line for _, _, line in arrivals],
        None if until is None else iso(until),
        entitlements(rng, programs, members, times),
    )


def _near_midnight(rng: Random, start: datetime) -> datetime:
    """An instant in the days around `start`, often where a day, a week or a month begins somewhere."""
    if chance(rng, 40):
        return start + timedelta(hours=rng.randint(0, 24 * 6))
    day = (start + timedelta(days=rng.randint(0, 8))).date()
    midnight = datetime.combine(day, time(), tzinfo=ZoneInfo(rng.choice(ZONES)))
    return max(start, midnight + timedelta(microseconds=rng.choice((-1, 0, 1, 3_600_000_000))))


def _shared_purchase(rng: Random, external_id: str, member: tuple[str, str], began: datetime) -> list[Line]:
    """One purchase, mostly settled, refunded in part or whole, raised or voided now and then."""
    same: Line = {"partner_id": member[0], "member_id": member[1], "external_id": external_id}
    same |= {"merchant_id": "shop" if chance(rng, 85) else "inn", "currency": "EUR", "channel": "ONLINE"}
    if chance(rng, 5):
        same["livemode"] = False
    basket = rng.choice(SMALL_BASKETS[2:])
    steps: list[tuple[str, int | None]] = []
    if chance(rng, 50):
        steps.append(("AUTHORIZED", basket))
    if not steps or chance(rng, 70):
        steps.append(("SETTLED", basket if chance(rng, 75) else rng.choice(SMALL_BASKETS)))
    for kind in rng.choices(("REFUNDED", "SETTLED", "AUTHORIZED"), (5, 3, 1), k=rng.randint(0, 3)):
        steps.append((kind, rng.choice((basket, basket // 2, *SMALL_BASKETS[2:]))))
    if chance(rng, 12):
        steps.append((rng.choice(("VOIDED", "DECLINED")), None))
    lines: list[Line] = []
    at = began
    for part, (kind, amount) in enumerate(steps):
        line = {**same, "kind": kind, "occurred_at": iso(at), "part_id": f"{part}"}
        lines.append(line if amount is None else {**line, "amount_minor": amount})
        at = began + span(rng)
    return lines


def held_history(rng: Random) -> History:
    """One purchase judged by its first line, all of it before any hold or expiry ends.

    One program at most is not stackable, so that no choice depends on the order.
    """
    start = rng.choice(STARTS)
    terms = {"hold_days": rng.randint(6, 30), "auth_expiry_days": 30}
    programs = [
        {**open_campaign(rng, f"p{n}", start), **terms, "stackable": n > 0} for n in range(rng.randint(1, 3))
    ]
    lines = [one_purchase(rng.choice(("AUTHORIZED", "SETTLED")), rng.choice(SMALL_BASKETS[2:]), start, 0)]
    for part in range(1, rng.randint(2, 7)):
        kind = rng.choice(("AUTHORIZED", "SETTLED", "SETTLED", "REFUNDED")) if chance(rng, 96) else "VOIDED"
        amount = None if kind == "VOIDED" else rng.choice(SMALL_BASKETS)
        lines.append(one_purchase(kind, amount, start + timedelta(hours=rng.randint(0, 120)), part))
    return History(programs, lines, iso(start + timedelta(days=rng.choice((5, 400)))))


def one_purchase(kind: str, amount: int | None, at: datetime, part: int) -> Line:
    """An event of purchase x0 of Ann at the shop."""
    line: Line = {"kind": kind, "occurred_at": iso(at), "part_id": f"{part}", "currency": "EUR"}
    line |= {"partner_id": "bank", "external_id": "x0", "member_id": "ann"}
    line |= {"merchant_id": "shop", "channel": "ONLINE"}
    return line if amount is None else {**line, "amount_minor": amount}


def purchase(rng: Random, external_id: str, start: datetime) -> list[Line]:
    """What happened to one purchase, in the order it happened."""
    began = start + timedelta(minutes=rng.randint(0, 4 * 24 * 60))
    same: Line = {
        "partner_id": rng.choice(("bank", "bank", "wallet")),
        "external_id": external_id,
        "member_id": rng.choice(("ann", "ben")),
        "merchant_id": rng.choice(("shop", "shop", "inn")),
        "currency": "EUR" if chance(rng, 90) else rng.choice(("GBP", "JPY")),
        "channel": rng.choice(("ONLINE", "IN_STORE")),
    }
    if chance(rng, 10):
        same["livemode"] = rng.choice((True, False))
    for field, values in (("store_id", ("s1", "s2")), ("mcc", ("5411", "5812"))):
        if chance(rng, 50):
            same[field] = rng.choice(values)
    lines: list[Line] = []
    for kind, amount in _steps(rng):
        at = began if not lines else began + span(rng)
        part = {"part_id": f"{kind[0]}{len(lines)}"} if chance(rng, 90) else {}
        lines.append({**same, "kind": kind, "occurred_at": iso(at), **part, **amount})
    return lines


def conflicting(rng: Random, line: Line) -> Line:
    """The same identity with another content, or an event of the purchase somewhere else."""
    if chance(rng, 50):
        return {**line, "amount_minor": (line.get("amount_minor") or 0) + 1}
    other = {"merchant_id": "elsewhere"} if chance(rng, 50) else {"currency": "USD"}
    kind = {"kind": "REFUNDED", "amount_minor": 1} if chance(rng, 30) else {}
    return {**line, "part_id": rng.choice((line.get("part_id"), "other")), **other, **kind}


def _steps(rng: Random) -> list[tuple[str, Line]]:
    """Kinds and amounts of one purchase."""
    basket = rng.choice(BASKETS)
    steps: list[tuple[str, Line]] = []
    if chance(rng, 15):
        steps.append(("AUTHORIZED", {}))
    if chance(rng, 60):
        steps.append(("AUTHORIZED", {"amount_minor": basket}))
    if chance(rng, 20):
        steps.append(("AUTHORIZED", {"amount_minor": rng.choice(BASKETS)}))
    if chance(rng, 80):
        steps.append(("SETTLED", {"amount_minor": basket if chance(rng, 60) else rng.choice(BASKETS)}))
    if chance(rng, 25):
        steps.append(("SETTLED", {"amount_minor": rng.choice(BASKETS)}))
    for _ in range(rng.randint(0, 3) if chance(rng, 50) else 0):
        steps.append(("REFUNDED", {"amount_minor": rng.choice((basket, basket // 3, rng.choice(BASKETS)))}))
    if chance(rng, 12):
        steps.append((rng.choice(("VOIDED", "DECLINED")), {}))
    return steps or [("REFUNDED", {"amount_minor": basket})]


def _arrival(rng: Random, line: Line) -> datetime:
    at = datetime.fromisoformat(line["occurred_at"])
    return at + span(rng) if chance(rng, 25) else at
