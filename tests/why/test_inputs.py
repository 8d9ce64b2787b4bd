"""What became of an input is told by the same rules by which the stream took it."""

from dataclasses import replace

from ops.why.facts import Input
from ops.why.inputs import Fate, fates, opening, standing
from schemas.quarantine import Place
from schemas.times import DAY
from tests.why.payment import BOUGHT, event, refusal


def told(*inputs: Input) -> list[Fate]:
    return [each.fate for each in fates(inputs)]


def test_a_refund_before_its_purchase_joins_it_and_one_without_any_waits() -> None:
    refund, purchase = event(1, "REFUNDED", 100), event(2, "SETTLED", 300)
    assert told(refund, purchase) == [Fate.JOINED, Fate.TAKEN]
    assert told(refund) == [Fate.PARKED]
    assert standing(fates([refund, purchase])).net == 200
    assert standing(fates([refund])).net == 0


def test_the_same_again_is_a_repetition_and_other_content_is_set_aside() -> None:
    first = event(1, "SETTLED", 300)
    again, other = replace(first, place=Place(3, 2)), event(3, "SETTLED", 400)
    another_part = event(4, "SETTLED", 50, part_id="p2")
    assert told(first, again, other, another_part) == [Fate.TAKEN, Fate.REPEATED, Fate.REFUSED, Fate.TAKEN]
    assert standing(fates([first, again, other, another_part])).gross == 350


def test_what_was_quarantined_opens_nothing_and_counts_nothing() -> None:
    wrong = event(1, "SETTLED", 300, refusal=refusal("rejected", "mcc: wrong"))
    right = event(2, "SETTLED", 200, BOUGHT + DAY)
    all_told = fates([wrong, right])
    assert [each.fate for each in all_told] == [Fate.REFUSED, Fate.TAKEN]
    assert opening(all_told) == right
    assert standing(all_told).gross == 200


def test_what_was_discarded_while_it_waited_is_set_aside_and_may_come_and_be_discarded_again() -> None:
    gone = refusal("discarded", "discarded by ann: a mistake")
    datum = {
        "kind": "REFUNDED",
        "part_id": None,
        "action": "DISCARDED",
        "actor": "ann",
        "reason": "a mistake",
    }
    word = Input(Place(3, 2), "ParkedDecision", datum | {"decided_at": BOUGHT}, BOUGHT)
    first, again = event(1, "REFUNDED", 100, refusal=gone), event(4, "REFUNDED", 100, refusal=gone)
    twice, later = replace(word, place=Place(3, 3)), replace(word, place=Place(3, 5))
    assert told(first, word, twice, again, later, event(6, "SETTLED", 300)) == [
        *(Fate.REFUSED, Fate.TAKEN, Fate.REPEATED),
        *(Fate.REFUSED, Fate.TAKEN, Fate.TAKEN),
    ]
    anew = replace(word, datum={**word.datum, "action": "REQUEUED"})
    waits = event(1, "REFUNDED", 100)
    assert told(waits, anew, replace(anew, place=Place(3, 3))) == [Fate.PARKED, Fate.TAKEN, Fate.REPEATED]
    assert standing(fates([waits, anew, event(6, "SETTLED", 300)])).net == 200


def test_a_second_revocation_of_the_same_cashback_changes_nothing() -> None:
    datum = {"program_id": "one", "sequence": 1, "actor": "ann", "reason": "fraud", "revoked_at": BOUGHT}
    one = Input(Place(3, 5), "Revocation", datum, BOUGHT)
    assert told(event(1, "SETTLED", 300), one, replace(one, place=Place(3, 6))) == [
        Fate.TAKEN,
        Fate.TAKEN,
        Fate.REPEATED,
    ]
