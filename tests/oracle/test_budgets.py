"""Budgets, worked by hand."""

from ops.oracle import recompute, recompute_log
from tests.oracle.phrases import (
    Line,
    answers,
    bought,
    campaign,
    flat,
    logged,
    percent,
    said,
    tales,
    tell,
)

TEN_PERCENT = percent(1000)


def at(instant: str, external_id: str, amount: int = 1000) -> Line:
    return bought("01 00:00", external_id, amount, occurred_at=instant)


def test_a_budget_has_a_total_and_days_by_the_calendar_in_its_zone() -> None:
    programs = [
        campaign(flat(5), budget={"total": 12, "daily": 8}, schedule={"timezone": "Europe/Paris"}),
    ]
    lines = [
        at("2024-03-30T23:00:00Z", "1"),
        at("2024-03-31T21:00:00Z", "2"),
        at("2024-03-31T21:30:00Z", "3"),
        at("2024-03-31T22:00:00Z", "4"),
        at("2024-03-31T23:00:00Z", "5"),
    ]

    result = recompute(programs, lines)

    assert [c.amount for c in result.cashbacks.values()] == [5, 3, 4]
    assert answers(result, "p") == {
        "1": "REWARDED",
        "2": "REWARDED",
        "3": "BUDGET_EXHAUSTED",
        "4": "REWARDED",
        "5": "BUDGET_EXHAUSTED",
    }


def test_a_budget_is_of_all_members_and_gets_back_what_is_reverted() -> None:
    lines = [
        bought("01 08:00", "x"),
        bought("01 09:00", "y", member_id="ben"),
        bought("01 10:00", "z", partner_id="wallet"),
        said("01 11:00", "VOIDED", external_id="x"),
        bought("01 12:00", "w", member_id="cyd"),
    ]

    result = tell([campaign(TEN_PERCENT, budget={"total": 150})], lines)

    assert tales(result) == [
        *("w p#1 100 PENDING", "x p#1 100 VOIDED", "y p#1 50 PENDING"),
    ]
    assert answers(result, "p")["z"] == "BUDGET_EXHAUSTED"


def test_a_budget_counts_what_versions_with_that_budget_spent() -> None:
    programs = [
        campaign(TEN_PERCENT),
        campaign(TEN_PERCENT, version=2, effective_from="2024-02-01T09:00:00Z", budget={"total": 150}),
    ]

    result = tell(programs, [bought("01 08:00", "x"), bought("01 09:00", "y", member_id="ben")])

    assert tales(result) == ["x p#1 100 PENDING", "y p#1 100 PENDING"]


def test_in_a_log_with_leases_budgets_may_be_left_out() -> None:
    lines = logged(bought("01 08:00", "x"), bought("01 09:00", "y"))
    programs = [campaign(TEN_PERCENT, budget={"total": 150})]

    assert tales(recompute_log(programs, lines)) == ["x p#1 100 PENDING", "y p#1 50 PENDING"]
    assert tales(recompute_log(programs, lines, budgets=False)) == [
        *("x p#1 100 PENDING", "y p#1 100 PENDING"),
    ]
