"""Holds everything a pipeline brought forth against an independent recomputation of its input log.

On fresh data the topics are also held against `simulate` of the same year. Runs in a process of its own
beside the pipeline: the log is recomputed while webhooks are still delivered.
"""

import os
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import psycopg
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from ops.demo.simulated import COMPARED, Simulated, compare_topic, simulate_year
from ops.oracle import Recomputation, recompute_log
from ops.oracle.compare import (
    compare_balances,
    compare_cases,
    compare_decisions,
    compare_entries,
    compare_events,
    compare_webhooks,
)
from ops.oracle.differences import Difference
from ops.partitions.reading import headers_of
from ops.settings import Settings
from schemas.clock import clock_of
from schemas.codec import decode
from schemas.errors import Undecodable
from schemas.programs import from_datum
from schemas.topics import CASHBACK_EVENTS, DECISIONS, INPUTS, REVERSAL_CASES, Topic

SHOWN_MAX = 10
SIMULATED = ", to the byte as `simulate` has them"
"""Ends the subjects that were held against `simulate`."""
SILENCE_S = 30.0
_RECORDS_A_POLL = 5_000
_POLL_S = 0.1
_NICENESS = 5

Result = TypeVar("Result")

_ENTRIES = "SELECT cashback_id, transition::text FROM entries JOIN cashbacks USING (cashback_no)"
# A merchant's accounts are one a partner in the ledger and one in the recomputation, which adds them up.
_BALANCES = """
SELECT kind::text,
       concat_ws(':', CASE WHEN livemode THEN 'live' ELSE 'test' END,
                 CASE WHEN member_id IS NOT NULL THEN partner_id END, coalesce(member_id, merchant_id)),
       asset, balance
FROM balances JOIN accounts USING (account_id)
"""


@dataclass
class Verdict:
    """How many of what were compared, how many of them differ, and the first differences in words."""

    compared: dict[str, int] = field(default_factory=dict)
    differing: dict[str, int] = field(default_factory=dict)
    shown: list[str] = field(default_factory=list)
    ends: dict[tuple[str, int], int] = field(default_factory=dict)
    """Of the topics compared: where each partition ends, as the offset after its last record."""

    @property
    def differences(self) -> int:
        """All of them."""
        return sum(self.differing.values())

    @property
    def simulated(self) -> int:
        """Records that were held against `simulate`."""
        return sum(count for subject, count in self.compared.items() if subject.endswith(SIMULATED))

    def add(self, subject: str, compared: int, differences: list[Difference]) -> None:
        """Note what was found of one subject."""
        self.compared[subject] = compared
        self.differing[subject] = len(differences)
        self.shown += map(str, differences[: SHOWN_MAX - len(self.shown)])

    def count(self, subject: str, compared: int, differing: int) -> None:
        """Note what somebody else has compared and counted."""
        self.compared[subject] = compared
        self.differing[subject] = differing

    def join(self, other: "Verdict") -> None:
        """Take over what another one found."""
        self.compared |= other.compared
        self.differing |= other.differing
        self.shown += other.shown[: SHOWN_MAX - len(self.shown)]


class Comparison:
    """The process that recomputes and compares; its calls run one after the other, in the order made."""

    def __init__(self, settings: Settings) -> None:
        self._pool = ProcessPoolExecutor(
            1, mp_context=get_context("spawn"), initializer=_begin, initargs=(settings,)
        )

    def recompute(self) -> Future[dict[str, int]]:
        """Read the whole input log and recompute it; the counts of the recomputation."""
        return self._pool.submit(_call, "recompute")

    def simulate(self, households: int | None, seed: int) -> Future[None]:
        """Judge the year with `simulate`, for `compare_topics`."""
        return self._pool.submit(_call, "simulate", households, seed)

    def compare_topics(self) -> Future[Verdict]:
        """Events, decisions and reversal cases, when everything is decided."""
        return self._pool.submit(_call, "compare_topics")

    def compare_books(self, received: Path) -> Future[Verdict]:
        """Ledger and webhooks, when everything is posted and delivered; `received` is the receiver's file."""
        return self._pool.submit(_call, "compare_books", received)

    def close(self) -> None:
        """End the process without waiting for what it works on."""
        for process in list((self._pool._processes or {}).values()):
            process.kill()
        self._pool.shutdown(cancel_futures=True)


_compares: "list[_Side]" = []


def _begin(settings: Settings) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(_NICENESS)
    _compares.append(_Side(settings))


def _call(name: str, *arguments: Any) -> Any:
    return getattr(_compares[0], name)(*arguments)


class _Side:
    """What runs in the other process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._expected = Recomputation()
        self._simulated: Simulated | None = None

    def simulate(self, households: int | None, seed: int) -> None:
        self._simulated = simulate_year(self._settings, households, seed)

    def recompute(self) -> dict[str, int]:
        partitions: defaultdict[int, list[tuple[int, dict[str, Any]]]] = defaultdict(list)
        programs: dict[bytes, dict[str, Any]] = {}
        clocks: Counter[int] = Counter()
        for message in records(self._settings, INPUTS):
            place = message.partition() or 0
            # Ticks move the clock too, and a later load may begin with an earlier one.
            clocks[place] = max(clocks[place], clock_of(headers_of(message)) or 0)
            try:
                name, datum = decode(message.value())
            except Undecodable:
                continue
            if name == "Program":
                programs.setdefault(message.key() or b"", from_datum(datum).to_json())
            elif name in ("Transaction", "Entitlement"):
                partitions[place].append((clocks[place], datum))
        for place in sorted(partitions):
            log = partitions.pop(place)
            self._join(
                recompute_log(
                    programs.values(), log, until=clocks[place], parked_days=self._settings.parked_days
                )
            )
        return dict(self._expected.counts)

    def compare_topics(self) -> Verdict:
        verdict = Verdict()
        self._compare(verdict, "events", CASHBACK_EVENTS, compare_events)
        self._compare(verdict, "decisions", DECISIONS, compare_decisions)
        self._compare(verdict, "reversal cases", REVERSAL_CASES, compare_cases)
        if self._simulated is not None:
            for topic in COMPARED:
                compared, differences = compare_topic(self._simulated, topic, records(self._settings, topic))
                verdict.add(f"{topic.name}{SIMULATED}", compared, differences)
        return verdict

    def compare_books(self, received: Path) -> Verdict:
        verdict = Verdict()
        bps = self._settings.commission_bps
        with psycopg.connect(self._settings.database_url, autocommit=True) as connection:
            entries = connection.execute(_ENTRIES).fetchall()
            verdict.add("ledger entries", len(entries), compare_entries(self._expected, entries))
            balances = connection.execute(_BALANCES).fetchall()
            found = compare_balances(self._expected, balances, commission_bps=bps)
            verdict.add("account balances", len(balances), found)
        webhooks = _Counted(_webhooks(received))
        found = compare_webhooks(self._expected, webhooks)
        verdict.add("webhooks received", webhooks.count, found)
        return verdict

    def _compare(
        self,
        verdict: Verdict,
        subject: str,
        topic: Topic,
        compare: Callable[[Recomputation, Iterable[Mapping[str, Any]]], list[Difference]],
    ) -> None:
        def datums() -> Iterator[Mapping[str, Any]]:
            for message in records(self._settings, topic):
                verdict.ends[message.topic() or "", message.partition() or 0] = (message.offset() or 0) + 1
                yield decode(message.value())[1]

        found = _Counted(datums())
        differences = compare(self._expected, found)
        verdict.add(subject, found.count, differences)

    def _join(self, part: Recomputation) -> None:
        self._expected.cashbacks |= part.cashbacks
        self._expected.decisions |= part.decisions
        self._expected.cases |= part.cases
        self._expected.counts.update(part.counts)


class _Counted(Iterable[Any]):
    """Counts what passes."""

    def __init__(self, source: Iterable[Any]) -> None:
        self._source = source
        self.count = 0

    def __iter__(self) -> Iterator[Any]:
        for each in self._source:
            self.count += 1
            yield each


def records(settings: Settings, topic: Topic) -> Iterator[Message]:
    """Every committed record of a topic as it is now; the order is that of each partition.

    Raises `KafkaException`, `TimeoutError` when the broker falls silent.
    """
    name = topic.full_name(settings.topic_prefix)
    consumer = Consumer(
        {
            "bootstrap.servers": settings.brokers,
            "group.id": "cashback-demo-comparison",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "queued.max.messages.kbytes": 16_384,
        }
    )
    try:
        partitions = consumer.list_topics(name, timeout=SILENCE_S).topics[name].partitions
        consumer.assign([TopicPartition(name, partition, OFFSET_BEGINNING) for partition in partitions])
        yield from _until_ends(consumer, unfinished=set(partitions))
    finally:
        consumer.close()


def _until_ends(consumer: Consumer, *, unfinished: set[int]) -> Iterator[Message]:
    heard_s = time.monotonic()
    while unfinished:
        batch = consumer.consume(_RECORDS_A_POLL, _POLL_S)
        if batch:
            heard_s = time.monotonic()
        elif time.monotonic() - heard_s > SILENCE_S:
            raise TimeoutError(f"Kafka sent nothing for {SILENCE_S:.0f} s")
        for message in batch:
            error = message.error()
            if error is None:
                yield message
            elif error.code() == KafkaError._PARTITION_EOF:
                unfinished.discard(message.partition() or 0)
            else:
                raise KafkaException(error)


def _webhooks(received: Path) -> Iterator[tuple[str, bytes]]:
    with received.open("rb") as lines:
        for line in lines:
            event_id, _, body = line.rstrip(b"\n").partition(b"\t")
            yield event_id.decode(), body
