"""Payments and programs in few words, and the story they lead to, for tests that read like one."""

from collections.abc import Iterable
from typing import Any

from streams.simulate import SimulationResult, simulate

Line = dict[str, Any]


def payment(kind: str, amount: int | None, at: str, **fields: Any) -> Line:
    """A payment of 2024 at day and time `MM-DD` or `MM-DDTHH:MM`; `fields` override the rest."""
    line: Line = {
        "partner_id": "bank",
        "external_id": "t1",
        "member_id": "ann",
        "merchant_id": "grocer",
        "kind": kind,
        "currency": "EUR",
        "occurred_at": instant(at),
        "channel": "IN_STORE",
        **fields,
    }
    return line if amount is None else {**line, "amount_minor": amount}


def campaign(program_id: str = "one-percent", **fields: Any) -> Line:
    """A campaign: 1 %, 14 days of hold, from 2024 on; `fields` override."""
    return {
        "program_id": program_id,
        "version": 1,
        "type": "campaign",
        "currency": "EUR",
        "valid_from": "2024-01-01T00:00:00Z",
        "reward": {"type": "percent", "bps": 100},
        "hold_days": 14,
        **fields,
    }


def deal(program_id: str = "half-off", **fields: Any) -> Line:
    """A deal that must be clipped: flat 200, no hold; `fields` override."""
    return campaign(
        program_id, **{"type": "deal", "reward": {"type": "flat", "amount": 200}, "hold_days": 0, **fields}
    )


def stamps(program_id: str = "card", **fields: Any) -> Line:
    """A loyalty program: the third purchase redeems 500, 14 days of hold; `fields` override."""
    flat = {"type": "flat", "amount": 500}
    return campaign(program_id, **{"type": "loyalty_program", "threshold_count": 3, "reward": flat, **fields})


def clip(clip_id: str = "c1", at: str = "01-01", until: str | None = None, **fields: Any) -> Line:
    """A clip of `half-off` by ann."""
    line: Line = {
        "kind": "CLIPPED",
        "partner_id": "bank",
        "member_id": "ann",
        "clip_id": clip_id,
        "program_id": "half-off",
        "granted_at": instant(at),
        **fields,
    }
    return line if until is None else {**line, "expires_at": instant(until)}


def unclip(clip_id: str = "c1", at: str = "01-02") -> Line:
    """The end of a clip."""
    return {
        "kind": "UNCLIPPED",
        "partner_id": "bank",
        "member_id": "ann",
        "clip_id": clip_id,
        "revoked_at": instant(at),
    }


def airdrop(airdrop_id: str = "a1", at: str = "01-01", until: str | None = None, **fields: Any) -> Line:
    """An airdrop of `gift` to ann."""
    line: Line = {
        "kind": "AIRDROPPED",
        "partner_id": "bank",
        "member_id": "ann",
        "airdrop_id": airdrop_id,
        "program_id": "gift",
        "variant_id": "var_1",
        "creative_id": "dc_1",
        "granted_at": instant(at),
        **fields,
    }
    return line if until is None else {**line, "expires_at": instant(until)}


def instant(at: str) -> str:
    """`02-01` → 2024-02-01T00:00:00Z; a full instant stays as it is."""
    if len(at) > len("MM-DDTHH:MM:SS"):
        return at
    day, _, time = at.partition("T")
    return f"2024-{day}T{time or '00:00'}:00Z"


def told(
    programs: Iterable[Line],
    lines: Iterable[object],
    until: str | None = None,
    entitlements: Iterable[object] = (),
) -> SimulationResult:
    """The result of a history that must have no bad line."""
    result = simulate(
        programs=programs,
        transactions=lines,
        entitlements=entitlements,
        until=None if until is None else instant(until),
    )
    assert result.bad == []
    return result


def story(result: SimulationResult) -> list[str]:
    """Events in few words: `created 49 one-percent#1 02-01`."""
    return [
        " ".join(
            [
                event["type"].removeprefix("cashback."),
                *([str(event["amount"])] if "amount" in event else []),
                f"{event['program_id']}#{event['sequence']}",
                event["timestamp"][5:].removesuffix("Z").removesuffix(":00").removesuffix("T00:00"),
            ]
        )
        for event in result.events
    ]


def verdicts(result: SimulationResult) -> dict[str | None, str]:
    """The last decision of each program."""
    return {line["program_id"]: line["decision"] for line in result.decisions}
