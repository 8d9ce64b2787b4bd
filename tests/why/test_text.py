"""What people and programs are told of one payment."""

import json
from dataclasses import replace
from pathlib import Path

from ops.why.facts import Behind, Facts, Input, Unbooked
from ops.why.life import life_of
from ops.why.text import as_json, lines
from schemas.quarantine import Place
from schemas.times import DAY, MINUTE
from tests.why.payment import BOUGHT, decision, event, program, refusal, whole, word

GOLDEN = Path(__file__).parent / "golden" / "payment.txt"


def outcome(facts: Facts) -> str:
    """The sentences about what came of a payment."""
    return "\n".join(life_of(facts).outcome)


def test_a_payment_is_told_in_the_order_in_which_it_happened() -> None:
    told = "\n".join(lines([life_of(whole())], width=110)) + "\n"
    assert told == GOLDEN.read_text(encoding="utf-8")


def test_json_has_the_figures_of_every_step() -> None:
    (payment,) = json.loads(json.dumps(as_json([life_of(whole())])))["payments"]
    assert (payment["net_minor"], payment["held_for"]) == (800, "ann")
    assert [cashback["state"] for cashback in payment["cashbacks"]] == ["CLEARED"]
    steps = payment["steps"]
    assert [step["what"] for step in steps] == [
        *("input", "input", "decision", "created", "input", "input", "cleared", "input", "case")
    ]
    assert steps[3]["transfers"][1] == {
        "debit": "merchant:funding",
        "credit": "commission:pending",
        "amount": 1,
    }
    assert [attempt["status"] for attempt in steps[3]["webhooks"][0]["attempts"]] == [503, 200]
    assert steps[2]["decisions"][2]["why"].startswith(
        "1 % of 28.00 = 0.28, cut to 0.10 left of the monthly cap"
    )


def test_two_members_of_one_reference_are_two_purchases_and_the_ledger_keeps_the_first() -> None:
    earned = {"cashback_transaction_id": "cbtx_b", "program_id": "spring", "sequence": 1, "timestamp": BOUGHT}
    refused = Unbooked(
        "CashbackCreated",
        earned | {"amount": 28, "currency": "EUR"},
        "reference_taken",
        "another member's purchase has this (livemode, partner_id, transaction_ref)",
    )
    ben = Facts(
        "bank",
        "ben",
        "order-17",
        livemode=True,
        inputs=(event(7, "SETTLED", 2_800, member_id="ben"),),
        decisions=(decision(5, word("spring", "REWARDED", amount=28), gross=2_800, net=2_800),),
        holder="ann",
        unbooked=(refused,),
    )
    told = "\n".join(lines([life_of(whole()), life_of(ben)], width=300))
    assert told.startswith("2 members have a payment of this reference: they are 2 purchases.")
    assert "The ledger keeps order-17 for member ann, who came first" in told
    assert (
        "not booked: CashbackCreated no. 1 of spring, 0.28 EUR\n    ledger  reference_taken: another" in told
    )


def test_what_is_missing_is_said_with_who_is_behind() -> None:
    bought = Facts("bank", "ann", "order-17", livemode=True, inputs=(event(1, "SETTLED", 2_800),))
    assert outcome(replace(bought, behind=Behind(worker=3))) == (
        "Not decided yet: the worker has 3 records to read before"
    )
    assert "the index of places has 2 records" in outcome(replace(bought, behind=Behind(places=2)))
    assert "No decision is kept" in outcome(bought)
    rewarded = decision(5, word("spring", "REWARDED", amount=28), gross=2_800, net=2_800)
    unbooked = replace(bought, decisions=(rewarded,), behind=Behind(ledger=9))
    assert outcome(unbooked) == (
        "Rewarded, but not in the ledger yet: the ledger has 9 records to read before"
    )


def test_who_earned_nothing_hears_why_in_one_line() -> None:
    said = (word("large", "BELOW_MIN_SPEND"), word("spring", "OUTSIDE_SCHEDULE"))
    nothing = Facts(
        "bank",
        "ann",
        "order-17",
        livemode=True,
        inputs=(event(1, "SETTLED", 2_800),),
        decisions=(decision(5, *said, gross=2_800, net=2_800),),
    )
    assert outcome(nothing) == "Earned nothing: BELOW_MIN_SPEND (large), OUTSIDE_SCHEDULE (spring)"


def test_a_pending_cashback_says_when_it_resolves_by_itself() -> None:
    facts = whole()
    pending = replace(facts.cashbacks[0], entries=facts.cashbacks[0].entries[:1], cases=())
    settled = replace(facts, cashbacks=(pending,), inputs=facts.inputs[:4])
    assert outcome(settled).endswith(
        "No. 1 of spring clears 2025-03-15 12:00:00, if nothing is refunded before"
    )
    authorized = replace(settled, inputs=facts.inputs[:2])
    assert outcome(authorized).endswith(
        "No. 1 of spring is taken back 2025-03-31 12:00:00, if the purchase is not settled before"
    )


def test_a_parked_refund_and_a_payment_that_was_set_aside_say_so() -> None:
    alone = Facts("bank", "ann", "order-17", livemode=True, inputs=(event(1, "REFUNDED", 100),))
    assert outcome(alone).startswith("Parked: ")
    wrong = refusal("rejected", "currency: 'EUT' is no currency; send three capitals")
    aside = replace(alone, inputs=(event(1, "SETTLED", 100, refusal=wrong),))
    assert outcome(aside).startswith("Nothing of it was accepted")


def test_a_refund_that_was_discarded_while_it_waited_says_by_whom_and_why() -> None:
    said = {"kind": "REFUNDED", "part_id": "r1", "action": "DISCARDED", "actor": "ann", "reason": "a mistake"}
    word = Input(Place(3, 2), "ParkedDecision", said | {"decided_at": BOUGHT + DAY}, BOUGHT + DAY)
    gone = refusal("discarded", "discarded by ann: a mistake")
    refund = event(1, "REFUNDED", 100, part_id="r1", refusal=gone)
    life = life_of(Facts("bank", "ann", "order-17", livemode=True, inputs=(refund, word)))
    assert life.outcome[0].startswith("Discarded: ")
    assert [step.said for step in life.steps][1] == "DISCARDED by ann: the parked REFUNDED r1 (a mistake)"
    assert "discarded: discarded by ann: a mistake" in [each.said for each in life.steps[0].details]


def test_only_what_changed_is_told_of_a_later_decision() -> None:
    first = decision(5, word("one", "AMOUNT_REQUIRED"), word("two", "STORE_MISMATCH"), gross=0, net=0)
    later = decision(
        6,
        word("one", "REWARDED", amount=1),
        word("two", "STORE_MISMATCH"),
        at=BOUGHT + MINUTE,
        gross=100,
        net=100,
    )
    facts = Facts(
        "bank",
        "ann",
        "order-17",
        livemode=True,
        inputs=(event(1, "AUTHORIZED", None), event(2, "SETTLED", 100, BOUGHT + MINUTE)),
        decisions=(later, first),
        programs={(name, 1): program(name) for name in ("one", "two")},
    )
    steps = [step for step in life_of(facts).steps if step.what == "decision"]
    assert [[detail.label for detail in step.details] for step in steps] == [["one v1", "two v1"], ["one v1"]]
    assert steps[1].at - steps[0].at < DAY
    assert steps[1].said == "judged again on gross 1.00 EUR, net 1.00"


def test_the_ledger_says_what_was_booked_as_history() -> None:
    (cashback,) = whole().cashbacks
    untold = [
        replace(each, is_told=False, deliveries=(), silent=n == 0) for n, each in enumerate(cashback.entries)
    ]
    life = life_of(replace(whole(), cashbacks=(replace(cashback, entries=tuple(untold)),)))
    told = [detail.said for step in life.steps for detail in step.details if detail.label == "webhook"]
    assert told == ["none: loaded as history", "none: the partner had no endpoint"]
