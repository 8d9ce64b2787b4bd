"""Leases in the worker's state machine: who waits is decided in slices, however many they are."""

from typing import Any

import pytest

from ops.settings import Settings
from schemas.codec import decode, encode
from streams.engine.store import MemoryStore
from tests.streams.test_fold import Partition, Record, program, transaction
from tests.streams.told import payment

WAITING = 25
SLICE = 4


def grant(number: int, amount: int) -> Record:
    datum = {"program_id": "one-percent", "livemode": True, "scope": "total", "partition": 0}
    answer = {"number": number, "amount": amount, "closed": False, "reopening": 0}
    return Record(encode("BudgetGrant", datum | answer), key=b"one-percent")


def with_many_who_wait(due_slice: int) -> Partition:
    """A partition that gets all its budget only after it asked twice: the first answer serves one."""
    partition = Partition(Settings(clock="broker", due_slice=due_slice))
    partition.take(program(budget={"total": 1_250}))
    for number in range(WAITING):
        partition.take(transaction(payment("SETTLED", 5_000, "02-01", external_id=f"t{number:02}")))
    partition.take(grant(1, 50))
    return partition


def purchases(partition: Partition) -> list[str]:
    """Who was told of a cashback, in order."""
    events = [decode(value)[1] for topic, value, _ in partition.sent if topic == "cashback-events"]
    return [event["transaction_ref"] for event in events]


def test_those_who_wait_for_a_lease_are_decided_a_slice_between_two_commits() -> None:
    whole, sliced = with_many_who_wait(10_000), with_many_who_wait(SLICE)
    whole.fold.apply(grant(2, 1_200))
    sliced.fold.apply(grant(2, 1_200))
    assert len(purchases(whole)) == WAITING
    assert len(purchases(sliced)) == 1 + SLICE
    tick = Record(encode("Tick", {"emitted_at": 0}))
    slices = 0
    while sliced.fold.advance(tick):
        slices += 1
    assert slices == (WAITING - 1) // SLICE - 1
    assert sliced.sent == whole.sent


def test_a_worker_that_takes_over_amidst_them_goes_on_with_the_next() -> None:
    first = with_many_who_wait(SLICE)
    first.fold.apply(grant(2, 1_200))
    first.fold.before_commit()
    store = MemoryStore()
    for key, row in first.store.items():
        store.put(key, row)
    second = Partition(first.settings, store)
    late = transaction(payment("SETTLED", 5_000, "02-01", external_id="late"))
    second.take(late)
    told = [*purchases(first), *purchases(second)]
    assert told == [f"t{number:02}" for number in range(WAITING)]


@pytest.mark.parametrize(
    ("bent", "told"),
    [({"program_id": "a\x1fb"}, "program_id"), ({"scope": ""}, "scope"), ({"amount": -1}, "amount")],
)
def test_what_no_keeper_says_is_quarantined(bent: dict[str, Any], told: str) -> None:
    partition = with_many_who_wait(10_000)
    record = grant(2, 1_200)
    assert record.value is not None
    partition.take(Record(encode("BudgetGrant", {**decode(record.value)[1], **bent}), key=b"x"))
    [(reason, message)] = partition.quarantined()
    assert (reason, message.partition(":")[0]) == ("rejected", told)
