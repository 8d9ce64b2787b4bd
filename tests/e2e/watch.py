"""How far every stage has come, looked at all the time: for measuring pauses, and for waiting."""

import threading
from dataclasses import dataclass
from time import monotonic
from types import TracebackType
from typing import Self

from confluent_kafka import TopicPartition

from schemas.topics import CASHBACK_EVENTS, INPUTS
from streams.topology import APP
from tests.e2e.book import POSITIONS, QUEUED, Book
from tests.e2e.pipeline import Pipeline
from tests.e2e.topic_reading import Tail, reader

LOOK_EVERY_S = 0.1
LOOK_S_MAX = 60.0
QUIET_LOOKS = 10
INPUT, LEDGER, WEBHOOKS = "inputs decided", "entries posted", "webhooks delivered"


@dataclass(frozen=True, slots=True)
class Place:
    """One place of a stage: how far it has come, and whether more waits for it."""

    done: int
    waits: bool

    def has_gone_on_since(self, before: "Place") -> bool:
        """Whether it moved, or had nothing to do."""
        return self.done > before.done or not self.waits


Stages = dict[str, dict[int, Place]]


class Watch:
    """A thread that looks every tenth of a second; as a context it ends with it.

    stages: those whose processes run.
    """

    def __init__(self, pipeline: Pipeline, *stages: str) -> None:
        settings = pipeline.settings
        self._pipeline = pipeline
        self._partitions = range(settings.partitions)
        self._inputs = INPUTS.full_name(settings.topic_prefix)
        self._events = CASHBACK_EVENTS.full_name(settings.topic_prefix)
        # Offsets that a transaction under way will commit do not count yet, and are not waited for.
        self._group = reader(settings.brokers, "read_uncommitted", settings.topic_prefix + APP)
        self.tail = Tail(settings.brokers, self._events, settings.partitions)
        self._book = Book(settings.database_url)
        self._changed = threading.Condition()
        self._began_s = 0.0
        self._now: Stages = {}
        self._quiet_looks = 0
        self._moved_at_s: dict[tuple[str, int], float] = {}
        self._failure: BaseException | None = None
        self._ending = threading.Event()
        self.longest_s: dict[str, float] = dict.fromkeys(stages or (INPUT, LEDGER, WEBHOOKS), 0.0)
        """The longest time any place of a stage stood still although more waited."""
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join()
        for each in (self._group, self.tail, self._book):
            each.close()

    def look(self) -> Stages:
        """All stages, looked at after this was called."""
        asked_s = monotonic()
        with self._changed:
            self._changed.wait_for(lambda: self._began_s >= asked_s or self._failure is not None, LOOK_S_MAX)
            assert self._failure is not None or self._began_s >= asked_s, f"no look in {LOOK_S_MAX} s"
            if self._failure is not None:
                raise self._failure
            return self._now

    def is_done(self) -> bool:
        """Whether nothing waited in the last looks: a commit shows in one topic before the other."""
        self.look()
        return self._quiet_looks >= QUIET_LOOKS

    def _run(self) -> None:
        looks = {INPUT: self._decided, LEDGER: self._posted, WEBHOOKS: self._delivered}
        try:
            while not self._ending.wait(LOOK_EVERY_S):
                began_s = monotonic()
                now = {stage: looks[stage]() for stage in self.longest_s}
                self._note_pauses(now)
                with self._changed:
                    self._now = now
                    self._began_s = began_s
                    self._changed.notify_all()
        except BaseException as error:  # noqa: BLE001 - raised again in whoever looks
            with self._changed:
                self._failure = error
                self._changed.notify_all()

    def _note_pauses(self, now: Stages) -> None:
        at_s = monotonic()
        waits = any(place.waits for places in now.values() for place in places.values())
        self._quiet_looks = 0 if waits else self._quiet_looks + 1
        for stage, places in now.items():
            for name, place in places.items():
                before = self._now.get(stage, {}).get(name, Place(-1, waits=False))
                moved_at_s = self._moved_at_s.get((stage, name), at_s)
                if place.has_gone_on_since(before):
                    self._moved_at_s[stage, name] = at_s
                self.longest_s[stage] = max(self.longest_s[stage], at_s - moved_at_s)

    def _decided(self) -> dict[int, Place]:
        places = [TopicPartition(self._inputs, partition) for partition in self._partitions]
        ends = [self._group.get_watermark_offsets(place, timeout=10)[1] for place in places]
        offsets = [max(0, place.offset) for place in self._group.committed(places, timeout=10)]
        return {p: Place(offsets[p], waits=offsets[p] < ends[p]) for p in self._partitions}

    def _posted(self) -> dict[int, Place]:
        self.tail.pull()
        rows = self._book.rows(POSITIONS)
        posted = {partition: offset for topic, partition, offset in rows if topic == self._events}
        return {
            p: Place(posted.get(p, 0), waits=posted.get(p, 0) < self.tail.next_offset(p))
            for p in self._partitions
        }

    def _delivered(self) -> dict[int, Place]:
        queued = self._book.number(QUEUED)
        return {0: Place(self._pipeline.received_counts()["delivered"], waits=queued > 0)}
