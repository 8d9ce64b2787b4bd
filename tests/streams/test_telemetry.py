"""What a worker tells its metrics: after the commit, once, and nothing of partitions it does not hold."""

from typing import Any

import pytest
from prometheus_client import REGISTRY, generate_latest

from schemas.codec import encode
from schemas.programs import parse_program, to_datum
from schemas.times import MINUTE
from streams.telemetry import WorkerTelemetry
from tests.streams.test_fold import NOW, Partition, Record, transaction
from tests.streams.test_parking import decided
from tests.streams.told import campaign, payment

SECOND_MS = 1_000


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


@pytest.fixture
def telemetry() -> WorkerTelemetry:
    return WorkerTelemetry()


def commit(telemetry: WorkerTelemetry, partition: Partition, *records: Any) -> None:
    partition.take(*records)
    telemetry.report(partition.fold)
    telemetry.committed(0, 1, 0.01, [(NOW // 1_000, len(records))])


def test_counts_are_told_after_the_commit_and_once(telemetry: WorkerTelemetry) -> None:
    partition = Partition()
    before = value("cashback_inputs_total", outcome="parked")
    partition.take(transaction(payment("REFUNDED", 100, "02-01T11:00")))
    telemetry.report(partition.fold)
    assert value("cashback_inputs_total", outcome="parked") == before
    for _ in range(2):
        telemetry.committed(0, 1, 0.01, [])
    assert value("cashback_inputs_total", outcome="parked") == before + 1


def test_what_a_fold_counted_and_never_committed_is_never_told(telemetry: WorkerTelemetry) -> None:
    before = value("cashback_inputs_total", outcome="parked")
    lost = Partition()
    lost.take(transaction(payment("REFUNDED", 100, "02-01T11:00")))
    telemetry.report(lost.fold)
    telemetry.given_up(0)
    commit(telemetry, Partition(), transaction(payment("REFUNDED", 100, "02-01T11:00")))
    assert value("cashback_inputs_total", outcome="parked") == before + 1


def test_quarantined_inputs_are_counted_by_reason(telemetry: WorkerTelemetry) -> None:
    reasons = ("undecodable", "rejected", "conflict")
    before = {reason: value("cashback_quarantined_total", reason=reason) for reason in reasons}
    first = payment("SETTLED", 100, "02-01T11:00")
    commit(
        telemetry,
        Partition(),
        Record(b"not ours"),
        transaction(first, key=b"bank:ben"),
        transaction(first),
        transaction({**first, "amount_minor": 200}),
    )
    told = {reason: value("cashback_quarantined_total", reason=reason) - before[reason] for reason in reasons}
    assert told == dict.fromkeys(reasons, 1)


def test_a_discarded_event_is_counted_where_it_ends_and_the_decision_as_an_input(
    telemetry: WorkerTelemetry,
) -> None:
    def told() -> list[float]:
        return [
            value("cashback_parked_ends_total", outcome="discarded"),
            value("cashback_quarantined_total", reason="discarded"),
            value("cashback_inputs_total", outcome="parked_discarded"),
            value("cashback_inputs_total", outcome="parked_requeued"),
            value("cashback_inputs_total", outcome="parked_decision_repeated"),
        ]

    before = told()
    refund = transaction(payment("REFUNDED", 100, "02-01T11:00"))
    anew, twice = decided("REQUEUED"), [decided(decided_at=NOW + 2 * MINUTE)] * 2
    commit(telemetry, Partition(), refund, anew, *twice)
    assert [now - then for now, then in zip(told(), before, strict=True)] == [1, 1, 1, 1, 1]
    assert value("cashback_parked_purchases", partition="0") == 0


def test_the_oldest_parked_event_shows_how_long_it_waits(telemetry: WorkerTelemetry) -> None:
    partition = Partition()
    later = NOW // 1_000 + 90 * SECOND_MS
    refunds = [
        transaction(payment("REFUNDED", 100, "02-01T11:00", external_id=name), timestamp=NOW // 1_000 + delay)
        for name, delay in (("t1", 0), ("t2", 60 * SECOND_MS))
    ]
    commit(telemetry, partition, *refunds, Record(encode("Tick", {"emitted_at": NOW}), timestamp=later))
    assert value("cashback_parked_oldest_seconds", partition="0") == 90
    program = Record(encode("Program", to_datum(parse_program(campaign()))), timestamp=later)
    commit(
        telemetry, partition, program, transaction(payment("SETTLED", 100, "02-01T11:00"), timestamp=later)
    )
    assert value("cashback_parked_oldest_seconds", partition="0") == 30
    assert value("cashback_parked_purchases", partition="0") == 1


def test_gauges_of_a_partition_that_moved_away_are_gone(telemetry: WorkerTelemetry) -> None:
    telemetry.restoring(0, 10, 20)
    telemetry.restored(0, 20, 0.1)
    telemetry.lag(0, 5)
    commit(telemetry, Partition(), transaction(payment("REFUNDED", 100, "02-01T11:00")))
    assert value("cashback_restore_expected_records", partition="0") == 20
    telemetry.given_up(0)
    telemetry.lag(0, 5)
    assert b'partition="0"' not in generate_latest(REGISTRY)
