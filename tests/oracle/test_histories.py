"""The made-up histories are what they say, and reach what they should."""

from collections import Counter
from random import Random

from ops.oracle import recompute
from ops.oracle.result import FATES
from ops.torture.payments import mixed_inputs, mixed_programs
from schemas.entitlements import from_json as entitlement_from_json
from schemas.programs import parse_program
from schemas.transactions import from_json
from tests.histories import nasty_history, shared_history

WANTED = (
    "NO_PROGRAM",
    "TRANSACTION_VOID",
    "AMOUNT_REQUIRED",
    "STORE_MISMATCH",
    "MCC_MISMATCH",
    "CHANNEL_MISMATCH",
    "CURRENCY_MISMATCH",
    "OUTSIDE_VALIDITY",
    "OUTSIDE_SCHEDULE",
    "BELOW_MIN_SPEND",
    "ABOVE_MAX_SPEND",
    "REWARD_ZERO",
    "OUTRANKED",
    "FULLY_REFUNDED",
    "REWARDED",
    "PENDING",
    "CLEARED",
    "REVERTED REFUNDED",
    "REVERTED VOIDED",
    "REVERTED DECLINED",
    "REVERTED RECOMPUTED",
    "REVERTED AUTH_EXPIRED",
    "count duplicate",
    "count conflict",
    "count parked",
    "count expired",
    "count joined",
    "count misplaced",
    "count over_refunded",
    "count cases",
)

WANTED_OF_MEMBERS = (
    "NOT_ENTITLED",
    "ENTITLEMENT_EXPIRED",
    "NOT_NEW_MEMBER",
    "THRESHOLD_NOT_REACHED",
    "MEMBER_LIMIT",
    "MEMBER_CAP",
    "BUDGET_EXHAUSTED",
    "OUTRANKED",
    "count entitlement",
    "count entitlement_repeated",
    "count entitlement_conflict",
    *(
        f"{source} {end}"
        for source in ("clip", "airdrop", "campaign", "loyalty-program-redemption")
        for end in ("CLEARED", "REFUNDED", "RECOMPUTED", "AUTH_EXPIRED")
    ),
)


def test_mixed_inputs_have_the_promised_shares_and_replay_from_their_seed() -> None:
    lines = list(mixed_inputs(20_000, seed=7))

    assert lines == list(mixed_inputs(20_000, seed=7))
    assert lines != list(mixed_inputs(20_000, seed=8))
    assert len(lines) == 20_000
    counts = recompute(mixed_programs(), lines, until="2026-01-01T00:00:00Z").counts
    purchases = {line["external_id"] for line in lines}
    refunded = {line["external_id"] for line in lines if line["kind"] == "REFUNDED"}
    assert 0.09 < counts["duplicate"] / 20_000 < 0.11
    assert 0.14 < len(refunded) / len(purchases) < 0.16
    assert {line["currency"] for line in lines} == {"EUR", "GBP", "USD"}
    assert counts["bad"] == counts["conflict"] == counts["parked"] == 0
    assert counts["cleared"] > 0 < counts["reverted"]


def test_nasty_histories_are_valid_and_reach_every_reason() -> None:
    reached: Counter[str] = Counter()
    for seed in range(800):
        history = nasty_history(Random(seed))
        for program in history.programs:
            parse_program(program)
        for line in history.transactions:
            from_json(line)
        result = recompute(history.programs, history.transactions, until=history.until)
        counts = result.counts
        reached.update(f"count {name}" for name in counts if counts[name])
        reached.update(decision.decision for decision in result.decisions.values())
        reached.update(f"{c.state} {c.reason or ''}".strip() for c in result.cashbacks.values())
        assert counts["inputs"] == sum(counts[fate] for fate in FATES)

    assert [what for what in WANTED if reached[what] < 3] == []


def test_shared_histories_are_valid_and_reach_every_reason_of_a_member() -> None:
    reached: Counter[str] = Counter()
    for seed in range(300):
        history = shared_history(Random(seed))
        for program in history.programs:
            parse_program(program)
        for line in history.transactions:
            from_json(line)
        for line in history.entitlements:
            entitlement_from_json(line)
        result = recompute(
            history.programs, history.transactions, until=history.until, entitlements=history.entitlements
        )
        counts = result.counts
        reached.update(f"count {name}" for name in counts if counts[name])
        reached.update(decision.decision for decision in result.decisions.values())
        reached.update(f"{c.source['type']} {c.reason or c.state}" for c in result.cashbacks.values())
        assert counts["inputs"] == sum(counts[fate] for fate in FATES)

    assert [what for what in WANTED_OF_MEMBERS if reached[what] < 3] == []
