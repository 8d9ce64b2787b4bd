"""The stages and the recomputation agree on histories in which people decide on what is parked."""

from collections import Counter
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.oracle.facts import TAKING_KINDS
from schemas.times import DAY, MINUTE
from tests.histories import History, Line, chance, crowded_history, nasty_history
from tests.laws.agreement import Record, heard, payments
from tests.laws.profiles import law
from tests.streams.log import Log

MAKERS = (nasty_history, crowded_history)
SAME = ("parked_discarded", "parked_requeued", "parked_decision_repeated")
ENDS = {"parked_discarded": "discarded", "parked_too_long": "expired", "parked_conflict": "misplaced"}


def with_decisions(rng: Random, history: History) -> list[Record]:
    """Somebody decides on refunds, voids and declines: while they wait, before that, after it."""
    records = payments(history)
    for line in [line for _, line in records if line["kind"] in TAKING_KINDS]:
        if chance(rng, 70):
            after = next(place for place, (_, said) in enumerate(records) if said is line)
            place = after + rng.choice((0, 1, 1, 1, 2, 3))
            clock = records[min(place, len(records)) - 1][0] if place else records[0][0]
            word = _decision(rng, line, clock)
            records[place:place] = [(clock, word)] * rng.choice((1, 1, 2))
    return records


def _decision(rng: Random, line: Line, clock: int) -> Line:
    names = ("partner_id", "member_id", "external_id", "kind")
    return {
        **{name: line[name] for name in names},
        "livemode": line.get("livemode", True),
        "part_id": line.get("part_id"),
        "action": rng.choice(("DISCARDED", "DISCARDED", "REQUEUED")),
        "actor": "pat",
        "reason": "so",
        "decided_at": clock + rng.choice((0, MINUTE, MINUTE, DAY, 20 * DAY, -DAY)),
    }


def assert_agreement(history: History, records: list[Record]) -> Counter[str]:
    """The stages' own words about it, counted."""
    counts, expected = heard(history, records)
    assert {fate: counts[fate] for fate in SAME} == {fate: expected[fate] for fate in SAME}
    assert {end: counts[end] for end in ENDS} == {end: expected[fate] for end, fate in ENDS.items()}
    return counts


def test_stages_and_recomputation_agree_on_seeded_histories_and_these_reach_what_they_should() -> None:
    reached: Counter[str] = Counter()
    for maker in MAKERS:
        for seed in range(200):
            rng = Random(seed)
            history = maker(rng)
            reached += assert_agreement(history, with_decisions(rng, history))
    assert [fate for fate in (*SAME, *ENDS) if reached[fate] < 3] == []


@law(examples=100)
@given(st.randoms(use_true_random=False), st.sampled_from(MAKERS))
def test_stages_and_recomputation_agree_on_any_history(
    rng: Random, maker: Callable[[Random], History]
) -> None:
    history = maker(rng)
    assert_agreement(history, with_decisions(rng, history))


@pytest.mark.parametrize("action", ["DISCARDED", "REQUEUED"])
def test_a_decision_on_what_never_waits_changes_nothing(action: str) -> None:
    for seed in range(100):
        history = crowded_history(Random(seed))
        opening, *rest = payments(history)
        if opening[1]["kind"] in TAKING_KINDS:
            continue
        words = [
            (clock, {**_decision(Random(seed), line, clock), "action": action})
            for clock, line in rest
            if line["kind"] in TAKING_KINDS
        ]
        plain = Log(*history.programs).hear([opening, *rest])
        said = Log(*history.programs).hear([opening, *rest, *words])
        assert said.result.events == plain.result.events
