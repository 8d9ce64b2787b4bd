"""Writes down under what each record about a payment is looked up, and where it lies."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import psycopg
from confluent_kafka import Message

from ops import metrics
from ops.settings import Settings
from schemas.topics import DECISIONS, INPUTS, QUARANTINE, Topic
from sinks.places import SINK
from sinks.places.references import Whereabouts, find, reference_in
from sinks.positions import Place, Positions, lies_at

BATCH_RECORDS_MAX = 10_000
CALM_S = 0.25

_COPY = "COPY payment_places (reference, topic, partition, record_offset) FROM STDIN (FORMAT BINARY)"
_COPY_TYPES = ("int8", "text", "int4", "int8")


@dataclass
class Batch:
    """Rows of `payment_places`, and where reading goes on; most records of other kinds leave no row."""

    rows: list[tuple[int, str, int, int]] = field(default_factory=list)
    next_offsets: dict[Place, int] = field(default_factory=dict)
    records: int = 0

    def add(self, message: Message, /) -> None:
        """Read one record into the batch."""
        place, offset = lies_at(message)
        self.records += 1
        self.next_offsets[place] = offset + 1
        reference = reference_in(message.value())
        if reference is not None:
            self.rows.append((reference, *place, offset))

    def __len__(self) -> int:
        return self.records


class PlacesWork:
    """Writes rows of the index."""

    name = SINK
    topics: tuple[Topic, ...] = (INPUTS, DECISIONS, QUARANTINE)
    lanes = 1
    batch_records_max = BATCH_RECORDS_MAX
    # Nobody looks a payment up the moment it was made, and a commit costs as much as a hundred rows.
    calm_s = CALM_S
    # An index of what there is.
    needs_all = False

    def __init__(self, _: Settings) -> None:
        pass

    def prepare(self, connection: psycopg.Connection, positions: Positions) -> Callable[[Batch], int]:
        """What writes batches through this session."""
        return partial(_write, connection, positions)

    def knows(self, connection: psycopg.Connection, message: Message) -> bool:
        """Whether there is a row of the record, if it is about a payment."""
        topic, partition, offset = message.topic(), message.partition(), message.offset()
        reference = reference_in(message.value())
        if reference is None or topic is None or partition is None or offset is None:
            return True
        return Whereabouts(topic, partition, offset) in find(connection, [reference], [topic])

    def batch(self) -> Batch:
        """An empty batch."""
        return Batch()

    def count(self, written: int) -> Mapping[str, int]:
        """Places written down."""
        metrics.places_total.inc(written)
        return {"places": written}


def _write(connection: psycopg.Connection, positions: Positions, batch: Batch) -> int:
    """Copy the rows in and move the positions, in one transaction; how many rows. Raises `Superseded`."""
    with connection.transaction():
        positions.move(connection, batch.next_offsets)
        with connection.cursor().copy(_COPY) as copy:
            copy.set_types(_COPY_TYPES)
            for row in batch.rows:
                copy.write_row(row)
    positions.next_offsets |= batch.next_offsets
    return len(batch.rows)
