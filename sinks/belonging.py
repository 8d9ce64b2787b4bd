"""Whether a database and a log belong together: looked at when a sink starts, before it writes anything.

A database restored from a backup is behind its log, which is what catching up is for. Everything else here is
refused, because going on would leave a hole in the ledger that nobody sees.
"""

import time
from collections.abc import Callable, Collection, Mapping

from confluent_kafka import Consumer, Message, TopicPartition

from ops.logs import get_logger
from sinks.positions import Place

LOOK_S_MAX = 5.0


class Unsound(Exception):
    """Something only an operator can put right. The message says what and how."""


def refuse_gaps(
    sink: str, next_offsets: Mapping[Place, int], begin: Mapping[Place, int], end: Mapping[Place, int]
) -> None:
    """Raises `Unsound` when the log ends before what was read, or begins after it."""
    for (topic, partition), offset in next_offsets.items():
        if offset > end[topic, partition]:
            raise Unsound(
                f"the sink {sink} has read {topic}[{partition}] up to {offset}, the topic ends at "
                f"{end[topic, partition]}: the database is ahead of the log, which is another topic or lost "
                "its end; restore the topic, or a backup of the database from before it, or start with an "
                "empty database"
            )
        if offset < begin[topic, partition]:
            raise Unsound(
                f"the sink {sink} has read {topic}[{partition}] up to {offset}, the topic begins at "
                f"{begin[topic, partition]}: what lies between is gone; restore a newer backup"
            )


def refuse_late_start(
    sink: str, stored: Collection[Place], begin: Mapping[Place, int], kept_for_ever: Collection[str]
) -> None:
    """Raises `Unsound` when nothing was read of a topic that is kept for ever, and its beginning is gone."""
    for (topic, partition), low in begin.items():
        if low > 0 and (topic, partition) not in stored and topic in kept_for_ever:
            raise Unsound(
                f"the sink {sink} has read nothing of {topic}[{partition}], which begins at {low}: what lay "
                "before is gone, and the database would lack it; restore a backup of the database"
            )


def refuse_another_log(
    sink: str,
    consumer: Consumer,
    next_offsets: Mapping[Place, int],
    begin: Mapping[Place, int],
    *,
    is_known: Callable[[Message], bool],
) -> None:
    """Raises `Unsound` when the last record that was read of a partition is not what lies there now.

    `is_known`: whether the database holds what the record says. A broker that does not answer is waited for
    `LOOK_S_MAX` seconds, then the look is left out.
    """
    last = {place: offset - 1 for place, offset in next_offsets.items() if offset > begin[place]}
    consumer.assign([TopicPartition(topic, partition, offset) for (topic, partition), offset in last.items()])
    until_s = time.monotonic() + LOOK_S_MAX
    while last and time.monotonic() < until_s:
        for message in consumer.consume(100, 0.1):
            topic, partition, offset = message.topic(), message.partition(), message.offset()
            if message.error() is not None or topic is None or partition is None:
                continue
            expected = last.pop((topic, partition), None)
            if expected is not None and (offset != expected or not is_known(message)):
                raise Unsound(
                    f"the sink {sink} has read {topic}[{partition}] up to {expected + 1}, but what lies "
                    "there is not what it has read: the database was not filled from this log; bring "
                    "database and log of one system together, or start with an empty database"
                )
    if last:
        get_logger().warning("the log was not compared with the database", unanswered=len(last))
