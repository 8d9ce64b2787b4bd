"""What operators take back, and history that is loaded in silence."""

import json

import pytest

from ops.oracle import entries, event, events, in_log_order, recompute_log, webhook
from ops.oracle.compare import compare_entries, compare_events, compare_webhooks
from ops.oracle.differences import Differs, Unexpected
from ops.oracle.result import FATES
from tests.oracle.phrases import (
    Line,
    answers,
    bought,
    campaign,
    clipped,
    deal,
    feb,
    flat,
    logged,
    loyalty,
    percent,
    revoking,
    said,
    tales,
)

TEN_PERCENT = percent(1000)


def test_a_pending_cashback_is_taken_back_for_good() -> None:
    lines = logged(
        bought("01 10:00", "x", part_id="1"),
        revoking("01 11:00", "x"),
        bought("01 12:00", "x", 5000, part_id="2"),
        bought("01 13:00", "x", 1, "REFUNDED"),
    )

    result = recompute_log([campaign(TEN_PERCENT)], lines, until=feb("20", "00:00"))

    assert tales(result) == ["x p#1 100 REVOKED"]
    assert answers(result, "p") == {"x": "REWARDED"}
    told = [(line["type"], line["timestamp"]) for line in in_log_order(result)]
    assert told == [
        ("cashback.created", "2024-02-01T10:00:00Z"),
        ("cashback.reverted", "2024-02-01T11:00:00Z"),
    ]


@pytest.mark.parametrize(
    ("revocation", "fate"),
    [
        (revoking("01 11:00", "x"), "revoked"),
        (revoking("01 11:00", "nothing"), "revocation_refused"),
        (revoking("01 11:00", "x", "q"), "revocation_refused"),
        (revoking("01 11:00", "x", sequence=2), "revocation_refused"),
        (revoking("01 11:00", "x", member_id="ben"), "revocation_refused"),
        (revoking("01 11:00", "x", livemode=False), "revocation_refused"),
        (revoking("03 10:00", "x"), "revocation_case"),
        (revoking("01 11:00", "x", sequence=0), "bad"),
        (revoking("01 11:00", "x", actor=None), "bad"),
        (revoking("01 11:00", "x", reason=" "), "bad"),
        (revoking("01 11:00", "x", more=1), "bad"),
    ],
)
def test_what_is_pending_is_taken_back_and_what_cleared_gets_a_case(revocation: Line, fate: str) -> None:
    result = recompute_log([campaign(flat(5))], logged(bought("01 10:00", "x"), revocation))

    assert result.counts[fate] == 1
    assert result.counts["inputs"] == sum(result.counts[each] for each in FATES) == 2
    assert result.counts["reverted"] == (fate == "revoked")


def test_a_revocation_said_again_is_a_repetition_and_one_of_what_was_refunded_is_refused() -> None:
    again = revoking("01 11:00", "x")
    lines = logged(
        *(bought("01 10:00", "x"), again, again),
        *(bought("01 12:00", "y"), bought("01 13:00", "y", 1000, "REFUNDED"), revoking("01 14:00", "y")),
    )

    result = recompute_log([campaign(flat(5))], lines)

    assert [result.fates[place] for place in (1, 2, 5)] == [
        *("revoked", "revocation_repeated", "revocation_refused"),
    ]


def test_what_is_taken_back_frees_limit_cap_budget_and_clip() -> None:
    programs = [
        campaign(flat(5), "1", stackable=True, member_limit={"count": 1, "period": "day"}),
        campaign(flat(5), "2", stackable=True, member_cap={"amount": 5, "period": "day"}),
        campaign(flat(5), "3", stackable=True, budget={"total": 5}),
        deal(flat(5), "d", stackable=True),
    ]
    first = bought("01 10:00", "x")
    second = bought("01 12:00", "y")
    taken_back = [revoking("01 11:00", "x", program) for program in ("1", "2", "3", "d")]

    kept = recompute_log(programs, logged(clipped("c", "01 08:00"), first, second))
    freed = recompute_log(programs, logged(clipped("c", "01 08:00"), first, *taken_back, second))

    assert [answers(kept, p)["y"] for p in ("1", "2", "3", "d")] == [
        *("MEMBER_LIMIT", "MEMBER_CAP", "BUDGET_EXHAUSTED", "NOT_ENTITLED"),
    ]
    assert [answers(freed, p)["y"] for p in ("1", "2", "3", "d")] == ["REWARDED"] * 4


def test_a_redemption_that_is_taken_back_is_undone_and_its_purchase_never_stamped_again() -> None:
    lines = [
        *(bought("01 10:00", "a"), bought("01 11:00", "b", part_id="1"), revoking("01 12:00", "b", "l")),
        *(bought("01 13:00", "b", 1000, "REFUNDED"), bought("01 14:00", "b", part_id="2")),
        bought("01 15:00", "c"),
    ]
    programs = [loyalty(TEN_PERCENT, threshold_count=2)]

    assert tales(recompute_log(programs, logged(*lines[:5]))) == ["b l#1 100 REVOKED"]
    assert tales(recompute_log(programs, logged(*lines))) == ["b l#1 100 REVOKED", "c l#1 100 PENDING"]


def test_what_cleared_before_stays_and_later_captures_bring_nothing() -> None:
    lines = logged(
        bought("01 10:00", "x", part_id="1"),
        bought("03 11:00", "x", part_id="2"),
        revoking("03 12:00", "x", sequence=2),
        bought("03 13:00", "x", part_id="3"),
        bought("03 14:00", "x", 2500, "REFUNDED"),
    )

    result = recompute_log([campaign(TEN_PERCENT, hold_anchor="settled")], lines)

    assert tales(result) == ["x p#1 100 CLEARED", "x p#2 100 REVOKED"]
    assert [case.shortfall for case in result.cases.values()] == [50]


def test_a_purchase_is_silent_when_the_record_that_opened_it_was() -> None:
    def record(line: Line, silent: bool) -> tuple[str, Line, bool]:
        return line["occurred_at"], line, silent

    records = [
        record(bought("01 09:00", "x", 100, "REFUNDED", part_id="r"), False),
        record(said("01 10:00", "AUTHORIZED", external_id="x"), True),
        record(bought("01 11:00", "x"), False),
        record(bought("01 09:00", "y", 100, "REFUNDED", part_id="r"), True),
        record(bought("01 12:00", "y"), False),
        record(bought("01 13:00", "y", 100, "REFUNDED", part_id="s"), True),
    ]

    result = recompute_log([campaign(TEN_PERCENT)], records)

    assert {(c.transaction_ref, c.silent) for c in result.cashbacks.values()} == {("x", True), ("y", False)}


def test_what_is_silent_is_booked_and_sends_no_webhook() -> None:
    line = bought("01 10:00", "x")
    result = recompute_log([campaign(flat(5))], [(line["occurred_at"], line, True)])
    (cashback,) = result.cashbacks.values()
    body = json.dumps(webhook(cashback, "created", cashback.created_at))
    datum = event(cashback, "created", cashback.created_at) | {"silent": True}

    assert compare_events(result, [datum]) == []
    assert compare_entries(result, [(e[0], e[1]) for e in entries([cashback], commission_bps=0)]) == []
    assert compare_webhooks(result, []) == []
    (told,) = compare_webhooks(result, [(cashback.event_id("created"), body)])
    assert isinstance(told, Unexpected)
    (loud,) = compare_events(result, [datum | {"silent": False}])
    assert isinstance(loud, Differs)
    assert loud.field == "silent"
    assert len(compare_events(result, list(events(result)))) == 1
