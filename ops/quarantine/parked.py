"""Refunds, voids and declines that wait in the workers' state for a purchase nobody has told of yet."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from ops import topics
from ops.partitions.reading import LogUnreadable, Partition
from ops.settings import Settings
from schemas.quarantine import Place
from schemas.times import DAY, Micros
from schemas.topics import STATE
from schemas.transactions import KINDS
from streams.engine.position import POSITION_KEY, Position, UnreadablePosition
from streams.fold import CLOCK_KEY, STATE_VERSION
from streams.purchase import Parked, PurchaseId, from_row_key, is_purchase, unpack, waits_for_purchase


@dataclass(frozen=True, slots=True)
class Waiting:
    """A parked event. `place`: where it came in; `clock`: that of its partition's log, microseconds UTC."""

    place: Place
    purchase: PurchaseId
    event: Parked
    clock: Micros

    @property
    def kind(self) -> str:
        """REFUNDED, VOIDED or DECLINED."""
        return KINDS[self.event.kind]

    @property
    def age(self) -> Micros:
        """How long it has waited, by the clock of the log."""
        return max(0, self.clock - self.event.arrived_at)

    def until(self, parked_days: int) -> Micros:
        """When it goes to the quarantine."""
        return self.event.waits_since + parked_days * DAY


def read_parked(settings: Settings, partitions: Collection[int] | None = None) -> Iterator[Waiting]:
    """The parked events of some or of all partitions, one after the other, as the changelog has them.

    Reads all of it. Raises KafkaException, `TopicsDiffer`, and `LogUnreadable` for a changelog of another
    version of the rows.
    """
    topics.check(settings, (STATE,))
    for partition in range(topics.partitions_of(STATE, settings)):
        if partitions is not None and partition not in partitions:
            continue
        log = Partition(settings.brokers, STATE.full_name(settings.topic_prefix), partition)
        try:
            yield from _waiting(log, f"{STATE.full_name(settings.topic_prefix)}[{partition}]")
        finally:
            log.close()


def _waiting(log: Partition, name: str) -> Iterator[Waiting]:
    rows: dict[bytes, bytes] = {}
    clock, position = 0, b""
    for message in log.read(*log.bounds()):
        key, value = message.key() or b"", message.value()
        if key == POSITION_KEY:
            position = value or b""
        elif key == CLOCK_KEY:
            clock = int.from_bytes(value or b"", "big")
        elif is_purchase(key):
            if value is not None and waits_for_purchase(value):
                rows[key] = value
            else:
                rows.pop(key, None)
    if rows:
        require_version(position, name)
    for key, row in rows.items():
        for event in unpack(row).parked:
            yield Waiting(Place(log.partition, event.offset), from_row_key(key), event, clock)


def require_version(position: bytes, name: str) -> None:
    """Rows beside this position are of the form this code knows, and all there. Raises `LogUnreadable`."""
    try:
        version = Position.decode(position).state_version
    except UnreadablePosition as error:
        raise LogUnreadable(f"{name}: {error}; run the code that wrote it") from error
    if version != STATE_VERSION:
        raise LogUnreadable(
            f"{name}: its rows have version {version}, this code reads {STATE_VERSION}; run the code that "
            "wrote it, or rebuild it with `cashback partitions rebuild`"
        )
