"""Reads the quarantine and what was done about it, whole or since a time."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from confluent_kafka import Message

from ops import topics
from ops.partitions.reading import Partition, headers_of
from ops.settings import Settings
from schemas.errors import Rejected
from schemas.quarantine import Place, Quarantined, Resolution, refusal_of
from schemas.topics import INPUTS, QUARANTINE, QUARANTINE_RESOLUTIONS

Resolutions = dict[Place, list[Resolution]]
"""What was done about each record, in the order in which it was done."""


@dataclass(frozen=True, slots=True)
class Lying:
    """A quarantined record; where it lies in the quarantine, since when (milliseconds since 1970 UTC)."""

    record: Quarantined
    lies_at: str
    since_ms: int

    @property
    def place(self) -> Place:
        """Where it came in."""
        return self.record.place


def require_topics(settings: Settings) -> None:
    """Raises `TopicsDiffer`, KafkaException."""
    topics.check(settings, (INPUTS, QUARANTINE, QUARANTINE_RESOLUTIONS))


def read_quarantine(settings: Settings, *, since_ms: int = 0) -> Iterator[Lying]:
    """Every record set aside since then, partition by partition. Raises KafkaException, LogUnreadable.

    Records that no refusal put there are left out.
    """
    name = QUARANTINE.full_name(settings.topic_prefix)
    for partition in range(topics.partitions_of(QUARANTINE, settings)):
        log = Partition(settings.brokers, name, partition)
        try:
            low, high = log.bounds()
            begin = max(low, log.offset_since(since_ms)) if since_ms else low
            for message in log.read(begin, high):
                if (lying := lying_in(message)) is not None:
                    yield lying
        finally:
            log.close()


def read_resolutions(settings: Settings) -> Resolutions:
    """All that was done. Raises KafkaException, LogUnreadable, and `Rejected` for what is no resolution."""
    done: Resolutions = defaultdict(list)
    log = Partition(settings.brokers, QUARANTINE_RESOLUTIONS.full_name(settings.topic_prefix), 0)
    try:
        for message in log.read(*log.bounds()):
            resolution = Resolution.decode(message.value())
            done[resolution.place].append(resolution)
    finally:
        log.close()
    return done


def lying_in(message: Message) -> Lying | None:
    """The quarantined record in a message; None when no refusal put it there."""
    headers = headers_of(message)
    try:
        refusal = refusal_of(headers)
    except Rejected:
        return None
    record = Quarantined(message.key() or b"", message.value() or b"", tuple(headers), refusal)
    return Lying(record, f"{message.partition()}:{message.offset()}", message.timestamp()[1])
