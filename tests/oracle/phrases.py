"""Short ways to say a program, a payment and what came of it."""

from collections.abc import Sequence
from typing import Any

from ops.oracle import Recomputation, recompute

Line = dict[str, Any]


def flat(amount: int) -> Line:
    """A flat reward."""
    return {"type": "flat", "amount": amount}


def percent(bps: int) -> Line:
    """A percentage of the basket."""
    return {"type": "percent", "bps": bps}


def tiers(*ends_and_amounts: int) -> Line:
    """`tiers(50, 2000, 200)`: 50 up to 2000, 200 above."""
    amounts, ends = ends_and_amounts[::2], ends_and_amounts[1::2]
    closed = [
        {"up_to_minor": end, "reward": flat(amount)} for amount, end in zip(amounts, ends, strict=False)
    ]
    return {"type": "tiered", "brackets": [*closed, {"reward": flat(amounts[-1])}]}


def campaign(reward: Line, program_id: str = "p", **terms: Any) -> Line:
    """A campaign in euro, in force since 2024, held two days."""
    base: Line = {
        "program_id": program_id,
        "version": 1,
        "type": "campaign",
        "currency": "EUR",
        "valid_from": "2024-01-01T00:00:00Z",
        "hold_days": 2,
        "reward": reward,
    }
    return base | terms


def said(when: str, kind: str, amount: int | None = None, part_id: str | None = None, **fields: Any) -> Line:
    """One event of purchase x of Ann; `when` is `day hour:minute` of February 2024, e.g. `01 10:00`."""
    day, clock = when.split()
    line: Line = {
        "partner_id": "bank",
        "external_id": "x",
        "member_id": "ann",
        "merchant_id": "shop",
        "kind": kind,
        "part_id": part_id,
        "amount_minor": amount,
        "currency": "EUR",
        "occurred_at": feb(day, clock),
        "channel": "ONLINE",
    }
    return line | fields


def feb(day: str, clock: str) -> str:
    """An instant of February 2024."""
    return f"2024-02-{day}T{clock}:00Z"


def story(result: Recomputation) -> list[str]:
    """One short sentence a cashback, by program and sequence."""
    told = sorted(result.cashbacks.values(), key=lambda c: (c.program_id, c.sequence))
    return [f"{c.program_id}#{c.sequence} {c.amount} {c.reason or c.state}" for c in told]


def words(result: Recomputation) -> dict[str | None, str]:
    """The latest decision of each program."""
    return {program_id: decision.decision for (_, program_id), decision in result.decisions.items()}


def tell(programs: Sequence[Line], lines: Sequence[Line], until: str | None = None) -> Recomputation:
    """Recompute; `until` as in `said`."""
    return recompute(programs, lines, until=None if until is None else feb(*until.split()))
