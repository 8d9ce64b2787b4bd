"""Spreads the input log over more partitions: a new log, a new state made from it, the same events.

The number of partitions of a log is fixed at birth, because a member's records must stay in one. So the log
is written once more, into topics of another prefix, dealt out over more partitions. The clock of the system
is the broker's append time; the copies keep the time of the originals, because their topic takes the times it
is given as long as it is being filled. Before any worker may start it is set to append time for good (a
worker refuses a topic that is not), so no header or setting says which clock counts, and no sender can move
it. Then the worker decides everything anew, and what it publishes is compared with what was published before.
Ids do not depend on partitions: a ledger that reads the new events has them all already.
"""

import time
from collections.abc import Callable, Container
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, KafkaError, Message, Producer
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from ops import topics
from ops.embedded.jars import Say
from ops.partitions.compare import Comparison, compare
from ops.partitions.copying import ANSWER_S, Copy, GrowRefused
from ops.partitions.reading import Partition
from ops.settings import Settings
from ops.supervisor import Supervisor
from ops.up import programs
from schemas.codec import encode
from schemas.times import Micros
from schemas.topics import BUDGET_REQUESTS, CASHBACK_EVENTS, INPUTS, REVERSAL_CASES, TOPICS, Topic
from streams.engine.brokers import Brokers
from streams.topology import engine_settings

TIME_TYPE = "message.timestamp.type"
WORKER_READY_S = 120.0
WORKER_STALLED_S = 120.0
_LOOK_EVERY_S = 0.2
_LONG_AGO_MS = 1_000


@dataclass(frozen=True)
class Grown:
    """What came of it. `left_out`: ticks, repeated programs, and records that only the quarantine has."""

    old_prefix: str
    new_prefix: str
    partitions: int
    copied: int
    left_out: int
    events: int
    cases: int


def grow(settings: Settings, *, to: int, prefix: str | None, discard: bool, say: Say) -> Grown:
    """Make the new topics, fill them, run a worker over them and compare.

    Raises GrowRefused, LogUnreadable, KafkaException, NotReadyInTimeError.
    """
    new_prefix = f"{settings.topic_prefix}p{to}-" if prefix is None else prefix
    chosen = {name: getattr(settings, name) for name in settings.model_fields_set}
    new = Settings(**{**chosen, "topic_prefix": new_prefix, "partitions": to})
    admin = AdminClient({"bootstrap.servers": settings.brokers, "log_level": 0})
    _require_fit(settings, new, admin, discard=discard, say=say)
    _require_decided(settings)
    say(f"Topics: {new_prefix}… with {to} partitions")
    filling = replace(INPUTS, config={**INPUTS.config, TIME_TYPE: "CreateTime"})
    topics.create(new, [filling, *(topic for topic in TOPICS if topic is not INPUTS)])
    copy = Copy(settings, new)
    try:
        copy.run(say)
    finally:
        copy.close()
    _require_decided(settings)
    _take_append_time(admin, new)
    _decide_anew(new, say)
    found = [_compare(settings, new, topic, copy.clocks, say) for topic in (CASHBACK_EVENTS, REVERSAL_CASES)]
    _prove_append_time(new)
    say(
        "Stop everything that runs on the old topics, then start it with "
        f"CASHBACK_TOPIC_PREFIX={new_prefix} CASHBACK_PARTITIONS={to}"
    )
    return Grown(
        settings.topic_prefix, new_prefix, to, copy.copied, copy.left_out, found[0].same, found[1].same
    )


def _require_fit(settings: Settings, new: Settings, admin: AdminClient, *, discard: bool, say: Say) -> None:
    known = admin.list_topics(timeout=ANSWER_S).topics
    old_name, new_name = (INPUTS.full_name(each.topic_prefix) for each in (settings, new))
    if old_name not in known:
        raise GrowRefused(f"{old_name}: there is no such topic; set CASHBACK_TOPIC_PREFIX to that of the log")
    has = len(known[old_name].partitions)
    if has != settings.partitions:
        raise GrowRefused(f"{old_name} has {has} partitions: set CASHBACK_PARTITIONS={has} to work with it")
    if new.partitions <= has:
        raise GrowRefused(
            f"--to {new.partitions}: {old_name} has {has} partitions already; give more, a log cannot shrink"
        )
    _require_no_leases(settings, known)
    theirs = [name for topic in TOPICS if (name := topic.full_name(new.topic_prefix)) in known]
    if not theirs:
        return
    filled = new_name not in theirs or _time_type(admin, new_name) == "LogAppendTime"
    if filled:
        raise GrowRefused(
            f"{theirs[0]}: is in use; choose a prefix nobody uses with --prefix, or delete those topics"
        )
    if not discard:
        raise GrowRefused(
            f"{new_name}: left by a growing that did not end; run it again with --discard to begin anew"
        )
    say(f"Topics: {len(theirs)} of {new.topic_prefix}… deleted, they were not finished")
    for answer in admin.delete_topics(theirs, operation_timeout=ANSWER_S).values():
        answer.result(ANSWER_S)
    _wait(lambda: not set(theirs) & set(admin.list_topics(timeout=ANSWER_S).topics), "topics do not go away")


def _require_no_leases(settings: Settings, known: Container[str]) -> None:
    """Who had how much of a budget decided who was paid; other partitions would decide otherwise."""
    name = BUDGET_REQUESTS.full_name(settings.topic_prefix)
    if name not in known:
        return
    log = Partition(settings.brokers, name, 0)
    try:
        if any(True for _ in log.read(*log.bounds())):
            raise GrowRefused(
                f"{name}: budgets were shared out among {settings.partitions} partitions, and what that "
                "decided cannot be decided anew over others; stay with this number"
            )
    finally:
        log.close()


def _require_decided(settings: Settings) -> None:
    """What the old worker has not decided could not be compared."""
    brokers = Brokers(engine_settings(settings))
    name = INPUTS.full_name(settings.topic_prefix)
    behind = 0
    for partition in range(settings.partitions):
        bounds = brokers.bounds(name, partition)
        if bounds.low > 0:
            raise GrowRefused(
                f"{name}[{partition}] begins at {bounds.low}: a new log needs all records since the first; "
                "bring them back from the archive"
            )
        behind += bounds.high - brokers.committed(partition)
    if behind:
        raise GrowRefused(
            f"{name}: the worker is {behind} records behind; stop writers and ticker, let it catch up "
            "(it says so within ten seconds), then run this again"
        )


def _take_append_time(admin: AdminClient, new: Settings) -> None:
    name = INPUTS.full_name(new.topic_prefix)
    entry = ConfigEntry(TIME_TYPE, "LogAppendTime", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=[entry])
    admin.incremental_alter_configs([resource])[resource].result(ANSWER_S)
    _wait(lambda: _time_type(admin, name) == "LogAppendTime", f"{name}: {TIME_TYPE} does not change")


def _time_type(admin: AdminClient, name: str) -> str:
    resource = ConfigResource(ResourceType.TOPIC, name)
    return str(admin.describe_configs([resource])[resource].result(ANSWER_S)[TIME_TYPE].value)


def _decide_anew(new: Settings, say: Say) -> None:
    """Run one worker over the new log until it has decided all of it."""
    say("Deciding everything anew")
    brokers = Brokers(engine_settings(new))
    name = INPUTS.full_name(new.topic_prefix)
    ends = {partition: brokers.bounds(name, partition).high for partition in range(new.partitions)}

    def behind() -> int:
        return sum(end - brokers.committed(partition) for partition, end in ends.items())

    with TemporaryDirectory(prefix="cashback-grow-") as logs, Supervisor(Path(logs), say=say) as supervisor:
        supervisor.start("worker", programs(new, workers=1)["worker-1"])
        supervisor.wait_ready("worker", timeout_s=WORKER_READY_S)
        least, moved_at = behind(), time.monotonic()
        while least:
            time.sleep(_LOOK_EVERY_S)
            now = behind()
            if now < least:
                least, moved_at = now, time.monotonic()
            elif time.monotonic() - moved_at > WORKER_STALLED_S:
                raise GrowRefused(f"{name}: the worker stands still {least} records before the end")


def _compare(
    settings: Settings, new: Settings, topic: Topic, clocks: dict[int, Micros], say: Say
) -> Comparison:
    found = compare(
        settings.brokers,
        topic,
        old=(settings.topic_prefix, settings.partitions),
        new=(new.topic_prefix, new.partitions),
        since=min((clock for clock in clocks.values() if clock), default=0),
    )
    say(f"{topic.name}: {found}")
    if not found.agree:
        raise GrowRefused(
            f"{topic.full_name(new.topic_prefix)} does not say what {topic.full_name(settings.topic_prefix)} "
            f"says: {found}; stay with the old topics, and keep both for whoever looks into it"
        )
    return found


def _prove_append_time(new: Settings) -> None:
    """A tick with an old time must come back with the brokers': from now on nobody sets the clock."""
    name = INPUTS.full_name(new.topic_prefix)
    told: list[Message] = []
    producer = Producer({"bootstrap.servers": new.brokers, "enable.idempotence": True, "log_level": 0})
    value = encode("Tick", {"emitted_at": time.time_ns() // 1_000})

    def delivered(error: KafkaError | None, message: Message) -> None:
        if error is None:
            told.append(message)

    for partition in range(new.partitions):
        producer.produce(name, value, None, partition, delivered, None, _LONG_AGO_MS)
    producer.flush(ANSWER_S)
    for ticked in told:
        log = Partition(new.brokers, name, ticked.partition() or 0)
        try:
            offset = ticked.offset() or 0
            found = next(log.read(offset, offset + 1)).timestamp()
        finally:
            log.close()
        if found[0] != TIMESTAMP_LOG_APPEND_TIME:
            raise GrowRefused(f"{name}: senders still set the time; alter it to {TIME_TYPE}=LogAppendTime")
    if len(told) < new.partitions:
        raise GrowRefused(f"{name}: a tick is not acknowledged; look at the brokers")


def _wait(condition: Callable[[], bool], complaint: str) -> None:
    deadline = time.monotonic() + ANSWER_S
    while not condition():
        if time.monotonic() > deadline:
            raise GrowRefused(f"{complaint} for {ANSWER_S:.0f} s; look at the brokers")
        time.sleep(_LOOK_EVERY_S)
