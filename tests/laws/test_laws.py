"""What holds of every history, whatever the programs, said without any recomputation."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from streams.simulate import SimulationResult, simulate
from tests.histories import (
    SMALL_BASKETS,
    History,
    Line,
    chance,
    crowded_history,
    held_history,
    iso,
    nasty_history,
    one_purchase,
)
from tests.laws.profiles import law

FOR_EVER = 36_500
randoms = st.randoms(use_true_random=False)


def run(history: History) -> SimulationResult:
    """The stages on a history; what is parked waits for ever, so that nothing is forgotten."""
    return simulate(history.programs, history.transactions, until=history.until, parked_days=FOR_EVER)


def balances(events: Iterable[Line]) -> Counter[tuple[str, str, str]]:
    """(program, currency, `pending` or `wallet`) → minor units or points; accounts at 0 are left out."""
    created: dict[str, Line] = {}
    held: Counter[tuple[str, str, str]] = Counter()
    for event in events:
        name = event["cashback_transaction_id"]
        first = created.setdefault(name, event)
        account = (first["program_id"], first["currency"])
        step = {"cashback.created": 1, "cashback.cleared": -1, "cashback.reverted": -1}[event["type"]]
        held[(*account, "pending")] += step * first["amount"]
        if event["type"] == "cashback.cleared":
            held[(*account, "wallet")] += first["amount"]
    return Counter({account: amount for account, amount in held.items() if amount})


@law(examples=80)
@given(randoms)
def test_repetition_changes_nothing(rng: Random) -> None:
    history = nasty_history(rng, spoiled=False)
    lines = list(history.transactions)
    for _ in range(rng.randint(1, 6)):
        original = rng.randrange(len(lines))
        lines.insert(rng.randint(original + 1, len(lines)), lines[original])

    once, again = run(history), run(History(history.programs, lines, history.until))

    assert again.events == once.events
    assert again.decisions == once.decisions
    assert again.cases == once.cases


@law(examples=60)
@given(randoms)
def test_the_whole_input_once_more_is_all_repetition(rng: Random) -> None:
    history = crowded_history(rng)
    twice = History(history.programs, history.transactions * 2, history.until)

    once, again = run(history), run(twice)

    assert again.events == once.events
    assert again.counts["duplicate"] == len(history.transactions)


@law(examples=150)
@given(randoms)
def test_order_after_the_judging_event_never_changes_the_balances(rng: Random) -> None:
    history = held_history(rng)
    judging, *rest = history.transactions
    shuffled = [*rest, *rng.sample(rest, rng.randint(0, len(rest)))]
    rng.shuffle(shuffled)

    straight = run(history)
    mixed = run(History(history.programs, [judging, *shuffled], history.until))

    assert balances(mixed.events) == balances(straight.events)


@law(examples=100)
@given(randoms)
def test_a_full_refund_before_clearing_leaves_nothing_anywhere(rng: Random) -> None:
    history = held_history(rng)
    start = datetime.fromisoformat(history.transactions[0]["occurred_at"])
    left = max(
        sum(line.get("amount_minor", 0) for line in history.transactions if line["kind"] == kind)
        for kind in ("AUTHORIZED", "SETTLED")
    )
    lines = list(history.transactions)
    while left > 0:
        part = min(left, rng.choice(SMALL_BASKETS[1:]))
        left -= part
        refund = one_purchase("REFUNDED", part, start + timedelta(hours=rng.randint(0, 120)), len(lines))
        lines.insert(rng.randint(0, len(lines)), refund)

    result = run(History(history.programs, lines, history.until))

    assert balances(result.events) == Counter()
    assert all(event["type"] != "cashback.cleared" for event in result.events)


@law(examples=150)
@given(randoms)
def test_each_cashback_is_created_once_and_resolved_at_most_once(rng: Random) -> None:
    result = run(nasty_history(rng))

    steps: dict[str, list[str]] = {}
    for event in result.events:
        steps.setdefault(event["cashback_transaction_id"], []).append(event["type"])
    for life in steps.values():
        assert life[0] == "cashback.created"
        assert life[1:] in ([], ["cashback.cleared"], ["cashback.reverted"])
    assert len({event["event_id"] for event in result.events}) == len(result.events)
    per_pair = Counter((event["transaction_id"], event["program_id"]) for event in _created(result))
    for event in _created(result):
        assert 1 <= event["sequence"] <= per_pair[event["transaction_id"], event["program_id"]]
        assert event["amount"] > 0


@law(examples=100)
@given(randoms)
def test_no_pair_has_two_pending_cashbacks(rng: Random) -> None:
    pending: dict[tuple[str, str], str] = {}
    for event in run(crowded_history(rng)).events:
        pair = (event["transaction_id"], event["program_id"])
        if event["type"] == "cashback.created":
            assert pair not in pending
            pending[pair] = event["cashback_transaction_id"]
        else:
            assert pending.pop(pair) == event["cashback_transaction_id"]


@law(examples=80)
@given(randoms)
def test_the_future_never_changes_the_past(rng: Random) -> None:
    """What a shorter log brought comes first, and the same, in the longer one; so nothing comes early."""
    history = nasty_history(rng)
    known = rng.randint(0, len(history.transactions))
    shorter = run(History(history.programs, history.transactions[:known], None))
    clock = max((line["occurred_at"] for line in history.transactions[:known]), key=_instant, default=None)

    longer = run(history)

    assert longer.events[: len(shorter.events)] == shorter.events
    for event in shorter.events:
        if event["type"] == "cashback.cleared":
            assert clock is not None
            assert _instant(event["timestamp"]) <= _instant(clock)


@law(examples=100)
@given(randoms)
def test_nothing_clears_before_its_hold_is_over(rng: Random) -> None:
    history = crowded_history(rng)
    result = run(history)
    first_capture = min(
        (_at(line) for line in history.transactions if line["kind"] == "SETTLED"), default=None
    )
    judged = [line for line in history.transactions if line["kind"] in ("AUTHORIZED", "SETTLED")]
    purchased_at = next((_at(line) for line in judged if "amount_minor" in line), None)
    holds = {program["program_id"]: timedelta(days=program["hold_days"]) for program in history.programs}
    created = {event["cashback_transaction_id"]: event for event in _created(result)}
    for event in result.events:
        if event["type"] != "cashback.cleared":
            continue
        assert first_capture is not None
        assert purchased_at is not None
        cleared_at = _instant(event["timestamp"])
        assert cleared_at >= purchased_at + holds[event["program_id"]]
        assert cleared_at >= first_capture
        assert cleared_at >= _instant(created[event["cashback_transaction_id"]]["timestamp"])


@law(examples=120)
@given(randoms)
def test_a_refund_never_raises_a_reward(rng: Random) -> None:
    history = nasty_history(rng, spoiled=False) if chance(rng, 50) else crowded_history(rng)
    clock = max(_at(line) for line in history.transactions)
    purchase = rng.choice(history.transactions)
    refund = {**purchase, "kind": "REFUNDED", "part_id": "extra", "occurred_at": iso(clock)}
    refund["amount_minor"] = rng.choice(SMALL_BASKETS)

    before = _earned(run(History(history.programs, history.transactions, None)))
    after = _earned(run(History(history.programs, [*history.transactions, refund], None)))

    assert all(amount <= before[pair] for pair, amount in after.items())


def _earned(result: SimulationResult) -> Counter[tuple[str, str]]:
    """What each pair has, pending and cleared together."""
    amounts = {event["cashback_transaction_id"]: event["amount"] for event in _created(result)}
    earned: Counter[tuple[str, str]] = Counter()
    for event in result.events:
        sign = {"cashback.created": 1, "cashback.cleared": 0, "cashback.reverted": -1}[event["type"]]
        earned[event["transaction_id"], event["program_id"]] += (
            sign * amounts[event["cashback_transaction_id"]]
        )
    return earned


def _created(result: SimulationResult) -> list[Line]:
    return [event for event in result.events if event["type"] == "cashback.created"]


def _at(line: Line) -> datetime:
    return _instant(line["occurred_at"])


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)
