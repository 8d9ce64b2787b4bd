"""Runs one process over a preloaded log and reads off, from outside, how long it took and what it cost.

Every process is measured with the same yardstick. The clock starts with the first record it produced, by the
time stamp its own client put on it, and stops when the group's committed offsets reach the end of the log: by
then all outputs are committed. With a warm-up it starts when the group has committed so many records instead.
CPU and memory are those of the process, sampled on the way; one that starts processes of its own is refused.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition

from ops.embedded.children import start_tethered, stop, tail
from ops.settings import Settings
from ops.up import environment_of
from schemas.topics import INPUTS

LOOK_EVERY_S = 0.025
STOP_TIMEOUT_S = 15.0
BROKER_TIMEOUT_S = 10.0


class BenchFailed(Exception):
    """A measured process ended, or took too long. The message has the end of its log."""


@dataclass(frozen=True)
class Task:
    """What to run: a program that reads `inputs` as consumer group `group` and writes to `outputs`.

    Full names of topics; `inputs` None: the input log of the settings.
    """

    program: tuple[str, ...]
    group: str
    outputs: tuple[str, ...]
    inputs: str | None = None

    def input_topic(self, settings: Settings) -> str:
        """The log it reads."""
        return self.inputs or INPUTS.full_name(settings.topic_prefix)


def module(name: str, *arguments: str) -> tuple[str, ...]:
    """The program that runs a module of ours."""
    return (sys.executable, "-m", name, *arguments)


@dataclass(frozen=True)
class Measured:
    """One run: records of the log, seconds from the first output to the last commit, CPU in that time."""

    records: int
    seconds: float
    cpu_seconds: float
    rss_mb: float

    @property
    def per_s(self) -> float:
        """Records a second."""
        return self.records / self.seconds

    @property
    def cpu_s_per_million(self) -> float:
        """CPU seconds of the process, all its threads, for a million records."""
        return self.cpu_seconds / self.records * 1_000_000


@dataclass(frozen=True)
class Sample:
    """What the process had used at a moment (Unix seconds)."""

    at_s: float
    cpu_s: float
    rss_bytes: int
    committed: int = 0
    """Records of the log that its group had committed."""


def measure(
    task: Task,
    settings: Settings,
    log: Path,
    *,
    timeout_s: float,
    warm_up_records: int = 0,
    processes: int = 1,
) -> Measured:
    """Run `task` over all that its input holds now. Raises `BenchFailed`.

    warm_up_records: so many are not measured; the clock starts with the first commit that has them.
    processes: so many share the work, their CPU and memory counted together.
    """
    ends = ends_of(settings, task.input_topic(settings))
    with ExitStack() as stack:
        children = [stack.enter_context(running(task, settings, log)) for _ in range(processes)]
        samples = _sample_until_committed(children, task, settings, ends, log, timeout_s)
        if any(psutil.Process(child.pid).children() for child in children):
            raise BenchFailed(f"{task.group} works with processes of its own, which would not be measured")
    if warm_up_records:
        start = next(sample for sample in samples if sample.committed >= warm_up_records)
        began_at_s, unmeasured = start.at_s, start.committed
        if start is samples[-1]:
            raise BenchFailed(f"{task.group} was done before it was warm: measure more records")
    else:
        began_at_s, unmeasured = min(_stamps(settings, task.outputs, first=True)), 0
    ended_at_s = samples[-1].at_s
    return Measured(
        records=sum(ends.values()) - unmeasured,
        seconds=ended_at_s - began_at_s,
        cpu_seconds=cpu_between(samples, began_at_s, ended_at_s),
        rss_mb=max(sample.rss_bytes for sample in samples) / 1e6,
    )


def rate_of_outputs(task: Task, settings: Settings, log: Path, *, outputs: int, timeout_s: float) -> float:
    """Outputs a second of a process that runs until it has made so many, from the first to the last."""
    with running(task, settings, log) as child:
        deadline = time.monotonic() + timeout_s
        while sum(sum(ends_of(settings, topic).values()) for topic in task.outputs) < outputs:
            _expect_alive(child, log, deadline)
            time.sleep(0.2)
    stamps_s = _stamps(settings, task.outputs, first=False)
    return (len(stamps_s) - 1) / (max(stamps_s) - min(stamps_s))


@contextmanager
def running(task: Task, settings: Settings, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The process of `task`, ended at the end."""
    environment = {**os.environ, **environment_of(settings)}  # noqa: TID251 - handed on, not read
    child = start_tethered(task.program, log=log, environment=environment)
    try:
        yield child
    finally:
        stop(child, timeout_s=STOP_TIMEOUT_S)


def ends_of(settings: Settings, topic: str) -> dict[int, int]:
    """End offset of every partition of `topic`."""
    with _observer(settings, "ends") as observer:
        return {each.partition: _end(observer, each) for each in _partitions(observer, topic)}


def cpu_between(samples: Sequence[Sample], began_at_s: float, ended_at_s: float) -> float:
    """CPU seconds used between two moments, interpolated between samples."""
    return _cpu_at(samples, ended_at_s) - _cpu_at(samples, began_at_s)


def _sample_until_committed(
    children: Sequence[subprocess.Popen[bytes]],
    task: Task,
    settings: Settings,
    ends: dict[int, int],
    log: Path,
    timeout_s: float,
) -> list[Sample]:
    """Samples up to the moment at which the group had committed all of `ends`."""
    wanted = [TopicPartition(task.input_topic(settings), partition) for partition in ends]
    processes, samples = [psutil.Process(child.pid) for child in children], []
    deadline = time.monotonic() + timeout_s
    with _observer(settings, task.group) as observer:
        while True:
            for child in children:
                _expect_alive(child, log, deadline)
            committed = _committed(observer, wanted)
            samples.append(_sample(processes, sum(max(0, offset) for offset in committed.values())))
            if all(committed.get(partition, -1) >= end for partition, end in ends.items()):
                return samples
            time.sleep(LOOK_EVERY_S)


def _committed(observer: Consumer, wanted: list[TopicPartition]) -> dict[int, int]:
    try:
        return {each.partition: each.offset for each in observer.committed(wanted, BROKER_TIMEOUT_S)}
    except KafkaException:
        return {}  # the group is not there yet


def _sample(processes: Sequence[psutil.Process], committed: int) -> Sample:
    used = [process.cpu_times() for process in processes]
    return Sample(
        at_s=time.time(),
        cpu_s=sum(each.user + each.system for each in used),
        rss_bytes=sum(process.memory_info().rss for process in processes),
        committed=committed,
    )


def _cpu_at(samples: Sequence[Sample], at_s: float) -> float:
    before = max(
        (each for each in samples if each.at_s <= at_s), key=lambda each: each.at_s, default=samples[0]
    )
    after = min((each for each in samples if each.at_s > at_s), key=lambda each: each.at_s, default=before)
    if after is before:
        return before.cpu_s
    share = (at_s - before.at_s) / (after.at_s - before.at_s)
    return before.cpu_s + max(0.0, share) * (after.cpu_s - before.cpu_s)


def _expect_alive(child: subprocess.Popen[bytes], log: Path, deadline: float) -> None:
    if child.poll() is not None:
        raise BenchFailed(f"it ended with {child.returncode}. The end of {log}:\n{tail(log)}")
    if time.monotonic() > deadline:
        raise BenchFailed(f"it was not done in time. The end of {log}:\n{tail(log)}")


def _stamps(settings: Settings, topics: Sequence[str], *, first: bool) -> list[float]:
    """When the records of `topics` were produced (Unix seconds), or only the first of each partition."""
    stamps_s: list[float] = []
    with _observer(settings, "stamps") as observer:
        for partition in (each for topic in topics for each in _partitions(observer, topic)):
            left = min(_end(observer, partition), 1) if first else _end(observer, partition)
            observer.assign([TopicPartition(partition.topic, partition.partition, OFFSET_BEGINNING)])
            while left > 0:
                messages = observer.consume(left, BROKER_TIMEOUT_S)
                if not messages:
                    raise BenchFailed(f"{partition.topic}: its records cannot be read")
                stamps_s += [message.timestamp()[1] / 1_000 for message in messages]
                left -= len(messages)
    if not stamps_s:
        raise BenchFailed(f"nothing was written to {', '.join(topics)}")
    return stamps_s


def _partitions(observer: Consumer, topic: str) -> list[TopicPartition]:
    known = observer.list_topics(topic, timeout=BROKER_TIMEOUT_S).topics[topic]
    return [TopicPartition(topic, number) for number in known.partitions]


def _end(observer: Consumer, partition: TopicPartition) -> int:
    deadline = time.monotonic() + BROKER_TIMEOUT_S
    while True:
        try:
            return int(observer.get_watermark_offsets(partition, BROKER_TIMEOUT_S)[1])
        except KafkaException:  # a topic that was just made has no leader for a moment
            if time.monotonic() > deadline:
                raise
            time.sleep(LOOK_EVERY_S)


def _observer(settings: Settings, group: str) -> closing[Consumer]:
    """A client that only looks: it joins no group."""
    return closing(
        Consumer(
            {
                "bootstrap.servers": settings.brokers,
                "group.id": group,
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 50,
                "log_level": 3,
            }
        )
    )
