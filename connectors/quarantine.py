"""What people do about quarantined records: each goes back into `inputs`, or is set down as discarded.

A record goes back first, and what was done is written once the brokers have it. Who is interrupted between
the two does it again, and dedup absorbs the second copy; the other way round a record could be lost. Nothing
here is transactional, for the reason given in `writer`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message

from connectors.writer import CONNECT_TIMEOUT_S, DELIVERY_TIMEOUT_S, inputs_partitions, inputs_producer
from ops.settings import Settings
from schemas.quarantine import (
    DISCARDED,
    REQUEUED,
    Headers,
    Place,
    Quarantined,
    Resolution,
    check_words,
    headers_back,
)
from schemas.times import Micros
from schemas.topics import INPUTS, QUARANTINE_RESOLUTIONS

RECORDS_A_ROUND = 100
"""So many are under way at once, and no more than that does an interruption repeat."""
_ROOM_WAIT_S = 0.1


@dataclass(frozen=True)
class Words:
    """Who decides, why, and when (microseconds UTC). Raises `Rejected` when one of it is missing."""

    actor: str
    reason: str
    at: Micros

    def __post_init__(self) -> None:
        check_words(actor=self.actor, reason=self.reason, resolved_at=self.at)

    def on(self, place: Place, action: str) -> Resolution:
        """The resolution of one record."""
        return Resolution(place, action, self.actor, self.reason, self.at)


def why_it_stays(record: Quarantined, *, inputs: str, partitions: int) -> str | None:
    """Why a record cannot go back to the topic `inputs` of so many partitions; None when it can."""
    topic, partition = record.refusal.topic, record.place.partition
    if topic != inputs or partition >= partitions:
        return f"it came from {topic}[{partition}], and {inputs} has {partitions} partitions"
    if record.is_cut:
        return f"it was too large to be kept whole; {inputs} has it at {record.place}: discard it here"
    return None


@dataclass
class Resolved:
    """What was done and is written down; and what was not, with why."""

    resolutions: list[Resolution] = field(default_factory=list)
    failures: dict[Place, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Letter:
    about: Place
    topic: str
    key: bytes
    value: bytes
    partition: int
    headers: Headers = ()


class Desk:
    """Where it is written what becomes of quarantined records."""

    def __init__(self, settings: Settings) -> None:
        """Raises `InputsUnavailable`."""
        self._inputs = INPUTS.full_name(settings.topic_prefix)
        self._resolutions = QUARANTINE_RESOLUTIONS.full_name(settings.topic_prefix)
        self._producer = inputs_producer(settings, delivered=lambda _error, _message: None)
        self._partitions = inputs_partitions(self._producer, settings)

    def why_it_stays(self, record: Quarantined) -> str | None:
        """Why a record cannot go back; None when it can."""
        return why_it_stays(record, inputs=self._inputs, partitions=self._partitions)

    def requeue(self, records: Sequence[Quarantined], words: Words) -> Resolved:
        """Write records, each to the partition it came from, in the order in which they came in.

        After a round of which the brokers did not take everything no other is tried.
        """
        done = Resolved()
        ordered = sorted(records, key=lambda record: record.place)
        for begin in range(0, len(ordered), RECORDS_A_ROUND):
            if done.failures:
                done.failures.update({record.place: "not tried any more" for record in ordered[begin:]})
                break
            self._requeue(ordered[begin : begin + RECORDS_A_ROUND], words, done)
        return done

    def discard(self, places: Sequence[Place], words: Words) -> Resolved:
        """Set down that nothing more will be done about these."""
        done = Resolved()
        self._set_down([words.on(place, DISCARDED) for place in sorted(places)], done)
        return done

    def _requeue(self, records: Sequence[Quarantined], words: Words, done: Resolved) -> None:
        letters = [
            _Letter(
                record.place,
                self._inputs,
                record.key,
                record.value,
                record.place.partition,
                headers_back(record.headers, record.refusal),
            )
            for record in records
        ]
        offsets = self._deliver(letters, done.failures)
        self._set_down(
            [replace(words.on(place, REQUEUED), requeued_offset=offset) for place, offset in offsets.items()],
            done,
        )

    def _set_down(self, resolutions: Sequence[Resolution], done: Resolved) -> None:
        letters = [
            _Letter(each.place, self._resolutions, str(each.place).encode(), each.encode(), 0)
            for each in resolutions
        ]
        offsets = self._deliver(letters, done.failures)
        done.resolutions += [each for each in resolutions if each.place in offsets]

    def _deliver(self, letters: Iterable[_Letter], failures: dict[Place, str]) -> dict[Place, int]:
        """Where the letters lie; those that lie nowhere are added to the failures."""
        offsets: dict[Place, int] = {}
        unheard: set[Place] = set()

        def heard(about: Place, error: KafkaError | None, message: Message) -> None:
            unheard.discard(about)
            if error is not None:
                failures[about] = f"{message.topic()}: {error.str()}"
            else:
                offsets[about] = int(message.offset() or 0)

        for letter in letters:
            unheard.add(letter.about)
            try:
                self._produce(letter, partial(heard, letter.about))
            except KafkaException as error:  # a record too large for the client
                unheard.discard(letter.about)
                failures[letter.about] = f"{letter.topic}: {error.args[0].str()}"
        self._producer.flush(DELIVERY_TIMEOUT_S + CONNECT_TIMEOUT_S)
        failures.update(dict.fromkeys(unheard, "the brokers did not acknowledge it"))
        return offsets

    def _produce(self, letter: _Letter, heard: Any) -> None:
        while True:
            try:
                self._producer.produce(
                    letter.topic,
                    letter.value,
                    letter.key,
                    letter.partition,
                    on_delivery=heard,
                    headers=list(letter.headers),
                )
                return
            except BufferError:
                self._producer.poll(_ROOM_WAIT_S)
