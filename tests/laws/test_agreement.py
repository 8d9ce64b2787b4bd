"""The stages and the recomputation written without them say the same of any history."""

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.oracle import recompute
from ops.oracle.compare import compare_events
from ops.torture.payments import mixed_inputs, mixed_programs
from streams.simulate import simulate
from tests.histories import History, crowded_history, nasty_history, shared_history
from tests.laws.agreement import assert_same
from tests.laws.profiles import law
from tests.oracle.phrases import campaign, flat, said

MAKERS = (nasty_history, crowded_history, shared_history)


def assert_agreement(history: History) -> None:
    said = history.entitlements
    expected = recompute(history.programs, history.transactions, until=history.until, entitlements=said)
    found = simulate(history.programs, history.transactions, said, history.until)

    assert_same(expected, found)
    assert len(found.bad) == expected.counts["bad"] + expected.counts["entitlement_bad"]
    counts = expected.counts
    assert {name: found.counts[name] for name in ("judged", "duplicate", "over_refunded")} == {
        name: counts[name] for name in ("judged", "duplicate", "over_refunded")
    }
    assert found.counts["applied"] == counts["applied"]
    assert found.counts["conflict"] == counts["conflict"] + counts["entitlement_conflict"]
    assert found.counts["parked_conflict"] == counts["misplaced"]
    waited = sum(counts[fate] for fate in ("joined", "misplaced", "expired", "parked"))
    assert (found.counts["parked"], found.counts["parked_too_long"]) == (waited, counts["expired"])


@pytest.mark.parametrize("maker", MAKERS)
def test_stages_and_recomputation_agree_on_seeded_histories(maker: Callable[[Random], History]) -> None:
    for seed in range(300):
        assert_agreement(maker(Random(seed)))


@law(examples=100)
@given(st.randoms(use_true_random=False), st.sampled_from(MAKERS))
def test_stages_and_recomputation_agree_on_any_history(
    rng: Random, maker: Callable[[Random], History]
) -> None:
    assert_agreement(maker(rng))


def test_stages_and_recomputation_agree_on_a_month_of_mixed_load() -> None:
    assert_agreement(
        History(mixed_programs(), list(mixed_inputs(5000, seed=11, members=300)), "2026-01-01T00:00:00Z")
    )


BREAKAGES: dict[str, tuple[object, ...]] = {
    "partner_id": ("", "a:b", "x" * 129, None, 7, "a\x1fb", "a\nb"),
    "external_id": ("", None, "\x00"),
    "member_id": ("", "\x7f", "\ud800"),
    "merchant_id": (None, []),
    "kind": ("PAID", None, "settled"),
    "part_id": ("", 1),
    "amount_minor": (-1, None, 1.5, "5", True, 2**63),
    "currency": ("EURO", "eur", "ZZZ", None),
    "occurred_at": (
        "2024-02-01T10:00:00",
        "2024-02-01",
        "now",
        None,
        "1924-02-01T10:00:00Z",
        "3024-02-01T10:00:00Z",
    ),
    "channel": ("POST", None),
    "livemode": ("yes", 1),
    "extra": (1,),
}


@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field, values in BREAKAGES.items() for value in values]
)
def test_the_same_lines_are_bad(field: str, value: object) -> None:
    good = said("01 10:00", "SETTLED", 1000)
    lines = [good, {**good, "external_id": "y", field: value}, {**good, "external_id": "z"}]

    expected = recompute([campaign(flat(5))], lines)
    found = simulate([campaign(flat(5))], lines)

    assert [place for place, _ in expected.bad] == [1]
    assert [bad.line for bad in found.bad] == [2]
    assert compare_events(expected, found.events) == []
