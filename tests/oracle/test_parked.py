"""What people decide about facts that wait for their purchase, recomputed."""

import pytest

from ops.oracle import Recomputation, recompute_log
from ops.oracle.result import FATES
from ops.oracle.standings import Window
from schemas.times import DAY, MINUTE
from tests.oracle.phrases import Line, bought, campaign, logged, on_parked, percent, tales

EARLY = bought("01 10:00", "x", 400, "REFUNDED")
BOUGHT = bought("05 10:00", "x")


def of(*lines: Line, parked_days: int = 60, window: Window | None = None) -> Recomputation:
    program = campaign(percent(1000))
    return recompute_log([program], logged(*lines), parked_days=parked_days, window=window)


def fates(result: Recomputation) -> list[str]:
    return [fate for _, fate in sorted(result.fates.items())]


def test_what_is_discarded_takes_nothing_from_its_purchase_and_may_come_again() -> None:
    gone = of(EARLY, on_parked("02 10:00", "x"), BOUGHT)
    assert fates(gone) == ["discarded", "parked_discarded", "judged"]
    assert tales(gone) == ["x p#1 100 PENDING"]
    again = of(EARLY, on_parked("02 10:00", "x"), EARLY, BOUGHT)
    assert fates(again) == ["discarded", "parked_discarded", "joined", "judged"]
    assert tales(again) == ["x p#1 60 PENDING"]


def test_what_waits_anew_is_waited_for_from_then_on() -> None:
    anew = on_parked("03 10:00", "x", "REQUEUED")
    assert fates(of(EARLY, anew, BOUGHT, parked_days=3)) == ["joined", "parked_requeued", "judged"]
    assert fates(of(EARLY, BOUGHT, parked_days=3)) == ["expired", "judged"]
    assert fates(of(EARLY, anew, bought("06 10:00", "x"), parked_days=3))[0] == "expired"


@pytest.mark.parametrize(
    ("word", "fate"),
    [
        (on_parked("02 10:00", "x"), "parked_discarded"),
        (on_parked("02 10:00", "x", "REQUEUED"), "parked_requeued"),
        (on_parked("02 10:00", "y"), "parked_decision_repeated"),
        (on_parked("02 10:00", "x", part_id="r"), "parked_decision_repeated"),
        (on_parked("01 10:00", "x"), "parked_decision_repeated"),
        (on_parked("02 10:00", "y", "REQUEUED"), "parked_decision_refused"),
        (on_parked("02 10:00", "x", "REQUEUED", kind="VOIDED"), "parked_decision_refused"),
        (on_parked("02 10:00", "x", "REQUEUED", livemode=False), "parked_decision_refused"),
        (on_parked("02 10:00", "x", "PERHAPS"), "bad"),
        (on_parked("02 10:00", "x", kind="SETTLED"), "bad"),
        (on_parked("02 10:00", "x", reason="a\nb"), "bad"),
        (on_parked("02 10:00", "x", reason=" "), "bad"),
        (on_parked("02 10:00", "x", more=1), "bad"),
    ],
)
def test_only_what_waits_can_be_decided_on(word: Line, fate: str) -> None:
    result = of(EARLY, word)
    assert result.counts[fate] == 1
    assert result.counts["inputs"] == sum(result.counts[each] for each in FATES) == 2


def test_what_has_joined_is_refused_and_so_is_a_decision_far_from_its_time() -> None:
    assert fates(of(EARLY, BOUGHT, on_parked("06 10:00", "x")))[2] == "parked_decision_refused"
    window = Window(DAY, 5 * MINUTE)
    records = [(line["occurred_at"], line) for line in (EARLY,)]
    for decided, fate in (("03 09:00", "parked_discarded"), ("01 11:00", "parked_decision_refused")):
        log = [*records, ("2024-02-03T10:00:00Z", on_parked(decided, "x"))]
        result = recompute_log([campaign(percent(1000))], log, window=window)
        assert result.fates[1] == fate
