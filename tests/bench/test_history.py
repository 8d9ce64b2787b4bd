"""The history that is measured with is as mixed as it is said to be."""

from collections import Counter

from ops.bench.bare import rewarder
from ops.bench.history import Input, campaign, encoded, history
from schemas.clock import clock_of
from schemas.codec import decode, encode
from schemas.programs import to_datum
from schemas.transactions import REFUNDED, checked
from streams.simulate import simulate

INPUTS = 5_000
HISTORY = history(INPUTS)


def test_a_tenth_are_repeats_and_15_percent_of_what_is_new_are_refunds_of_purchases_in_it() -> None:
    assert len(HISTORY) == INPUTS
    fresh = list(dict.fromkeys(HISTORY))
    assert len(fresh) == INPUTS * 90 // 100
    refunds = [each for each in fresh if each.kind == REFUNDED]
    assert len(refunds) == INPUTS * 15 // 100
    bought = {(each.partner_id, each.member_id, each.external_id) for each in fresh if each.kind != REFUNDED}
    assert all((each.partner_id, each.member_id, each.external_id) in bought for each in refunds)


def test_the_same_seed_makes_the_same_history() -> None:
    assert history(500, seed=1) == history(500, seed=1) != history(500, seed=2)


def test_all_of_it_is_valid_and_the_campaign_has_work_with_it() -> None:
    result = simulate([campaign()], HISTORY)
    assert result.bad == []
    assert result.conflicts == []
    transitions = Counter(event["type"] for event in result.events)
    assert min(transitions[f"cashback.{each}"] for each in ("created", "cleared", "reverted")) > INPUTS // 20
    assert result.counts["duplicate"] == INPUTS // 10


def test_every_record_is_keyed_by_its_member_and_its_clock_never_goes_back() -> None:
    records = list(encoded(HISTORY))
    transactions = [checked(decode(record.value)[1]) for record in records]
    assert transactions == HISTORY
    assert [record.key for record in records] == [each.key for each in transactions]
    clocks = [_clock(record) for record in records]
    assert clocks == sorted(clocks)
    assert all(clock >= each.occurred_at for clock, each in zip(clocks, transactions, strict=True))


def _clock(record: Input) -> int:
    at = clock_of([record.clock])
    assert at is not None
    return at


def test_the_bare_loop_decodes_the_true_input_and_encodes_the_true_output() -> None:
    reward = rewarder()
    record = next(encoded(HISTORY))
    made = reward(record.value)
    assert made is not None
    name, datum = decode(made)
    assert name == "CashbackCreated"
    assert (datum["partner_id"], datum["transaction_ref"]) == (HISTORY[0].partner_id, HISTORY[0].external_id)
    assert made == encode(name, datum)
    assert reward(encode("Program", to_datum(campaign()))) is None
