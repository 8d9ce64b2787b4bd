"""Reversal cases to their end: approved, declined, opened again; what an operator wants back."""

import pytest

from schemas.errors import Rejected
from schemas.reversals import checked, to_datum
from schemas.times import from_iso
from streams.conflicts import NotDecidable
from tests.streams.log import Log
from tests.streams.told import Line, campaign, clip, deal, instant, payment, stamps, story

AT_ONCE = campaign(hold_days=0)
BOUGHT = payment("SETTLED", 5000, "02-01")


def refund(amount: int, at: str, part: str = "r", **fields: object) -> Line:
    return payment("REFUNDED", amount, at, part_id=part, **fields)


def refunded() -> Log:
    """50 cleared on 5000, of which 2000 came back: a case about 20."""
    return Log(AT_ONCE).pay(BOUGHT, refund(2000, "02-02"))


def test_an_approved_case_reverts_the_whole_cashback_and_clears_what_is_still_earned_at_once() -> None:
    log = refunded().approve("02-03", second_actor="ben", reason="returned")
    assert story(log.result) == [
        "created 50 one-percent#1 02-01",
        "cleared one-percent#1 02-01",
        "reverted one-percent#1 02-03",
        "created 30 one-percent#2 02-03",
        "cleared one-percent#2 02-03",
    ]
    assert log.cases == ["#1.1 OPEN 20 REFUNDED", "#1.2 APPROVED 20 DECIDED"]
    decided = log.result.cases[-1]
    assert (decided["actor"], decided["second_actor"], decided["note"]) == ("eve", "ben", "returned")


def test_the_second_cashback_clears_at_once_whatever_the_hold_says_now() -> None:
    program = campaign(hold_days=1, hold_anchor="settled")
    log = Log(program).pay(BOUGHT).wait("02-02").pay(payment("SETTLED", 5000, "02-03", part_id="more"))
    log.wait("02-04").pay(payment("SETTLED", 1000, "02-05", part_id="late"), refund(7000, "02-05", "r"))
    assert log.cases == ["#2.1 OPEN 50 REFUNDED", "#1.1 OPEN 10 REFUNDED"]
    log.approve("02-05T01:00")
    assert story(log.result)[-3:] == [
        "reverted one-percent#1 02-05T01:00",
        "created 40 one-percent#4 02-05T01:00",
        "cleared one-percent#4 02-05T01:00",
    ]


def test_nothing_is_created_when_nothing_is_earned_any_more() -> None:
    log = Log(AT_ONCE).pay(BOUGHT, payment("VOIDED", None, "02-02")).approve("02-03")
    assert story(log.result)[2:] == ["reverted one-percent#1 02-03"]


def split() -> Log:
    """50 and 30 cleared, of 8000 left are 3500: the second is too much as a whole, of the first 15."""
    more = payment("SETTLED", 3000, "02-02", part_id="more")
    return Log(AT_ONCE).pay(BOUGHT, more, refund(4500, "02-03"))


def test_each_case_of_a_split_shipment_takes_back_its_own_share_in_any_order() -> None:
    log = split()
    assert log.cases == ["#2.1 OPEN 30 REFUNDED", "#1.1 OPEN 15 REFUNDED"]
    log.approve("02-04").approve("02-05", sequence=2)
    assert story(log.result)[4:] == [
        "reverted one-percent#1 02-04",
        "created 35 one-percent#3 02-04",
        "cleared one-percent#3 02-04",
        "reverted one-percent#2 02-05",
    ]
    other = split().approve("02-04", sequence=2).approve("02-05")
    assert story(other.result)[4:] == [
        "reverted one-percent#2 02-04",
        "reverted one-percent#1 02-05",
        "created 35 one-percent#3 02-05",
        "cleared one-percent#3 02-05",
    ]
    assert len(log.cases) == len(other.cases) == 4


def test_what_was_created_anew_may_be_too_much_again() -> None:
    log = refunded().approve("02-03").pay(refund(1000, "02-04", "s"))
    assert log.cases[2:] == ["#2.1 OPEN 10 REFUNDED"]
    log.approve("02-05", sequence=2).pay(payment("SETTLED", 4000, "02-06", part_id="more"))
    assert story(log.result)[5:] == [
        "reverted one-percent#2 02-05",
        "created 20 one-percent#3 02-05",
        "cleared one-percent#3 02-05",
        "created 40 one-percent#4 02-06",
        "cleared one-percent#4 02-06",
    ]


def test_a_declined_case_opens_again_only_when_more_is_too_much() -> None:
    log = refunded().decline("02-03")
    log.pay(payment("SETTLED", 1000, "02-04", part_id="more"), refund(1000, "02-05", "s"))
    assert log.cases == ["#1.1 OPEN 20 REFUNDED", "#1.2 DECLINED 20 DECIDED"]
    log.pay(refund(500, "02-06", "t"))
    assert log.cases[2:] == ["#1.3 OPEN 25 REFUNDED"]
    assert log.result.cases[-1]["opened_at"] == from_iso(instant("02-06"), "at")
    log.approve("02-07", revision=3)
    assert story(log.result)[2:] == [
        "reverted one-percent#1 02-07",
        "created 25 one-percent#2 02-07",
        "cleared one-percent#2 02-07",
    ]


def test_an_operator_wants_a_cleared_cashback_back_and_gets_all_of_it_for_good() -> None:
    log = Log(AT_ONCE).pay(BOUGHT).revoke("02-02")
    assert log.cases == ["#1.1 OPEN 50 REVOKED"]
    assert (log.result.cases[0]["actor"], log.result.cases[0]["note"]) == ("eve", "fraud")
    log.approve("02-03").pay(payment("SETTLED", 9000, "02-04", part_id="more"))
    assert story(log.result)[2:] == ["reverted one-percent#1 02-03"]
    assert log.cases[1:] == ["#1.2 APPROVED 50 DECIDED"]


def test_what_is_pending_beside_it_goes_with_it() -> None:
    log = Log(campaign(hold_days=1, hold_anchor="settled")).pay(BOUGHT).wait("02-02")
    log.pay(payment("SETTLED", 4000, "02-02T12:00", part_id="more")).revoke("02-03").approve("02-03T01:00")
    assert story(log.result)[2:] == [
        "created 40 one-percent#2 02-02T12:00",
        "reverted one-percent#1 02-03T01:00",
        "reverted one-percent#2 02-03T01:00",
    ]
    log.revoke("02-04", sequence=2)
    assert log.log.counts["revocation_repeated"] == 1


def test_others_of_the_purchase_neither_pay_for_what_an_operator_got_back_nor_gain() -> None:
    log = Log(AT_ONCE).pay(BOUGHT, payment("SETTLED", 3000, "02-02", part_id="more"))
    log.revoke("02-03").approve("02-04").pay(refund(1000, "02-05"))
    assert log.cases[2:] == ["#2.1 OPEN 10 REFUNDED"]


def test_a_declined_claim_leaves_what_refunds_left_and_may_be_made_again() -> None:
    log = Log(AT_ONCE).pay(BOUGHT).revoke("02-02").decline("02-03").pay(refund(2000, "02-04"))
    assert log.cases[1:] == ["#1.2 DECLINED 50 DECIDED", "#1.3 OPEN 20 REFUNDED"]
    log.revoke("02-05").decline("02-06", revision=4).revoke("02-07").revoke("02-07")
    assert log.cases[3:] == ["#1.4 OPEN 50 REVOKED", "#1.5 DECLINED 50 DECIDED", "#1.6 OPEN 50 REVOKED"]
    assert log.log.counts["revocation_repeated"] == 1


def test_limit_cap_and_budget_get_back_in_their_period_what_is_reversed() -> None:
    bounds = {"member_limit": {"count": 1, "period": "month"}, "budget": {"total": 50}}
    log = Log(AT_ONCE | bounds).pay(BOUGHT).pay(payment("VOIDED", None, "02-02"))
    log.pay(payment("SETTLED", 5000, "02-03", external_id="t2")).approve("02-04")
    log.pay(payment("SETTLED", 5000, "02-05", external_id="t3"))
    assert story(log.result)[2:] == [
        "reverted one-percent#1 02-04",
        "created 50 one-percent#1 02-05",
        "cleared one-percent#1 02-05",
    ]


def test_the_one_created_anew_takes_of_the_cap_again() -> None:
    log = Log(AT_ONCE | {"member_cap": {"amount": 60, "period": "month"}}).pay(BOUGHT, refund(2000, "02-02"))
    log.approve("02-03").pay(payment("SETTLED", 9000, "02-04", external_id="t2"))
    assert "created 30 one-percent#1 02-04" in story(log.result)


def test_a_clip_that_cleared_stays_used_up_when_its_cashback_is_reversed() -> None:
    log = Log(deal(), entitlements=(clip(),)).pay(BOUGHT, payment("VOIDED", None, "02-02"))
    log.approve("02-03", program_id="half-off").pay(payment("SETTLED", 5000, "02-04", external_id="t2"))
    assert story(log.result)[2:] == ["reverted half-off#1 02-03"]


def test_a_redemption_that_cleared_keeps_its_stamps_used_when_it_is_reversed() -> None:
    buys = [payment("SETTLED", 1000, f"02-0{day}", external_id=f"t{day}") for day in (1, 2, 3)]
    log = Log(stamps(hold_days=0)).pay(*buys, payment("VOIDED", None, "02-04", external_id="t3"))
    log.approve("02-05", external_id="t3", program_id="card")
    log.pay(payment("SETTLED", 1000, "02-06", external_id="t4"))
    assert story(log.result) == [
        "created 500 card#1 02-03",
        "cleared card#1 02-03",
        "reverted card#1 02-05",
    ]


def test_the_identical_decision_again_is_a_repetition() -> None:
    log = refunded().approve("02-03")
    told = list(log.result.events)
    at = from_iso(instant("02-03"), "at")
    log.approve("02-04", decided_at=at)
    assert log.log.counts["reversal_repeated"] == 1
    assert log.result.events == told


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"external_id": "t9"}, "external_id: t9 is not known"),
        ({"program_id": "other"}, "program_id: other said nothing"),
        ({"sequence": 2}, "sequence: cashback 2 of one-percent never cleared"),
        ({"revision": 2}, "revision: 2, but the case is at 1"),
        ({"reason": " "}, "reason: empty"),
        ({"reason": "two\nlines"}, "reason: contains the control character U+000A"),
        ({"reason": "x" * 1001}, "reason: 1001 characters long"),
        ({"actor": ""}, "actor: empty"),
        ({"second_actor": " EVE"}, "second_actor: eve again"),
        ({"revision": 0}, "revision: 0 is below 1"),
    ],
)
def test_what_cannot_be_decided_is_refused_with_the_field_and_changes_nothing(
    fields: Line, problem: str
) -> None:
    log = refunded()
    before = (story(log.result), log.cases)
    with pytest.raises(Rejected) as refused:
        log.approve("02-03", **fields)
    assert str(refused.value).startswith(problem)
    assert (story(log.result), log.cases) == before


def test_a_case_is_decided_once_and_only_while_something_is_too_much() -> None:
    for log, problem in (
        (Log(AT_ONCE).pay(BOUGHT), "has no reversal case"),
        (refunded().decline("02-03"), "is declined already"),
        (refunded().approve("02-03"), "is approved already"),
        (refunded().pay(payment("SETTLED", 2000, "02-03", part_id="m")), "a later capture made it good"),
    ):
        with pytest.raises(NotDecidable, match=problem):
            log.approve("02-09", revision=2)


def test_a_purchase_is_remembered_until_its_case_is_decided() -> None:
    log = refunded().wait("12-31").approve("12-31")
    assert story(log.result)[2] == "reverted one-percent#1 12-31"


def test_a_decision_keeps_its_fields_on_the_way() -> None:
    at = from_iso(instant("02-01"), "at")
    said: Line = {"partner_id": "b", "member_id": "a", "external_id": "t", "program_id": "p", "sequence": 1}
    said |= {"revision": 2, "decision": "APPROVED", "actor": "eve", "reason": "so", "decided_at": at}
    assert to_datum(checked(said)) == said | {"second_actor": None, "livemode": True}
