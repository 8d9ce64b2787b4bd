"""The ledger sink as a process: real Kafka, real PostgreSQL, kills and stops."""

import random
import signal
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from ops.embedded.ports import free_port
from ops.health import Ready, ask_readiness
from sinks.ledger.bench import created_event, resolved
from sinks.migrations import WrongSchema, check, upgrade
from sinks.reconcile import reconcile
from tests.eventually import eventually
from tests.sinks.conftest import Log, Processes

Sql = Callable[..., list[tuple[Any, ...]]]


def history(cashbacks: int) -> list[tuple[str, dict[str, Any]]]:
    events: list[tuple[str, dict[str, Any]]] = []
    for number in range(cashbacks):
        created = created_event("shop", f"member-{number % 50}", f"order-{number}", 100 + number)
        outcome = "cleared" if number % 3 else "reverted"
        events += [
            ("CashbackCreated", created),
            (f"Cashback{outcome.capitalize()}", resolved(created, outcome)),
        ]
    return events


def entries(sql: Sql) -> int:
    return int(sql("SELECT count(*) FROM entries")[0][0])


def has_posted_more_than(sql: Sql, count: int) -> None:
    eventually(lambda: entries(sql) > count, timeout_s=30)


def test_a_ledger_killed_again_and_again_posts_everything_once(
    log: Log, processes: Processes, sql: Sql, ledger_url: str
) -> None:
    events = history(2_000)
    log.publish(events, partitions=2)
    sql(
        "INSERT INTO webhook_endpoints (partner_id, livemode, url, secrets, event_types) "
        "VALUES ('shop', true, 'https://example.com/', '{x}', '{cashback.created,cashback.reverted}')"
    )
    seeded = random.Random(7)
    for _ in range(5):
        sink = processes.start("sinks.ledger", ledger_batch_events=seeded.randrange(50, 400))
        has_posted_more_than(sql, entries(sql))
        sink.kill()
        sink.wait(10)
    processes.start("sinks.ledger")
    eventually(lambda: entries(sql) >= len(events), timeout_s=30)
    assert sql("SELECT count(*), count(DISTINCT event_id) FROM entries") == [(len(events), len(events))]
    assert sql("SELECT count(*) FROM ledger_quarantine") == [(0,)]
    assert {line.proof for line in reconcile(ledger_url)} == {0}
    wanted = {event["event_id"] for record, event in events if record != "CashbackCleared"}
    queued = sql("SELECT event_id FROM webhook_queue JOIN webhook_messages USING (entry_id)")
    assert {event_id for (event_id,) in queued} == wanted
    assert len(queued) == len(wanted)


def test_a_stopped_ledger_is_taken_over_and_exits_when_it_wakes(
    log: Log, processes: Processes, sql: Sql
) -> None:
    events = history(300)
    older = processes.start("sinks.ledger", sink_stale_ms=1_000)
    log.publish(events[:200], partitions=2)
    eventually(lambda: entries(sql) == 200, timeout_s=30)
    older.send_signal(signal.SIGSTOP)
    newer = processes.start("sinks.ledger", sink_stale_ms=1_000)
    log.publish(events[200:400], partitions=2)
    eventually(lambda: entries(sql) == 400, timeout_s=30)
    older.send_signal(signal.SIGCONT)
    log.publish(events[400:], partitions=2)
    assert older.wait(15) == 1
    eventually(lambda: entries(sql) == len(events), timeout_s=15)
    assert newer.poll() is None
    newer.send_signal(signal.SIGTERM)
    assert newer.wait(15) == 0
    assert sql("SELECT count(DISTINCT event_id) FROM entries") == [(len(events),)]


def test_a_second_ledger_waits_beside_the_first_and_goes_on_when_it_dies(
    log: Log, processes: Processes, sql: Sql
) -> None:
    events = history(100)
    first = processes.start("sinks.ledger")
    log.publish(events[:50])
    eventually(lambda: entries(sql) == 50, timeout_s=30)
    second = processes.start("sinks.ledger")
    eventually(lambda: "waiting beside it" in processes.log.read_text(), timeout_s=15)
    first.kill()
    log.publish(events[50:])
    eventually(lambda: entries(sql) == len(events), timeout_s=10)
    assert second.poll() is None


def test_a_lost_session_is_replaced_and_nothing_is_lost(log: Log, processes: Processes, sql: Sql) -> None:
    events = history(1_000)
    log.publish(events, partitions=2)
    sink = processes.start("sinks.ledger", ledger_batch_events=100)
    end_session = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE %s"
    for goal in (200, 600, 1_200):
        has_posted_more_than(sql, goal)
        sql(end_session, f"{log.settings.topic_prefix}%")
    eventually(lambda: entries(sql) == len(events), timeout_s=30)
    assert sink.poll() is None


def test_reversal_cases_are_kept_by_revision_and_the_highest_stands(
    log: Log, processes: Processes, sql: Sql
) -> None:
    processes.start("sinks.ledger")
    created = created_event("shop", "ann", "order-1", 500)
    names = (
        "cashback_transaction_id",
        "transaction_id",
        "transaction_ref",
        "partner_id",
        "member_id",
        "merchant_id",
    )
    case = {name: created[name] for name in (*names, "program_id", "program_version", "sequence", "livemode")}
    case |= {"case_id": "rvc_1", "opened_at": created["timestamp"], "updated_at": created["timestamp"]}
    case |= {"amount": 500, "currency": "EUR", "net_minor": 0, "cause": "REFUNDED"}
    revisions = [(2, 300), (1, 200), (2, 300), (2, 999)]
    log.publish_cases(
        [case | {"revision": revision, "shortfall": shortfall} for revision, shortfall in revisions]
    )
    eventually(lambda: sql("SELECT 1 FROM ledger_quarantine"), timeout_s=30)
    assert sql("SELECT revision, shortfall FROM reversal_cases_now") == [(2, 300)]
    assert sql("SELECT record_offset, reason FROM ledger_quarantine") == [(3, "conflict")]


def test_a_topic_that_lost_its_end_and_a_foreign_database_are_refused(
    log: Log, processes: Processes, sql: Sql, database: str, broker: str
) -> None:
    sql(
        "INSERT INTO sink_positions VALUES (%s, %s, 0, 500, 'earlier')",
        log.settings.topic_prefix + "ledger",
        log.events,
    )
    assert processes.start("sinks.ledger").wait(30) == 1
    assert "lost its end" in processes.log.read_text()
    assert processes.start("sinks.ledger", database_url=database).wait(30) == 1
    assert "cashback migrate" in processes.log.read_text()


def test_a_database_migrated_further_than_the_code_knows_is_refused(database: str) -> None:
    with pytest.raises(WrongSchema, match="cashback migrate"):
        check(database)
    upgrade(database)
    upgrade(database)
    check(database)
    with psycopg.connect(database) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0999'")
    for refused in (check, upgrade):
        with pytest.raises(WrongSchema, match="further than"):
            refused(database)


def test_readiness_says_what_it_does(log: Log, processes: Processes) -> None:
    port = free_port(None)
    processes.start("sinks.ledger", health_port=port)
    log.publish(history(5))

    def has_posted() -> bool:
        said = ask_readiness(port)
        return isinstance(said, Ready) and said.details == {"entries": 10, "quarantined": 0, "lag": 0}

    eventually(has_posted, timeout_s=30)
