"""The stages and the recomputation agree on histories in which operators and accounting have their say."""

from collections import Counter
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.oracle import Case, Cashback
from ops.oracle.recompute import recompute_log
from schemas.times import DAY, MINUTE
from tests.histories import History, Line, chance, crowded_history, shared_history
from tests.laws.agreement import Record, heard, payments
from tests.laws.profiles import law
from tests.streams.log import Log

MAKERS = (crowded_history, shared_history)
ROUNDS = 4
FATES = (
    *("revoked", "revocation_case", "revocation_repeated"),
    *("reversal_approved", "reversal_declined", "reversal_repeated"),
)


def with_words(rng: Random, history: History) -> list[Record]:
    """Round after round people speak of cashbacks that cleared, most of cases that are open."""
    records = payments(history)
    for _ in range(ROUNDS):
        result = recompute_log(history.programs, records)
        for cashback in list(result.cashbacks.values()):
            case = result.cases.get(cashback.cashback_transaction_id)
            if case is not None and case.is_open and chance(rng, 60):
                _insert(rng, records, _decision(rng, case, cashback))
            elif chance(rng, 12):
                _insert(rng, records, _revocation(rng, cashback, cashback.cleared_at or cashback.created_at))
    return records


def _insert(rng: Random, records: list[Record], word: Record) -> None:
    """After the last record whose clock is not later; now and then twice."""
    place = sum(clock <= word[0] for clock, _ in records)
    records[place:place] = [word] * rng.choice((1, 1, 1, 2))


def _named(cashback: Cashback) -> Line:
    return {
        "partner_id": cashback.partner_id,
        "member_id": cashback.member_id,
        "external_id": cashback.transaction_ref,
        "program_id": cashback.program_id,
        "sequence": cashback.sequence,
        "livemode": cashback.livemode,
    }


def _decision(rng: Random, case: Case, cashback: Cashback) -> Record:
    at = case.updated_at + rng.choice((0, MINUTE, DAY, 20 * DAY))
    verdict = rng.choice(("APPROVED", "APPROVED", "DECLINED"))
    word = {"decision": verdict, "revision": case.revision, "actor": "kim", "reason": "so", "decided_at": at}
    return at, _named(cashback) | word


def _revocation(rng: Random, cashback: Cashback, after: int) -> Record:
    at = after + rng.choice((0, MINUTE, DAY, 20 * DAY))
    return at, _named(cashback) | {"actor": "eve", "reason": "fraud", "revoked_at": at}


def assert_agreement(history: History, records: list[Record]) -> Counter[str]:
    """The stages' own words about it, counted."""
    counts, expected = heard(history, records)
    assert {fate: counts[fate] for fate in FATES} == {fate: expected[fate] for fate in FATES}
    return counts


def test_stages_and_recomputation_agree_on_seeded_histories_and_these_reach_what_they_should() -> None:
    reached: Counter[str] = Counter()
    for maker in MAKERS:
        for seed in range(150):
            rng = Random(seed)
            history = maker(rng)
            reached += assert_agreement(history, with_words(rng, history))
    assert [fate for fate in FATES if reached[fate] < 5] == []


@law(examples=60)
@given(st.randoms(use_true_random=False), st.sampled_from(MAKERS))
def test_stages_and_recomputation_agree_on_any_history(
    rng: Random, maker: Callable[[Random], History]
) -> None:
    history = maker(rng)
    assert_agreement(history, with_words(rng, history))


@pytest.mark.parametrize("maker", MAKERS)
def test_when_all_cases_are_approved_no_more_stands_than_is_earned(
    maker: Callable[[Random], History],
) -> None:
    approved = 0
    for seed in range(100):
        rng = Random(seed)
        history = maker(rng)
        records = payments(history)
        last = records[-1][0]
        before = recompute_log(history.programs, records)
        log = Log(*history.programs).hear(records)
        for case in (case for case in before.cases.values() if case.is_open):
            _, word = _decision(rng, case, before.cashbacks[case.cashback_transaction_id])
            log.hear([(last, word | {"decision": "APPROVED", "decided_at": last})])
            approved += 1
        taken = sum(case.shortfall for case in before.cases.values())
        assert standing(log) == standing(Log(*history.programs).hear(records)) - taken
    assert approved > 10


def standing(log: Log) -> int:
    """What cleared and was not reversed, of all together."""
    amounts, cleared = {}, 0
    ended: set[str] = set()
    for event in log.result.events:
        name = event["cashback_transaction_id"]
        if event["type"] == "cashback.created":
            amounts[name] = event["amount"]
        elif event["type"] == "cashback.cleared":
            cleared += amounts[name]
            ended.add(name)
        elif name in ended:
            cleared -= amounts[name]
    return cleared
