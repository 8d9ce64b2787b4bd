"""Faust's Kafka transport, delivering batches.

Replaced, through Faust's own extension points (`App.transport`, `Transport.Consumer`, the consumer's thread):
one message a record with its tracking, gap intervals and acks; seeking to group offsets; the offset commit.
Kept: group membership, the co-partitioned assignor, rebalance callbacks, heartbeats, flow control.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, cast

import aiokafka
from aiokafka.errors import ConsumerStoppedError, IllegalStateError, KafkaError, OffsetOutOfRangeError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, Message
from faust.types.tuples import ConsumerMessage

from streams.engine.assignment import Assignment
from streams.engine.batch import Batch
from streams.engine.connecting import connect_briefly
from streams.engine.exits import ExitCode, FailStop
from streams.engine.failpoints import Failpoint
from streams.engine.group_offsets import GroupOffsets
from streams.engine.lenient import read_leniently
from streams.engine.settings import EngineSettings

_FETCH_WAIT_S = 0.25
_ROOM_WAIT_S = 0.01
_GATHER_S = 0.02
"""After a small fetch more is left to gather for so long: at 5 000 records a second that halves the CPU."""
_SMALL_RECORDS = 1_000


def _aiokafka_tp(tp: TP) -> aiokafka.TopicPartition:
    return aiokafka.TopicPartition(tp.topic, tp.partition)


class BatchConsumerThread(driver.AIOKafkaConsumerThread):
    """Runs aiokafka's consumer in its own event loop."""

    transport: BatchTransport

    def __post_init__(self) -> None:
        super().__post_init__()
        self.handed_out: dict[TP, int] = {}
        """Where the next batch of a partition will begin."""
        self.group_offsets = GroupOffsets(self._commit_offsets, self.transport.failpoint)

    def _create_worker_consumer(self, transport: driver.Transport) -> aiokafka.AIOKafkaConsumer:
        settings = self.transport.settings
        self._assignor = self.app.assignor
        read_leniently()
        connect_briefly()
        return aiokafka.AIOKafkaConsumer(
            bootstrap_servers=settings.brokers.split(","),
            client_id=settings.app_id,
            group_id=settings.app_id,
            group_instance_id=settings.instance_id,
            partition_assignment_strategy=[self._assignor],
            enable_auto_commit=False,
            # Positions come from the state alone; a missing offset must be an error, never a jump.
            auto_offset_reset="none",
            isolation_level="read_committed",
            # The broker checked the checksum on append and TCP checks the wire: 0.5 µs a record saved.
            check_crcs=False,
            max_poll_records=settings.poll_records_max,
            max_partition_fetch_bytes=settings.fetch_bytes_max,
            session_timeout_ms=settings.session_timeout_ms,
            heartbeat_interval_ms=min(500, settings.session_timeout_ms // 4),
            rebalance_timeout_ms=max(30_000, settings.session_timeout_ms),
            # A long restore does not poll; what stands still is the watchdog's business.
            max_poll_interval_ms=86_400_000,
        )

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        with self._or_end():
            consumer = self._ensure_consumer()
            for tp in map(_aiokafka_tp, assigned):
                # A position, any position, keeps the fetcher from asking for the group's offset.
                consumer.seek(tp, 0)
                consumer.pause(tp)
            await super().on_partitions_assigned(assigned, generation_id)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        with self._or_end():
            await super().on_partitions_revoked(revoked)
            self.group_offsets.forget()

    def tell_group(self, partition: int, next_offset: int) -> None:
        """From any thread."""
        with suppress(RuntimeError):  # the loop is closed: the process is ending
            self.thread_loop.call_soon_threadsafe(self.group_offsets.tell, partition, next_offset)

    async def flush_group(self) -> None:
        """All that was told before is with the group, or cannot be."""
        await self.call_thread(self.group_offsets.flush)

    async def _commit_offsets(self, offsets: Mapping[int, int]) -> None:
        topic = self.transport.settings.input_topic
        places = {aiokafka.TopicPartition(topic, at): offset for at, offset in offsets.items()}
        await self._ensure_consumer().commit(places)

    async def read_from(self, tp: TP, offset: int) -> None:
        """Fetch a partition from an offset on."""
        await self.call_thread(self._read_from, tp, offset)

    async def _read_from(self, tp: TP, offset: int) -> None:
        consumer = self._ensure_consumer()
        consumer.seek(_aiokafka_tp(tp), offset)
        consumer.resume(_aiokafka_tp(tp))
        self.handed_out[tp] = offset

    async def fetch(self, active: set[TP], epoch: int, wait_s: float) -> list[Batch]:
        """What has arrived of the active partitions; waits for an arrival when nothing has."""
        batches: list[Batch] = await self.call_thread(self._fetch, active, epoch, wait_s)
        return batches

    async def _fetch(self, active: set[TP], epoch: int, wait_s: float) -> list[Batch]:
        """Take records out of aiokafka, which then counts them as read.

        Only while the epoch holds, and without waiting in aiokafka: it waits right through a rebalance, and
        records taken after it for a caller from before it would be dropped as stale and never read again.
        """
        consumer = self._ensure_consumer()
        fetcher = consumer._fetcher
        if consumer._closed or fetcher._closed:
            raise ConsumerStoppedError
        with fetcher._subscriptions.fetch_context():
            if (
                epoch == self.transport.assignment.epoch
                and not fetcher._subscriptions.reassignment_in_progress
            ):
                fetched = await fetcher.fetched_records(active, timeout=0)
                if fetched:
                    return [self._batch(TP(*tp), epoch, records) for tp, records in fetched.items()]
            arrival = fetcher._create_fetch_waiter()
            await asyncio.wait([arrival], timeout=wait_s)
            if arrival.done():
                arrival.result()
            else:
                arrival.cancel()
        return []

    def _batch(self, tp: TP, epoch: int, records: list[Any]) -> Batch:
        batch = Batch(tp.partition, epoch, self.handed_out[tp], records)
        self.handed_out[tp] = batch.end
        return batch

    @contextmanager
    def _or_end(self) -> Iterator[None]:
        """aiokafka logs what a rebalance callback raises, and goes on as if it had worked."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - ends the process
            self.transport.fail_stop.end(ExitCode.APP_CRASHED, "a rebalance callback failed", cause=error)

    def member_id(self) -> str:
        return str(self._ensure_consumer()._coordinator.member_id)

    def stable_end(self, tp: TP) -> int | None:
        try:
            end: int | None = self._ensure_consumer().last_stable_offset(_aiokafka_tp(tp))
        except IllegalStateError:
            return None
        return end


class BatchConsumer(driver.Consumer):
    """Delivers one message a (partition, fetch), stamped with the assignment it was fetched under."""

    transport: BatchTransport
    _thread: BatchConsumerThread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._assignment: Assignment = self.transport.assignment
        self._fail_stop: FailStop = self.transport.fail_stop
        self._reading: set[TP] = set()
        self._reading_changed = asyncio.Event()

    def _new_consumer_thread(self) -> BatchConsumerThread:
        return BatchConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Message]]:
        """Yield what one fetch brought, as batches."""
        if not self.flow_active:
            await self.wait(self.can_resume_flow.wait())
        epoch = self._assignment.epoch
        reading = self._active_partitions.intersection(self._reading)
        if not reading or self._assignment.paused:
            self._reading_changed.clear()
            await self.wait(self._reading_changed.wait(), timeout=_FETCH_WAIT_S)
            return
        active = {
            tp for tp in reading if self._assignment.has_room(tp.partition, self._thread.handed_out[tp])
        }
        if not active:
            await self.sleep(_ROOM_WAIT_S)
            return
        wait_s = _FETCH_WAIT_S if active == reading else _ROOM_WAIT_S
        batches = await self._fetch(active, epoch, wait_s)
        for batch in batches:
            if epoch != self._assignment.epoch or self.should_stop:
                return
            tp = TP(self.transport.settings.input_topic, batch.partition)
            yield tp, self._message(tp, batch)
        if 0 < sum(len(batch.records) for batch in batches) < _SMALL_RECORDS:
            await self.sleep(_GATHER_S)

    def _message(self, tp: TP, batch: Batch) -> Message:
        last, value = batch.records[-1], cast(Any, batch)
        timestamp_s, generation = last.timestamp / 1_000, self.app.consumer_generation_id
        return ConsumerMessage(
            tp.topic, tp.partition, last.offset, timestamp_s, 0, [], None, value, None,
            tp=tp, generation_id=generation,
        )  # fmt: skip

    async def _fetch(self, active: set[TP], epoch: int, wait_s: float) -> list[Batch]:
        try:
            return await self._thread.fetch(active, epoch, wait_s)
        except ConsumerStoppedError:
            raise
        except OffsetOutOfRangeError as error:
            self._fail_stop.end(
                ExitCode.POSITION_OUTSIDE_LOG, "the log does not have the next offset", cause=error
            )
        except KafkaError as error:
            self._fail_stop.end(ExitCode.INPUT_UNREADABLE, "the input log cannot be read", cause=error)

    async def read_from(self, partition: int, offset: int) -> None:
        """Start delivering a partition at an offset, unless it was taken away meanwhile."""
        tp = TP(self.transport.settings.input_topic, partition)
        epoch = self._assignment.epoch
        try:
            await self._thread.read_from(tp, offset)
        except IllegalStateError:
            return
        if epoch == self._assignment.epoch:
            self._reading.add(tp)
            self._reading_changed.set()

    def tell_group(self, partition: int, next_offset: int) -> None:
        """Let the group know, soon, how far the committed state of a partition is."""
        self._thread.tell_group(partition, next_offset)

    async def flush_group(self) -> None:
        """Wait until the group knows, for a short while."""
        await self._thread.flush_group()

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        if self._assignment.active and not self.member_id():
            self._fail_stop.end(
                ExitCode.SESSION_LOST, "the group dropped this member while it ran partitions"
            )
        self._assignment.invalidate()
        self._reading.clear()
        await super().on_partitions_revoked(revoked)
        await self._assignment.settle()

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        await super().on_partitions_assigned(assigned, generation_id)
        topic = self.transport.settings.input_topic
        await self._assignment.assigned({tp.partition for tp in assigned if tp.topic == topic}, self)

    def member_id(self) -> str:
        """The group's name for this member; empty = the group does not know it."""
        return self._thread.member_id()

    def stable_end(self, partition: int) -> int | None:
        """Last stable offset of a partition as of the last fetch; None = not known."""
        return self._thread.stable_end(TP(self.transport.settings.input_topic, partition))

    def on_buffer_full(self, tp: TP) -> None:
        """Nothing: the partition's own bound does it, see Assignment.has_room."""

    async def perform_seek(self) -> None:
        """Nothing: positions come from the state, see read_from."""

    async def commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Nothing: the group is told by `tell_group`."""
        return True

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Nothing: the engine's watchdog knows what progress is."""


class BatchTransport(driver.Transport):
    """Give it to `App.transport`."""

    Consumer = BatchConsumer

    def __init__(
        self,
        url: Any,
        app: Any,
        *,
        settings: EngineSettings,
        assignment: Assignment,
        fail_stop: FailStop,
        failpoint: Failpoint | None,
    ) -> None:
        super().__init__(url, app)
        self.settings = settings
        self.assignment = assignment
        self.fail_stop = fail_stop
        self.failpoint = failpoint
