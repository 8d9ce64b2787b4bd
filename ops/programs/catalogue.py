"""The published programs, read from the compacted topic `programs`; and the clock they are judged by."""

import time
from dataclasses import dataclass, field

from confluent_kafka import KafkaException, Message
from confluent_kafka.admin import AdminClient

from ops.partitions.reading import Partition, headers_of
from ops.settings import Settings
from schemas.clock import clock_of
from schemas.codec import decode
from schemas.errors import Rejected
from schemas.programs import ProgramSpec, ProgramsRefused, from_datum
from schemas.times import Micros
from schemas.topics import INPUTS, PROGRAMS, Topic

CONNECT_TIMEOUT_S = 10.0


class CatalogueUnreadable(Exception):
    """The published programs cannot be read; says why and what to do."""


@dataclass
class Published:
    """What the catalogue holds.

    `contested`: versions that were published with two contents at the same time; `programs` has the first,
    but a partition may have taken the other.
    """

    programs: list[ProgramSpec] = field(default_factory=list)
    contested: list[ProgramSpec] = field(default_factory=list)


def read_catalogue(settings: Settings) -> Published:
    """All published versions, by program and version. Raises `CatalogueUnreadable`, KafkaException."""
    _require(settings, PROGRAMS)
    found: dict[tuple[str, int], ProgramSpec] = {}
    contested: dict[tuple[str, int], ProgramSpec] = {}
    partition = Partition(settings.brokers, PROGRAMS.full_name(settings.topic_prefix), 0)
    try:
        for message in partition.read(*partition.bounds()):
            spec = _program(message.value(), message.offset())
            name = spec.program_id, spec.version
            if found.setdefault(name, spec) != spec:
                contested[name] = found[name]
    finally:
        partition.close()
    return Published([found[name] for name in sorted(found)], [contested[name] for name in sorted(contested)])


def present(settings: Settings) -> Micros:
    """What the clock of the stream says now, microseconds UTC.

    With clock=event that is what the last records of the input log carry: 0 before any.
    """
    if settings.clock == "broker":
        return time.time_ns() // 1_000
    clock = 0
    for number in range(_require(settings, INPUTS)):
        partition = Partition(settings.brokers, INPUTS.full_name(settings.topic_prefix), number)
        try:
            clock = max(clock, _clock_at_the_end(partition))
        finally:
            partition.close()
    return clock


def _clock_at_the_end(partition: Partition) -> Micros:
    """Published programs may carry no clock, so it looks back until a record does."""
    low, high = partition.bounds()
    last = _LAST
    while True:
        begin = max(low, high - last)
        clock = max((_clock(message) for message in partition.read(begin, high)), default=0)
        if clock or begin == low:
            return clock
        last *= 10


def _clock(message: Message) -> Micros:
    try:
        return clock_of(headers_of(message)) or 0
    except Rejected:
        return 0  # a damaged stamp moves nothing, here as in the stream


_LAST = 100
"""So many records of a partition are looked at first for its clock."""


def _require(settings: Settings, topic: Topic) -> int:
    """The number of partitions the topic has on the broker."""
    name = topic.full_name(settings.topic_prefix)
    admin = AdminClient(
        {"bootstrap.servers": settings.brokers, "client.id": "cashback-programs", "log_level": 0}
    )
    try:
        # All topics are asked for: to name one in the question could create it.
        known = admin.list_topics(timeout=CONNECT_TIMEOUT_S).topics
    except KafkaException as error:
        raise CatalogueUnreadable(
            f"brokers: no Kafka at {settings.brokers} ({error.args[0].str()}); start one with `cashback up`, "
            "or set CASHBACK_BROKERS"
        ) from error
    if name not in known:
        raise CatalogueUnreadable(
            f"{topic.name}: there is no topic {name}; create it with `cashback topics --create`"
        )
    return len(known[name].partitions)


def _program(value: bytes | None, offset: int | None) -> ProgramSpec:
    try:
        name, datum = decode(value)
        if name != "Program":
            raise Rejected("value", f"a {name}", "write programs only with `cashback programs apply`")
        return from_datum(datum)
    except (Rejected, ProgramsRefused) as error:
        raise CatalogueUnreadable(
            f"programs: the record at offset {offset} is no program this version reads ({error}); "
            "use the version that published it"
        ) from error
