"""An input that an operator wrote back out of the quarantine."""

from dataclasses import replace

from ops.settings import Settings
from schemas.clock import clock_header
from schemas.codec import encode
from schemas.quarantine import Place, headers_back, refusal_of
from schemas.times import DAY
from tests.streams.test_fold import NOW, Partition, Record, program, transaction
from tests.streams.told import payment

REFUND = transaction(payment("REFUNDED", 5_000, "02-01T11:00"), offset=7)
PURCHASE = transaction(payment("SETTLED", 5_000, "02-01T11:00"), offset=9)


def last_refusal(partition: Partition) -> dict[str, bytes]:
    """The headers of what was set aside last."""
    return [headers for topic, _, headers in partition.sent if topic == "quarantine"][-1]


def requeued(record: Record, said: dict[str, bytes], *, offset: int, timestamp: int) -> Record:
    """A copy of a record with the headers under which it goes back."""
    headers = headers_back(list(said.items()), refusal_of(list(said.items())))
    back = [(name, value or b"") for name, value in headers]
    return Record(record.value, record.key, offset, timestamp, back)


def test_one_that_is_refused_again_keeps_when_it_was_first_seen_and_says_of_what_it_is_a_copy() -> None:
    partition = Partition()
    wrong = Record(PURCHASE.value, key=b"bank:ben", offset=3)
    partition.take(wrong)
    later = NOW // 1_000 + 86_400_000
    partition.take(requeued(wrong, last_refusal(partition), offset=8, timestamp=later))
    said = last_refusal(partition)
    refusal = refusal_of(list(said.items()))
    assert (refusal.place, refusal.first_seen_ms) == (Place(0, 8), NOW // 1_000)
    assert said["cashback.requeued_from"] == b"0:3"


def test_a_refund_that_was_given_up_joins_its_purchase_when_it_is_requeued_after_it_came() -> None:
    partition = Partition(Settings(clock="event"))
    given_up = clock_header(NOW + 61 * DAY)
    tick = Record(encode("Tick", {"emitted_at": NOW}), headers=[given_up])
    partition.take(program(), replace(REFUND, headers=[clock_header(NOW)]), tick)
    assert [reason for reason, _ in partition.quarantined()] == ["parked_too_long"]
    copy = requeued(REFUND, last_refusal(partition), offset=11, timestamp=NOW // 1_000)
    partition.take(transaction(payment("SETTLED", 5_000, "04-01T11:00"), offset=10), copy)
    assert partition.events() == ["CashbackCreated", "CashbackReverted"]
    assert len(partition.quarantined()) == 1


def test_a_refund_that_is_given_up_again_and_again_stays_as_old_as_it_is_and_may_be_requeued_each_time() -> (
    None
):
    partition = Partition(Settings(clock="broker", max_age_days=35))
    partition.take(program(), REFUND)
    for days in (61, 122, 183):
        at = (NOW + days * DAY) // 1_000
        partition.take(Record(encode("Tick", {"emitted_at": NOW}), timestamp=at))
        said = last_refusal(partition)
        assert (said["cashback.reason"], said["cashback.first_seen"]) == (
            b"parked_too_long",
            b"%d" % (NOW // 1_000),
        )
        partition.take(requeued(REFUND, said, offset=days, timestamp=at))
    assert len(partition.quarantined()) == 3
    assert partition.fold.log.parked.oldest_at() == NOW + 183 * DAY


def test_the_age_of_a_payment_counts_from_when_it_was_first_seen() -> None:
    partition = Partition(Settings(clock="broker", max_age_days=35))
    wrong = Record(PURCHASE.value, key=b"bank:ben", offset=3)
    partition.take(program(), wrong)
    mended = replace(requeued(wrong, last_refusal(partition), offset=8, timestamp=0), key=b"bank:ann")
    later = (NOW + 50 * DAY) // 1_000
    partition.take(replace(mended, timestamp=later))
    assert partition.events() == ["CashbackCreated", "CashbackCleared"]


def test_who_was_too_late_at_first_stays_too_late() -> None:
    partition = Partition(Settings(clock="broker", max_age_days=35))
    late = replace(PURCHASE, timestamp=(NOW + 36 * DAY) // 1_000)
    partition.take(program(), late)
    partition.take(requeued(late, last_refusal(partition), offset=10, timestamp=late.timestamp))
    assert partition.events() == []
    assert [reason for reason, _ in partition.quarantined()] == ["rejected", "rejected"]


def test_what_was_ahead_of_the_clock_is_taken_once_its_time_has_come() -> None:
    partition = Partition(Settings(clock="broker"))
    early = replace(PURCHASE, timestamp=(NOW - DAY) // 1_000)
    partition.take(replace(program(), timestamp=early.timestamp), early)
    partition.take(requeued(early, last_refusal(partition), offset=10, timestamp=NOW // 1_000))
    assert partition.events() == ["CashbackCreated"]
