"""What people decide about events that wait for their purchase: discarded, or waiting anew."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from ops.settings import Settings
from schemas.codec import decode, encode
from schemas.errors import Rejected
from schemas.parked import checked, to_datum
from schemas.times import DAY, MINUTE, from_iso
from streams.conflicts import NotParked
from streams.purchase import is_purchase
from tests.streams.log import Log
from tests.streams.test_fold import NOW, Partition, Record, program, transaction
from tests.streams.told import Line, campaign, instant, payment, story

BOUGHT = payment("SETTLED", 5000, "02-10")


def refund(amount: int = 2000, at: str = "02-01", **fields: Any) -> Line:
    return payment("REFUNDED", amount, at, **fields)


def parked(*lines: Line) -> Log:
    return Log(campaign()).pay(*(lines or (refund(),)))


def since(log: Log) -> int | None:
    """Since when the oldest event waits, as the gauge has it."""
    return log.log.parked.oldest_at()


def micros(at: str) -> int:
    return from_iso(instant(at), "at")


def test_a_discarded_refund_takes_nothing_from_its_purchase_and_leaves_no_trace() -> None:
    log = parked().discard("02-02")
    assert log.rows == {}
    assert (len(log.log.parked), since(log)) == (0, None)
    (told,) = [str(each.reason) for each in log.result.unmatched]
    assert told.startswith("REFUNDED of t1: discarded by eve: sent by mistake")
    assert story(log.pay(BOUGHT).result) == ["created 50 one-percent#1 02-10"]


def test_the_others_of_its_purchase_wait_on_and_join() -> None:
    log = parked(refund(part_id="a"), refund(1000, "02-03", part_id="b"), payment("VOIDED", None, "02-04"))
    log.discard("02-05", part_id="a").discard("02-05", kind="VOIDED")
    assert since(log) == micros("02-03")
    assert story(log.pay(BOUGHT).result) == ["created 40 one-percent#1 02-10"]


def test_the_next_one_to_be_given_up_is_due_when_its_own_time_is_over() -> None:
    log = parked(refund(part_id="a"), refund(1000, "02-03", part_id="b")).discard("02-05", part_id="a")
    assert log.wait("04-02T23:59").log.counts["parked_too_long"] == 0
    assert log.wait("04-03").log.counts["parked_too_long"] == 1
    assert log.rows == {}


def test_what_was_discarded_is_taken_as_new_when_it_is_sent_again() -> None:
    log = parked().discard("02-02").pay(refund(2000, "02-03"), BOUGHT)
    assert log.log.counts["duplicate"] == 0
    assert story(log.result) == ["created 30 one-percent#1 02-10"]


def test_what_waits_anew_is_given_up_as_long_after_that_as_if_it_had_only_come() -> None:
    log = parked().requeue("03-01")
    assert since(log) == micros("03-01")
    assert log.wait("04-29").log.counts["parked_too_long"] == 0
    assert log.wait("04-30").log.counts["parked_too_long"] == 1
    assert log.rows == {}
    assert parked().wait("04-01").log.counts["parked_too_long"] == 1, "the first of April is its own end"


def test_what_waits_anew_joins_its_purchase_when_that_comes_late() -> None:
    late = payment("SETTLED", 5000, "04-20")
    assert story(parked().requeue("03-01").pay(late).result) == ["created 30 one-percent#1 04-20"]
    assert story(parked().pay(late).result) == ["created 50 one-percent#1 04-20"]


def test_one_that_waits_anew_does_not_hold_up_the_others() -> None:
    log = parked(refund(part_id="a"), refund(1000, "02-03", part_id="b")).requeue("03-01", part_id="a")
    assert since(log) == micros("02-03")
    assert log.wait("04-03").log.counts["parked_too_long"] == 1
    assert since(log) == micros("03-01")
    assert story(log.pay(payment("SETTLED", 5000, "04-20")).result) == ["created 30 one-percent#1 04-20"]


def test_the_same_said_again_is_counted_and_changes_nothing() -> None:
    log = parked().requeue("03-01")
    log.requeue("03-02", decided_at=micros("03-01"))
    assert since(log) == micros("03-01")
    log.discard("03-03").discard("03-03").discard("03-04")
    assert log.log.counts["parked_decision_repeated"] == 3
    assert len(log.result.unmatched) == 1
    assert log.rows == {}


def test_a_decision_is_about_what_waited_when_it_was_made() -> None:
    log = parked().discard("02-02").pay(refund(1000, "02-04"))
    log.discard("02-05", decided_at=micros("02-02"))
    assert log.log.counts["parked_decision_repeated"] == 1
    assert story(log.pay(BOUGHT).result) == ["created 40 one-percent#1 02-10"]


@pytest.mark.parametrize("action", ["DISCARDED", "REQUEUED"])
def test_what_has_joined_is_refused_and_nothing_changes(action: str) -> None:
    log = parked().pay(BOUGHT)
    before, rows = story(log.result), dict(log.rows)
    with pytest.raises(NotParked, match="the REFUNDED of t1 does not wait: its purchase is known"):
        log.decide_parked(action, "02-10")
    assert (story(log.result), dict(log.rows)) == (before, rows)
    assert log.result.unmatched == []


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"external_id": "t9"}, "kind: no REFUNDED of t9 waits that could wait anew"),
        ({"kind": "VOIDED"}, "kind: no VOIDED of t1 waits"),
        ({"part_id": "r"}, "kind: no REFUNDED of t1 waits"),
        ({"member_id": "ben"}, "kind: no REFUNDED of t1 waits"),
        ({"livemode": False}, "kind: no REFUNDED of t1 waits"),
        ({"action": "UNKNOWN"}, "action: UNKNOWN is nothing this version does"),
        ({"reason": " "}, "reason: empty"),
        ({"reason": "two\nlines"}, "reason: contains the control character U+000A"),
        ({"reason": "x" * 1001}, "reason: 1001 characters long"),
        ({"actor": ""}, "actor: empty"),
        ({"part_id": ""}, "part_id: empty"),
        ({"partner_id": "a:b"}, "partner_id: 'a:b' has a colon"),
        ({"decided_at": 5}, "decided_at: 5 µs lies outside"),
    ],
)
def test_what_cannot_be_decided_is_refused_with_the_field_and_changes_nothing(
    fields: Line, problem: str
) -> None:
    log = parked()
    rows = dict(log.rows)
    with pytest.raises(Rejected) as refused:
        log.requeue("02-02", **fields)
    assert str(refused.value).startswith(problem)
    assert dict(log.rows) == rows


def test_a_decision_keeps_its_fields_on_the_way() -> None:
    said: Line = {"partner_id": "b", "member_id": "a", "external_id": "t", "kind": "VOIDED", "part_id": "p"}
    said |= {"action": "REQUEUED", "actor": "eve", "reason": "so", "decided_at": NOW, "livemode": False}
    assert to_datum(checked(said)) == said


# The worker.

REFUND = transaction(refund(2000, "02-01T11:00"), offset=7, headers=[("trace", b"t")])
PURCHASE = transaction(payment("SETTLED", 5000, "02-01T11:00"), offset=9)


def decided(action: str = "DISCARDED", **fields: Any) -> Record:
    """A decision a minute after the refund came."""
    said: Line = {"partner_id": "bank", "member_id": "ann", "external_id": "t1", "kind": "REFUNDED"}
    said |= {"part_id": None, "action": action, "actor": "eve", "reason": "sent by mistake"}
    said |= {"decided_at": NOW + MINUTE, "livemode": True, **fields}
    return Record(encode("ParkedDecision", said), offset=8, timestamp=(NOW + MINUTE) // 1_000)


def purchases(partition: Partition) -> list[bytes]:
    return [key for key, _ in partition.store.items() if is_purchase(key)]


def created(partition: Partition) -> list[int]:
    """The amounts of all cashbacks that were created."""
    events = [decode(value) for topic, value, _ in partition.sent if topic == "cashback-events"]
    return [datum["amount"] for name, datum in events if name == "CashbackCreated"]


def later(days: int) -> Record:
    at = (NOW + days * DAY) // 1_000
    return Record(encode("Tick", {"emitted_at": NOW}), key=b"", timestamp=at)


def test_a_discarded_event_goes_to_the_quarantine_as_it_came_with_who_and_why() -> None:
    partition = Partition()
    partition.take(program(), REFUND, decided())
    ((topic, value, headers),) = partition.sent
    assert (topic, value) == ("quarantine", REFUND.value)
    assert headers["cashback.reason"] == b"discarded"
    assert headers["__connect.errors.exception.message"] == b"discarded by eve: sent by mistake"
    assert headers["__connect.errors.exception.class.name"] == b"Parked"
    assert headers["__connect.errors.offset"] == b"7"
    assert headers["cashback.first_seen"] == str(NOW // 1_000).encode()
    assert purchases(partition) == []
    partition.take(PURCHASE, later(61))
    assert partition.events() == ["CashbackCreated", "CashbackCleared"]
    assert len(partition.quarantined()) == 1


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"member_id": "ben"}, "key: b'bank:ann' is not partner_id:member_id"),
        ({"decided_at": NOW + 7 * MINUTE}, "decided_at: 2024-02-01T12:07:00Z is after"),
        ({"reason": ""}, "reason: empty"),
        ({"action": "REQUEUED", "kind": "VOIDED"}, "kind: no VOIDED of t1 waits"),
    ],
)
def test_a_decision_that_cannot_be_taken_is_set_aside_and_nothing_changes(fields: Line, problem: str) -> None:
    partition = Partition(settings=Settings(clock="broker", bad_input_limit=1))
    partition.take(program(), REFUND, decided(**fields))
    ((reason, told),) = partition.quarantined()
    assert reason == "rejected"
    assert told.startswith(problem)
    partition.take(decided())
    assert [reason for reason, _ in partition.quarantined()] == ["rejected", "discarded"]


def test_decisions_on_what_has_joined_are_set_aside_and_no_fault_of_the_worker() -> None:
    partition = Partition(settings=Settings(clock="broker", bad_input_limit=2))
    partition.take(program(), REFUND, PURCHASE, *[decided()] * 5)
    assert {reason for reason, _ in partition.quarantined()} == {"rejected"}
    assert len(partition.quarantined()) == 5
    assert partition.pauses == []
    assert partition.events() == ["CashbackCreated"]


def test_a_decision_that_is_too_old_when_it_comes_is_set_aside() -> None:
    partition = Partition(settings=Settings(clock="broker", max_age_days=10))
    partition.take(program(), REFUND, later(11), replace(decided(), timestamp=(NOW + 11 * DAY) // 1_000))
    ((reason, told),) = partition.quarantined()
    assert (reason, told.partition(":")[0]) == ("rejected", "decided_at")


def test_what_waits_anew_does_so_after_a_restore_and_keeps_when_it_was_first_seen() -> None:
    before = Partition()
    anew = NOW + 20 * DAY
    before.take(program(), REFUND, later(20), decided("REQUEUED", decided_at=anew))
    after = Partition(store=before.store)
    assert after.fold.log.parked.oldest_at() == anew
    after.take(later(79))
    assert after.quarantined() == []
    after.take(later(80))
    assert [reason for reason, _ in after.quarantined()] == ["parked_too_long"]
    ((_, _, headers),) = after.sent
    assert headers["cashback.first_seen"] == str(NOW // 1_000).encode()
    assert purchases(after) == []


def test_a_log_that_lies_at_other_offsets_decides_the_same() -> None:
    spread = Partition()
    log = (program(), REFUND, decided(), PURCHASE)
    spread.take(*(replace(each, offset=each.offset + 1_000) for each in log))
    assert [reason for reason, _ in spread.quarantined()] == ["discarded"]
    assert created(spread) == [50]


def test_rows_from_before_anything_could_wait_anew_are_read() -> None:
    before = Partition()
    before.take(program(), REFUND)
    (key,) = purchases(before)
    row = before.store.get(key) or b""
    *known, events, stands, silent = msgspec.msgpack.decode(row[8:])
    older = [*known, [event[:-1] for event in events], stands, silent]
    before.store.put(key, row[:8] + msgspec.msgpack.encode(older))
    after = Partition(store=before.store)
    after.take(PURCHASE)
    assert created(after) == [30]
