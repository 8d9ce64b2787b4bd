"""What the worker answers to decisions on parked events: by what it sets aside, and by what it keeps."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from confluent_kafka import Message

from ops import topics
from ops.partitions.reading import Partition
from ops.quarantine.parked import Waiting
from ops.quarantine.reading import lying_in
from ops.settings import Settings
from schemas.codec import encode
from schemas.parked import ParkedDecision, to_datum
from schemas.quarantine import Place
from schemas.topics import QUARANTINE, STATE, Topic
from streams.purchase import Parked, row_key, unpack, waits_for_purchase


@dataclass(frozen=True, slots=True)
class SetAside:
    """The event lies in the quarantine, for this reason."""

    reason: str


@dataclass(frozen=True, slots=True)
class WaitsAnew:
    """The event waits for its purchase, from now on."""

    event: Parked


@dataclass(frozen=True, slots=True)
class Refused:
    """The decision itself lies in the quarantine, and nothing has changed; why, for people."""

    message: str


Answer = SetAside | WaitsAnew | Refused


@dataclass(frozen=True, slots=True)
class Said:
    """A decision, and the event it is about."""

    about: Waiting
    decision: ParkedDecision

    @property
    def place(self) -> Place:
        """Where the event came in."""
        return self.about.place

    @property
    def value(self) -> bytes:
        """The record of the decision."""
        return encode("ParkedDecision", to_datum(self.decision))


class Answers:
    """A context manager over what comes from now on: enter it before anything is decided.

    `partitions`: where the events came in, and their state lies. What is set aside goes by the member's key,
    which need not lead there: whoever wrote the event chose its partition.

    `found`: the answers so far. Methods raise KafkaException, LogUnreadable.
    """

    def __init__(self, settings: Settings, partitions: Iterable[int]) -> None:
        self.found: dict[Place, Answer] = {}
        self._settings = settings
        self._partitions = partitions
        self._opened = ExitStack()
        self._states: list[_Tail] = []
        self._quarantines: list[_Tail] = []

    def __enter__(self) -> Self:
        try:
            for partition in self._partitions:
                self._states.append(self._tail(STATE, partition))
            for partition in range(topics.partitions_of(QUARANTINE, self._settings)):
                self._quarantines.append(self._tail(QUARANTINE, partition))
        except BaseException:
            self._opened.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()

    def look(self, decided: Sequence[Said]) -> bool:
        """Take what is new; whether everything that was decided is answered."""
        for tail in self._states:
            self._take_rows(tail, decided)
        for tail in self._quarantines:
            self._take_quarantined(tail, decided)
        return all(said.place in self.found for said in decided)

    def _tail(self, topic: Topic, partition: int) -> "_Tail":
        log = Partition(self._settings.brokers, topic.full_name(self._settings.topic_prefix), partition)
        self._opened.callback(log.close)
        return _Tail(log)

    def _take_rows(self, tail: "_Tail", decided: Sequence[Said]) -> None:
        by_event = {(row_key(said.about.purchase), said.about.event.offset): said for said in decided}
        keys = {key for key, _ in by_event}
        for message in tail.news():
            key, row = message.key() or b"", message.value()
            if key not in keys or row is None or not waits_for_purchase(row):
                continue
            for event in unpack(row).parked:
                said = by_event.get((key, event.offset))
                if said is not None and event.waits_since >= said.decision.decided_at:
                    self.found.setdefault(said.place, WaitsAnew(event))

    def _take_quarantined(self, tail: "_Tail", decided: Sequence[Said]) -> None:
        places = {said.place for said in decided}
        by_value = {said.value: said.place for said in decided}
        for message in tail.news():
            lying = lying_in(message)
            if lying is None:
                continue
            refusal, value = lying.record.refusal, lying.record.value
            if lying.place in places and refusal.was_parked:
                self.found.setdefault(lying.place, SetAside(refusal.reason))
            elif value in by_value:
                self.found.setdefault(by_value[value], Refused(refusal.message))


class _Tail:
    """What is committed to a partition after this was made."""

    def __init__(self, log: Partition) -> None:
        self._log = log
        self._next = log.bounds()[1]

    def news(self) -> Iterator[Message]:
        """What came since the last look."""
        end = self._log.bounds()[1]
        yield from self._log.read(self._next, end)
        self._next = end
