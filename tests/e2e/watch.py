"""How far every stage has come, for waiting until all is done. Not for several threads at once."""

from types import TracebackType
from typing import Self

from confluent_kafka import TopicPartition

from ops.torture.looking import reader
from ops.torture.watch import Place
from schemas.topics import CASHBACK_EVENTS, INPUTS
from streams.topology import APP
from tests.e2e.book import POSITIONS, Book
from tests.e2e.pipeline import Pipeline
from tests.e2e.topic_reading import Tail

LOOK_EVERY_S = 0.1
QUIET_LOOKS = 10
INPUT, LEDGER = "inputs decided", "entries posted"

Stages = dict[str, dict[int, Place]]


class Watch:
    """A context manager; `stages`: those whose processes run, INPUT among them."""

    def __init__(self, pipeline: Pipeline, *stages: str) -> None:
        settings = pipeline.settings
        self._stages = stages
        self._partitions = range(settings.partitions)
        self._inputs = INPUTS.full_name(settings.topic_prefix)
        self._events = CASHBACK_EVENTS.full_name(settings.topic_prefix)
        # Offsets that a transaction under way will commit do not count yet, and are not waited for.
        self._group = reader(settings.brokers, "read_uncommitted", settings.topic_prefix + APP)
        self.tail = Tail(settings.brokers, self._events, settings.partitions)
        self._book = Book(settings.database_url)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in (self._group, self.tail, self._book):
            each.close()

    def look(self) -> Stages:
        """All stages as they are now; takes a tenth of a second when nothing comes."""
        now = {INPUT: self._decided()}
        self.tail.pull(LOOK_EVERY_S)
        if LEDGER in self._stages:
            now[LEDGER] = self._posted()
        return now

    def is_done(self) -> bool:
        """Whether nothing waits in several looks: a commit shows in one topic before the other."""
        return not any(self._waits() for _ in range(QUIET_LOOKS))

    def _waits(self) -> bool:
        return any(place.waits for places in self.look().values() for place in places.values())

    def _decided(self) -> dict[int, Place]:
        places = [TopicPartition(self._inputs, partition) for partition in self._partitions]
        ends = [self._group.get_watermark_offsets(place, timeout=10)[1] for place in places]
        offsets = [max(0, place.offset) for place in self._group.committed(places, timeout=10)]
        return {p: Place(offsets[p], waits=offsets[p] < ends[p]) for p in self._partitions}

    def _posted(self) -> dict[int, Place]:
        rows = self._book.rows(POSITIONS)
        posted = {partition: offset for topic, partition, offset in rows if topic == self._events}
        return {
            p: Place(posted.get(p, 0), waits=posted.get(p, 0) < self.tail.next_offset(p))
            for p in self._partitions
        }
