"""How many quarantined records wait for somebody, and since when: two gauges, served by the ticker.

What waits is what lies in the quarantine without a resolution, so somebody has to read both topics. The
ticker has little else to do, holds no transaction and runs wherever the clock is the broker's; a worker would
pay for it with latency, and owns partitions of another topic. Two tickers say the same.
"""

import time

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from ops import metrics
from ops.logs import get_logger
from ops.settings import Settings
from schemas.errors import Rejected
from schemas.quarantine import Place, Resolution, refusal_of
from schemas.topics import QUARANTINE, QUARANTINE_RESOLUTIONS

OPEN_MAX = 1_000_000
"""Records told apart, a few hundred bytes each. What comes above is not counted until the next start."""
_RECORDS_A_LOOK = 1_000

_log = get_logger()


class OpenRecords:
    """The places without a resolution. In which order the two topics are read makes no difference."""

    def __init__(self) -> None:
        self._open: dict[Place, tuple[str, int]] = {}
        self._resolved: set[Place] = set()

    def set_aside(self, place: Place, reason: str, first_seen_ms: int) -> None:
        """A record lies in the quarantine."""
        if place not in self._resolved and len(self._open) < OPEN_MAX:
            self._open[place] = reason, first_seen_ms

    def resolve(self, place: Place) -> None:
        """Somebody did something about it."""
        self._resolved.add(place)
        self._open.pop(place, None)

    def counts(self) -> dict[str, int]:
        """Open records by reason; one this version does not know counts as rejected."""
        found = dict.fromkeys(metrics.QUARANTINE_REASONS, 0)
        for reason, _ in self._open.values():
            found[reason if reason in found else "rejected"] += 1
        return found

    def oldest_ms(self) -> int | None:
        """When the oldest was first seen, milliseconds UTC; None when none is open."""
        return min((first_seen_ms for _, first_seen_ms in self._open.values()), default=None)


class QuarantineWatch:
    """Follows both topics from their beginning. Nothing is told before their ends were reached once."""

    def __init__(self, settings: Settings, partitions: int) -> None:
        """`partitions`: of the quarantine. Asks nobody yet."""
        self._quarantine = QUARANTINE.full_name(settings.topic_prefix)
        resolutions = QUARANTINE_RESOLUTIONS.full_name(settings.topic_prefix)
        places = [TopicPartition(self._quarantine, partition, 0) for partition in range(partitions)]
        places.append(TopicPartition(resolutions, 0, 0))
        self._open = OpenRecords()
        self._oldest_ms: int | None = None
        self._unread = {(place.topic, place.partition) for place in places}
        self._has_failed = False
        self._consumer = Consumer(
            {
                "bootstrap.servers": settings.brokers,
                "client.id": "cashback-quarantine-watch",
                "group.id": settings.topic_prefix + "cashback-quarantine-watch",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
                "queued.max.messages.kbytes": 8_192,
                "log_level": 0,
            }
        )
        self._consumer.assign(places)

    def look(self, *, most_s: float) -> None:
        """Take what is there, for about `most_s` seconds at most, and set the gauges."""
        until_s = time.monotonic() + most_s
        grew = False
        while messages := self._consumer.consume(_RECORDS_A_LOOK, 0.0):
            for message in messages:
                grew = self._take(message) or grew
            if time.monotonic() > until_s:
                break
        if self._unread:
            return
        if grew or self._oldest_ms is None:
            self._oldest_ms = self._open.oldest_ms()
            for reason, count in self._open.counts().items():
                metrics.quarantine_open.labels(reason).set(count)
        age_s = 0.0 if self._oldest_ms is None else max(0.0, time.time() - self._oldest_ms / 1_000)
        metrics.quarantine_oldest_seconds.set(age_s)

    def close(self) -> None:
        """Read no more."""
        self._consumer.close()

    def _take(self, message: Message) -> bool:
        """Whether a record was taken."""
        error = message.error()
        if error is not None:
            self._note(error, message)
            return False
        try:
            if message.topic() == self._quarantine:
                refusal = refusal_of(message.headers() or ())  # type: ignore[arg-type]
                self._open.set_aside(refusal.place, refusal.reason, refusal.first_seen_ms)
            else:
                self._open.resolve(Resolution.decode(message.value()).place)
        except Rejected as rejected:
            _log.warning("stray record", topic=message.topic(), offset=message.offset(), why=str(rejected))
            return False
        return True

    def _note(self, error: KafkaError, message: Message) -> None:
        if error.code() == KafkaError._PARTITION_EOF:
            self._unread.discard((str(message.topic()), int(message.partition() or 0)))
            self._has_failed = False
        elif not self._has_failed:
            self._has_failed = True
            _log.warning("the quarantine cannot be watched", reason=error.str())
