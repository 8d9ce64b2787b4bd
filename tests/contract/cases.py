"""The tables of cases in `ops/docs`: payments in a few words, and what they must lead to.

`02-01 SETTLED 1999 t2 member_id=ben` is a payment, `02-01 CLIPPED c1 expires_at=02-08` an entitlement,
`until 03-01` the end of the clock: all of 2024, of purchase t1 and member ann unless said otherwise.
What comes out is `REWARDED 19` for a decision and `02-01 created 19` for an event, with the purchase and
the program where there are several.
"""

from collections.abc import Iterable
from typing import Any

from schemas.entitlements import AIRDROPPED, CLIPPED, REVOKED, UNCLIPPED
from schemas.transactions import KINDS
from streams.simulate import SimulationResult, simulate
from tests.streams.told import Line, airdrop, clip, instant, payment

TIMES = ("occurred_at", "granted_at", "expires_at", "revoked_at")


def outcome(programs: list[Line], said: Iterable[str]) -> list[str]:
    """What payments and entitlements in few words lead to: decisions, then events, each in order.

    Raises `AssertionError` when one of them is refused.
    """
    payments: list[Line] = []
    entitlements: list[Line] = []
    until = None
    for words in said:
        first, *rest = words.split()
        if first == "until":
            until = instant(rest[0])
        elif rest[0] in KINDS:
            payments.append(_payment(first, *rest))
        else:
            entitlements.append(_entitlement(first, *rest))
    result = simulate(programs, payments, entitlements, until)
    refused = [str(bad.reason) for bad in (*result.bad, *result.conflicts, *result.unmatched)]
    assert not refused, refused
    return _told(
        result, {line["external_id"] for line in payments}, {each["program_id"] for each in programs}
    )


def _payment(at: str, kind: str, *rest: str) -> Line:
    fields = _fields(rest)
    plain = [word for word in rest if "=" not in word]
    amount = int(plain.pop(0)) if plain and plain[0].isdigit() else None
    return payment(kind, amount, at, external_id=plain[0] if plain else "t1", **fields)


def _entitlement(at: str, kind: str, name: str, *rest: str) -> Line:
    fields = _fields(rest)
    match kind:
        case "CLIPPED":
            assert kind == CLIPPED
            return clip(name, at, **fields)
        case "AIRDROPPED":
            assert kind == AIRDROPPED
            return airdrop(name, at, **fields)
        case _:
            assert kind in (UNCLIPPED, REVOKED)
            its = "clip_id" if kind == UNCLIPPED else "airdrop_id"
            return {
                "kind": kind,
                "partner_id": "bank",
                "member_id": "ann",
                its: name,
                "revoked_at": instant(at),
                **fields,
            }


def _fields(words: Iterable[str]) -> dict[str, Any]:
    pairs = [word.split("=", 1) for word in words if "=" in word]
    fields: dict[str, Any] = {name: instant(value) if name in TIMES else value for name, value in pairs}
    return fields | ({"livemode": fields["livemode"] == "true"} if "livemode" in fields else {})


def _told(result: SimulationResult, purchases: set[str], programs: set[str]) -> list[str]:
    def words(line: Line, *first: str) -> list[str]:
        whose = [line["transaction_ref"]] if len(purchases) > 1 else []
        whose += [line["program_id"]] if len(programs) > 1 and line["program_id"] else []
        return [*first, *whose]

    def amount(line: Line) -> list[str]:
        return [str(line["amount"])] if "amount" in line else []

    decisions = [" ".join([*words(line), line["decision"], *amount(line)]) for line in result.decisions]
    events = [
        " ".join(
            [*words(line, _short(line["timestamp"])), line["type"].removeprefix("cashback."), *amount(line)]
        )
        for line in result.events
    ]
    return decisions + events


def _short(timestamp: str) -> str:
    """2024-02-01T10:00:00Z as 02-01T10:00; what no case needs, years and seconds, stays when it is there."""
    day = timestamp.removeprefix("2024-").removesuffix("Z").removesuffix(":00")
    return day.removesuffix("T00:00")
