"""How many webhooks the dispatcher delivers, how late they come, and what one hanging endpoint costs others.

Everything is real: a PostgreSQL that waits for its disk at every commit, the ledger's own outbox, the
dispatcher as a process, a receiver in another process that checks every signature. A webhook's time begins
with the transaction that books its entry and ends when its answer is there. Afterwards the receiver's counts,
the delivery log and the outbox must agree, or there is no figure.
"""

import http.client
import json
import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from statistics import mean, median
from typing import Any

import psycopg
from confluent_kafka import Message

from ops.bench.measure import BenchFailed
from ops.bench.servers import postgres_server
from ops.bench.webhook_receiver import HANGS
from ops.embedded.jars import Say
from ops.embedded.ports import LOOPBACK, free_port
from ops.settings import Settings
from ops.supervisor import Program, Supervisor
from ops.up import environment_of
from schemas.codec import encode
from sinks.database import become_writer, session_options
from sinks.ledger.bench import created_event
from sinks.ledger.posting import Batch, Ledger
from sinks.migrations import upgrade
from sinks.positions import Positions
from sinks.webhooks.endpoints import register
from sinks.webhooks.signing import new_secret

RECEIVER, DISPATCHER = "receiver", "webhooks"
READY_S = 60.0
DELIVERED_S = 120.0
POST_EVERY_S = 0.1
WARM_UP_S = 5
BATCH_EVENTS = 5_000
MEMBERS = 5_000
_HANGING = f"%{HANGS}/%"
_BY: dict[str, Any] = {"actor": "bench", "reason": "a measurement"}

_UNDELIVERED = """
SELECT count(*) FROM webhook_queue JOIN webhook_endpoints USING (endpoint_id) WHERE NOT url LIKE %s
"""
_END_HANGING = """
UPDATE webhook_endpoints SET disabled_at = now(), disabled_reason = 'bench' WHERE url = %s RETURNING 1
"""
_RATE = """
SELECT count(*), extract(epoch FROM max(started_at + latency_us * interval '1 microsecond') - min(started_at))
FROM webhook_attempts WHERE outcome = 'delivered' AND started_at >= %s
"""
_LATENESS = """
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY late), percentile_cont(0.99) WITHIN GROUP (ORDER BY late)
FROM (SELECT extract(epoch FROM started_at - posted_at) * 1e3 + latency_us / 1e3 AS late
      FROM webhook_attempts JOIN entries USING (entry_id)
      WHERE outcome = 'delivered' AND posted_at >= %s) AS each
"""
_LOGGED = """
SELECT url, count(*) FILTER (WHERE outcome = 'delivered') FROM webhook_attempts
JOIN webhook_endpoints USING (endpoint_id) GROUP BY url
"""


@dataclass(frozen=True)
class Plan:
    """`messages` at once to all endpoints but one; then `per_s` a second, without that one and beside it.

    That one hangs. So `pairs` times, and once more without it.
    """

    messages: int = 60_000
    endpoints: int = 50
    per_s: int = 400
    seconds: int = 30
    hanging_s: int = 60
    pairs: int = 3
    database: str | None = None


class Books:
    """Books creations of cashbacks, each for the next partner in turn."""

    def __init__(self, database_url: str, partners: list[str]) -> None:
        self._connection = psycopg.connect(database_url, autocommit=True, **session_options("bench"))
        writing = psycopg.connect(database_url, autocommit=True, **session_options("bench ledger"))
        self._writing = writing
        self._positions = Positions(sink="bench", instance="bench", stale_ms=10_000)
        self._positions.load(writing, {("bench", 0): 0})
        become_writer(writing)
        self._ledger = Ledger(writing, self._positions)
        self._partners = partners
        self.posted = 0

    def post(self, messages: int) -> None:
        """Book so many in one transaction."""
        start = self._positions.next_offsets["bench", 0]
        batch = Batch(1_000)
        for offset in range(start, start + messages):
            partner = self._partners[offset % len(self._partners)]
            event = created_event(partner, f"member-{offset % MEMBERS}", f"order-{offset}", 500)
            value = encode("CashbackCreated", event)
            batch.add(Message(topic="bench", partition=0, offset=offset, value=value))
        self.posted += self._ledger.post(batch).entries

    def now(self) -> datetime:
        """The database's clock."""
        row = self._connection.execute("SELECT clock_timestamp()").fetchone()
        assert row is not None
        moment: datetime = row[0]
        return moment

    def row(self, query: str, *values: object) -> tuple[Any, ...]:
        """The one row of a query."""
        row: tuple[Any, ...] | None = self._connection.execute(query.encode(), values).fetchone()
        assert row is not None
        return row

    def delivered_by_url(self) -> dict[str, int]:
        """What the delivery log says."""
        return dict(self._connection.execute(_LOGGED).fetchall())

    def close(self) -> None:
        """End the sessions."""
        self._writing.close()
        self._connection.close()


def bench_webhooks(
    plan: Plan, settings: Settings, files: Path, *, say: Say = lambda _: None
) -> dict[str, Any]:
    """``{"deliveries_per_s", "p99_ms", …}`` and what a hanging endpoint changes. Raises `BenchFailed`."""
    with ExitStack() as stack:
        url = stack.enter_context(postgres_server(plan.database, files, say))
        upgrade(url)
        settings = settings.model_copy(update={"database_url": url, "webhook_allow_loopback": True})
        settings.model_fields_set.update({"database_url", "webhook_allow_loopback"})
        port, secret = free_port(None), files / "secret"
        secret.write_text(new_secret(), encoding="utf-8")
        partners = _register(url, port, secret.read_text(encoding="utf-8"), plan.endpoints - 1)
        books = Books(url, partners)
        stack.callback(books.close)
        supervisor = stack.enter_context(Supervisor(files / "logs"))
        supervisor.start(RECEIVER, Program("ops.bench.webhook_receiver", (str(port), str(secret))))
        dispatcher = Program("sinks.webhooks", environment=environment_of(settings))
        throughput = _throughput(plan, books, supervisor, dispatcher, say)
        lateness = _isolation(plan, books, url, partners, port, secret, say)
        supervisor.stop(DISPATCHER)
        _agree(books, port)
    return {**throughput, **lateness, "messages": books.posted, "endpoints": plan.endpoints}


def _register(url: str, port: int, secret: str, endpoints: int) -> list[str]:
    partners = [f"partner-{number}" for number in range(endpoints)]
    for partner in partners:
        register(
            url,
            partner_id=partner,
            livemode=True,
            url=f"http://{LOOPBACK}:{port}/{partner}",
            secret=secret,
            allow_loopback=True,
            **_BY,
        )
    return partners


def _throughput(
    plan: Plan, books: Books, supervisor: Supervisor, dispatcher: Program, say: Say
) -> dict[str, float]:
    say(f"Booking {plan.messages:,} messages")
    for start in range(0, plan.messages, BATCH_EVENTS):
        books.post(min(BATCH_EVENTS, plan.messages - start))
    say("Delivering them")
    began = books.now()
    supervisor.start(DISPATCHER, dispatcher)
    supervisor.wait_ready(RECEIVER, DISPATCHER, timeout_s=READY_S)
    _await_delivered(books)
    delivered, seconds = books.row(_RATE, began)
    return {"deliveries_per_s": round(delivered / float(seconds))}


def _isolation(
    plan: Plan, books: Books, url: str, partners: list[str], port: int, secret: Path, say: Say
) -> dict[str, Any]:
    say(f"{plan.per_s} messages a second for {plan.seconds} s, all endpoints fine")
    _paced(books, plan.per_s, WARM_UP_S)
    fine, beside = [_paced(books, plan.per_s, plan.seconds)], []
    for number in range(plan.pairs):
        say(f"The same for {plan.hanging_s} s beside one that hangs, then {plan.seconds} s without it")
        hanging = f"http://{LOOPBACK}:{port}{HANGS}/{number}"
        register(
            url,
            partner_id=partners[0],
            livemode=True,
            url=hanging,
            secret=secret.read_text(encoding="utf-8"),
            allow_loopback=True,
            **_BY,
        )
        beside.append(_paced(books, plan.per_s, plan.hanging_s))
        books.row(_END_HANGING, hanging)
        fine.append(_paced(books, plan.per_s, plan.seconds))
    around = [mean((before[1], after[1])) for before, after in pairwise(fine)]
    ratios = [each[1] / fine_ms for each, fine_ms in zip(beside, around, strict=True)]
    return {
        "per_s": plan.per_s,
        "p50_ms": round(median(each[0] for each in fine), 1),
        "p99_ms": round(median(each[1] for each in fine), 1),
        "p99_ms_of_each": [round(each[1], 1) for each in fine],
        "p99_ms_beside_a_hanging_endpoint": [round(each[1], 1) for each in beside],
        "p99_ratios": [round(ratio, 3) for ratio in ratios],
        "p99_ratio": round(median(ratios), 3),
    }


def _paced(books: Books, per_s: int, seconds: int) -> tuple[float, float]:
    """p50 and p99 in milliseconds, from booked to answered."""
    began, next_s = books.now(), time.monotonic()
    for _ in range(round(seconds / POST_EVERY_S)):
        books.post(round(per_s * POST_EVERY_S))
        next_s += POST_EVERY_S
        time.sleep(max(0.0, next_s - time.monotonic()))
    _await_delivered(books)
    p50, p99 = books.row(_LATENESS, began)
    return float(p50), float(p99)


def _await_delivered(books: Books) -> None:
    until_s = time.monotonic() + DELIVERED_S
    while (left := books.row(_UNDELIVERED, _HANGING)[0]) > 0:
        if time.monotonic() > until_s:
            raise BenchFailed(f"{left} messages are undelivered after {DELIVERED_S:.0f} s")
        time.sleep(0.1)


def _agree(books: Books, port: int) -> None:
    """What the receiver counted is what the log says and the ledger told, each once. Raises `BenchFailed`."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=10)
    try:
        connection.request("GET", "/")
        said = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    if said["bad_signatures"]:
        raise BenchFailed(f"{said['bad_signatures']} signatures were wrong")
    taken = {path: counts for path, counts in said["paths"].items() if not path.startswith(HANGS)}
    logged = {url.rpartition("/")[2]: count for url, count in books.delivered_by_url().items() if count}
    agree = taken == {f"/{name}": [count, count] for name, count in logged.items()}
    if not agree or sum(logged.values()) != books.posted:
        raise BenchFailed("the receiver, the delivery log and the ledger do not agree")
