"""What accounting decides on cases, recomputed."""

import pytest

from ops.oracle import balances, entries, in_log_order, recompute_log
from ops.oracle.books import Account
from ops.oracle.result import FATES, Recomputation
from ops.oracle.standings import Window
from tests.oracle.phrases import (
    Line,
    bought,
    campaign,
    clipped,
    deal,
    deciding,
    flat,
    logged,
    percent,
    revoking,
    tales,
)

TEN_PERCENT = campaign(percent(1000), hold_days=0)
SPLIT = (
    bought("01 10:00", "x", part_id="1"),
    bought("02 10:00", "x", 500, part_id="2"),
    bought("03 10:00", "x", 700, "REFUNDED", part_id="r"),
)
"""100 and 50 cleared, of 1500 are 800 left: 70 too much, 50 of the second and 20 of the first."""


def of(*lines: Line, program: Line = TEN_PERCENT) -> Recomputation:
    return recompute_log([program], logged(*lines))


def cases(result: Recomputation) -> list[str]:
    """By sequence, as they stand."""
    told = sorted(result.cases.values(), key=lambda c: result.cashbacks[c.cashback_transaction_id].sequence)
    return [f"{case.revision} {case.state} {case.shortfall} {case.cause}" for case in told]


def test_an_approved_case_gives_anew_what_is_left_of_the_cashback_whatever_else_is_too_much() -> None:
    result = of(*SPLIT, deciding("04 10:00", "x"))

    assert tales(result) == ["x p#1 100 REVERSED", "x p#2 50 CLEARED", "x p#3 80 CLEARED"]
    assert cases(result) == ["2 APPROVED 20 DECIDED", "1 OPEN 50 REFUNDED"]
    told = [(line["type"][9:], line["sequence"], line["timestamp"][8:13]) for line in in_log_order(result)]
    assert told[4:] == [("reverted", 1, "04T10"), ("created", 3, "04T10"), ("cleared", 3, "04T10")]


def test_all_cases_approved_leave_the_reward_on_what_is_left() -> None:
    result = of(*SPLIT, deciding("04 10:00", "x"), deciding("05 10:00", "x", sequence=2))

    assert tales(result) == ["x p#1 100 REVERSED", "x p#2 50 REVERSED", "x p#3 80 CLEARED"]


def test_the_books_take_it_from_the_wallet_and_the_commission_from_revenue() -> None:
    result = of(*SPLIT, deciding("04 10:00", "x", second_actor="lou"))
    cashbacks = list(result.cashbacks.values())

    assert cashbacks[0].by == ("kim", "lou", "as agreed")
    assert [entry.transition for entry in entries(cashbacks[:1], commission_bps=1000)] == [
        *("created", "cleared", "reversed"),
    ]
    kept = balances(cashbacks, commission_bps=1000)
    assert kept[Account("member:wallet", "live:bank:ann", "EUR")] == 130
    assert kept[Account("commission:revenue", "live:shop", "EUR")] == 13
    assert sum(kept.values()) == 0


@pytest.mark.parametrize(
    ("decision", "fate"),
    [
        (deciding("04 10:00", "x"), "reversal_approved"),
        (deciding("04 10:00", "x", "DECLINED"), "reversal_declined"),
        (deciding("04 10:00", "x", revision=2), "reversal_refused"),
        (deciding("04 10:00", "x", sequence=3), "reversal_refused"),
        (deciding("04 10:00", "x", program_id="q"), "reversal_refused"),
        (deciding("04 10:00", "y"), "reversal_refused"),
        (deciding("04 10:00", "x", livemode=False), "reversal_refused"),
        (deciding("04 10:00", "x", "PERHAPS"), "bad"),
        (deciding("04 10:00", "x", reason="a\nb"), "bad"),
        (deciding("04 10:00", "x", second_actor="KIM "), "bad"),
        (deciding("04 10:00", "x", more=1), "bad"),
    ],
)
def test_only_an_open_case_as_it_is_can_be_decided(decision: Line, fate: str) -> None:
    result = of(*SPLIT, decision)

    assert result.counts[fate] == 1
    assert result.counts["inputs"] == sum(result.counts[each] for each in FATES) == 4


def test_a_decision_said_again_is_a_repetition_and_the_contrary_is_refused() -> None:
    yes, no = deciding("04 10:00", "x"), deciding("04 10:00", "x", "DECLINED", revision=2)

    assert list(of(*SPLIT, yes, yes, no).fates.values())[3:] == [
        *("reversal_approved", "reversal_repeated", "reversal_refused"),
    ]


def test_a_declined_case_opens_again_when_more_is_too_much_than_was_declined() -> None:
    declined = (*SPLIT, deciding("04 10:00", "x", "DECLINED"))
    back_and_forth = (
        bought("05 10:00", "x", 100, part_id="3"),
        bought("06 10:00", "x", 100, "REFUNDED", part_id="s"),
    )

    assert cases(of(*declined, *back_and_forth))[0] == "2 DECLINED 20 DECIDED"
    more = bought("07 10:00", "x", 10, "REFUNDED", part_id="t")
    assert cases(of(*declined, *back_and_forth, more))[0] == "3 OPEN 21 REFUNDED"


def test_what_an_operator_gets_back_is_gone_for_good_and_burdens_nothing_else() -> None:
    result = of(
        *SPLIT[:2],
        revoking("02 12:00", "x"),
        deciding("02 13:00", "x"),
        SPLIT[2],
        bought("04 10:00", "x", 9000, part_id="3"),
    )

    assert tales(result) == ["x p#1 100 REVERSED", "x p#2 50 CLEARED"]
    assert cases(result)[0] == "2 APPROVED 100 DECIDED"
    assert result.counts["revocation_case"] == 1


def test_a_clip_that_cleared_stays_used_up() -> None:
    lines = logged(
        clipped("c", "01 08:00"),
        bought("01 10:00", "x"),
        bought("02 10:00", "x", 1000, "REFUNDED", part_id="r"),
        deciding("03 10:00", "x", program_id="d"),
        bought("04 10:00", "y"),
    )

    assert tales(recompute_log([deal(flat(5), hold_days=0)], lines)) == ["x d#1 5 REVERSED"]


def test_in_production_a_decision_is_neither_too_old_nor_from_the_future() -> None:
    *records, (_, decision) = logged(*SPLIT, deciding("04 10:00", "x"))
    minute = 60_000_000
    for clock, fate in (
        ("2024-02-04T10:05:00Z", "reversal_approved"),
        ("2024-02-04T10:05:01Z", "reversal_refused"),
        ("2024-02-04T09:59:00Z", "reversal_approved"),
        ("2024-02-04T09:58:59Z", "reversal_refused"),
    ):
        window = Window(age_us=5 * minute, skew_us=minute)
        result = recompute_log([TEN_PERCENT], [*records, (clock, decision)], window=window)
        assert result.counts[fate] == 1
