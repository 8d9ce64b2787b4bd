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


def deal(reward: Line, program_id: str = "d", **terms: Any) -> Line:
    """A deal, otherwise as `campaign`."""
    return campaign(reward, program_id, type="deal", **terms)


def airdrop(reward: Line, program_id: str = "a", **terms: Any) -> Line:
    """An airdrop, otherwise as `campaign`."""
    return campaign(reward, program_id, type="airdrop", **terms)


def loyalty(reward: Line, program_id: str = "l", **terms: Any) -> Line:
    """A loyalty program; give it `threshold_count` or `threshold_minor`."""
    return campaign(reward, program_id, type="loyalty_program", **terms)


def clipped(clip_id: str, granted: str, expires: str | None = None, **fields: Any) -> Line:
    """Ann clips deal d; times as in `said`."""
    line: Line = {"kind": "CLIPPED", "partner_id": "bank", "member_id": "ann", "program_id": "d"}
    line |= {"clip_id": clip_id, "granted_at": feb(*granted.split())}
    return line | ({} if expires is None else {"expires_at": feb(*expires.split())}) | fields


def unclipped(clip_id: str, revoked: str, **fields: Any) -> Line:
    """Ann loses a clip."""
    line: Line = {"kind": "UNCLIPPED", "partner_id": "bank", "member_id": "ann", "clip_id": clip_id}
    return line | {"revoked_at": feb(*revoked.split())} | fields


def airdropped(airdrop_id: str, granted: str, **fields: Any) -> Line:
    """Ann is handed an airdrop of program a."""
    line: Line = {"kind": "AIRDROPPED", "partner_id": "bank", "member_id": "ann", "program_id": "a"}
    line |= {"airdrop_id": airdrop_id, "variant_id": "v", "creative_id": "c"}
    return line | {"granted_at": feb(*granted.split())} | fields


def revoking(when: str, external_id: str, program_id: str = "p", sequence: int = 1, **fields: Any) -> Line:
    """An operator takes back one of Ann's cashbacks."""
    line: Line = {"partner_id": "bank", "member_id": "ann", "external_id": external_id}
    line |= {"program_id": program_id, "sequence": sequence, "actor": "olga", "reason": "a mistake"}
    return line | {"revoked_at": feb(*when.split())} | fields


def deciding(
    when: str, external_id: str, verdict: str = "APPROVED", revision: int = 1, **fields: Any
) -> Line:
    """Accounting decides on the case of Ann's first cashback by `p`."""
    line: Line = {"partner_id": "bank", "member_id": "ann", "external_id": external_id, "program_id": "p"}
    line |= {"sequence": 1, "revision": revision, "decision": verdict, "actor": "kim", "reason": "as agreed"}
    return line | {"decided_at": feb(*when.split())} | fields


def on_parked(when: str, external_id: str, action: str = "DISCARDED", **fields: Any) -> Line:
    """Somebody decides on Ann's refund that waits."""
    line: Line = {"partner_id": "bank", "member_id": "ann", "external_id": external_id, "kind": "REFUNDED"}
    line |= {"part_id": None, "action": action, "actor": "pat", "reason": "a mistake"}
    return line | {"decided_at": feb(*when.split())} | fields


def logged(*lines: Line) -> list[tuple[str, Line]]:
    """Records of a log whose clock is event time."""
    times = ("occurred_at", "granted_at", "revoked_at", "decided_at")
    return [(next(line[field] for field in times if field in line), line) for line in lines]


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


def bought(when: str, external_id: str, amount: int = 1000, kind: str = "SETTLED", **fields: Any) -> Line:
    """As `said`, of any purchase, and of ten euros settled unless told otherwise."""
    return said(when, kind, amount, external_id=external_id, **fields)


def feb(day: str, clock: str) -> str:
    """An instant of February 2024."""
    return f"2024-02-{day}T{clock}:00Z"


def story(result: Recomputation) -> list[str]:
    """One short sentence a cashback, by program and sequence."""
    told = sorted(result.cashbacks.values(), key=lambda c: (c.program_id, c.sequence))
    return [f"{c.program_id}#{c.sequence} {c.amount} {c.reason or c.state}" for c in told]


def tales(result: Recomputation) -> list[str]:
    """As `story`, each with its purchase in front, by purchase."""
    told = sorted(result.cashbacks.values(), key=lambda c: (c.transaction_ref, c.program_id, c.sequence))
    return [f"{c.transaction_ref} {c.program_id}#{c.sequence} {c.amount} {c.reason or c.state}" for c in told]


def answers(result: Recomputation, program_id: str) -> dict[str, str]:
    """The latest decision of one program on each purchase."""
    return {d.transaction_ref: d.decision for d in result.decisions.values() if d.program_id == program_id}


def words(result: Recomputation) -> dict[str | None, str]:
    """The latest decision of each program."""
    return {program_id: decision.decision for (_, program_id), decision in result.decisions.items()}


def tell(
    programs: Sequence[Line],
    lines: Sequence[Line],
    until: str | None = None,
    entitlements: Sequence[Line] = (),
) -> Recomputation:
    """Recompute; `until` as in `said`."""
    end = None if until is None else feb(*until.split())
    return recompute(programs, lines, until=end, entitlements=entitlements)
