"""Faust, made exact and fast: what a topology file uses.

engine = Engine(EngineSettings(...), fold=make_fold)
app = engine.app

@app.agent(engine.input)
async def decide(stream):
    async for batch in engine.batches(stream):
        await engine.take(batch)

engine.run()
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, NoReturn, cast

import structlog
from confluent_kafka import KafkaException

from streams.engine.app import EngineApp
from streams.engine.assignment import Assignment
from streams.engine.batch import Batch, BatchSchema
from streams.engine.brokers import Brokers, BrokersAway, TopicsUnfit
from streams.engine.context import Context
from streams.engine.delivery import BatchConsumer, BatchTransport
from streams.engine.exits import ExitCode, FailStop
from streams.engine.failpoints import Failpoint
from streams.engine.fold import FoldFactory
from streams.engine.group_offsets import FLUSH_S_MAX
from streams.engine.observer import NoObserver, Observer
from streams.engine.quiet import quiet_libraries
from streams.engine.readiness import Readiness, State
from streams.engine.restore import StateUnfit, require_changelog
from streams.engine.settings import EngineSettings
from streams.engine.store import MemoryStores, Stores
from streams.engine.versions import require_known_versions
from streams.engine.watchdog import TICK_S, Membership, Watchdog


class Engine:
    """One worker: one Faust app over one input topic, one fold a partition.

    Raises UnknownVersion on a Faust or aiokafka it was not tested with.
    """

    def __init__(self, settings: EngineSettings, fold: FoldFactory, observer: Observer | None = None) -> None:
        require_known_versions()
        quiet_libraries()
        observer = observer or NoObserver()
        failpoint = None if settings.failpoint is None else Failpoint.parse(settings.failpoint)
        self.settings = settings
        self.readiness = Readiness()
        self.fail_stop = FailStop()
        self._stores = _stores(settings)
        self._context = Context(
            settings, fold, observer, self.fail_stop, self.readiness, failpoint, stores=self._stores
        )
        self._assignment = Assignment(self._context)
        self.app = EngineApp(settings, self.fail_stop, self.readiness)
        self.app.transport = BatchTransport(
            self.app.conf.broker_consumer,
            self.app,
            settings=settings,
            assignment=self._assignment,
            fail_stop=self.fail_stop,
            failpoint=failpoint,
        )
        self.app.task(self._pulse)
        self.app.on_before_shutdown.connect(self._before_shutdown)
        self.input = self.app.topic(settings.input_topic, schema=BatchSchema(), acks=False)
        """The Faust topic to declare the agent on."""

    async def batches(self, stream: Any) -> AsyncIterator[Batch]:
        """The batches of a stream over `input`."""
        async for event in stream.noack().events():
            yield event.value

    async def take(self, batch: Batch) -> None:
        """Queue a batch for the fold of its partition."""
        self._assignment.take(batch)

    def pause(self, reason: str) -> None:
        """Commit what is done and take nothing more until the process restarts. A fold may call it."""
        self._context.pauses.append(reason)
        structlog.get_logger("streams.engine").error("paused", reason=reason)
        self.readiness.become(State.PAUSED, reason)

    def run(self) -> NoReturn:
        """Be a worker process until SIGTERM or SIGINT (exit code 0) or a failure (an ExitCode)."""
        try:
            brokers = Brokers(self.settings)
            self._assignment.open(brokers, brokers.verify_topics())
            require_changelog(self.settings, brokers)
            self._stores.begin(brokers.topic_id(self.settings.changelog_topic))
            self._watchdog = Watchdog(
                self._context, self._assignment, cast(Membership, self.app.consumer), brokers
            )
            self._watchdog.start()
            # A batch of records is thousands of objects: the default of 700 collects within each.
            gc.set_threshold(50_000, 20, 100)
        except StateUnfit as error:
            self.fail_stop.end(ExitCode.STATE_UNFIT, str(error))
        except TopicsUnfit as error:
            self.fail_stop.end(ExitCode.TOPICS_UNFIT, str(error))
        except (BrokersAway, KafkaException) as error:
            self.fail_stop.end(ExitCode.BROKERS_AWAY, str(error))
        except OSError as error:
            self.fail_stop.end(ExitCode.LOCAL_STATE_FAILED, str(error))
        self.app.Worker().execute_from_commandline()

    async def _pulse(self) -> None:
        while True:
            self._watchdog.pulse()
            await asyncio.sleep(TICK_S)

    async def _before_shutdown(self, *_: Any, **__: Any) -> None:
        self.readiness.become(State.STOPPING)
        await self._assignment.shutdown()
        # A consumer that never came to run does not answer; a stop does not wait for that.
        with suppress(TimeoutError, RuntimeError):
            await asyncio.wait_for(cast(BatchConsumer, self.app.consumer).flush_group(), FLUSH_S_MAX)


def _stores(settings: EngineSettings) -> Stores:
    if settings.state == "memory":
        return MemoryStores()
    # Imported here: a worker that keeps its state in memory does without the library.
    from streams.engine.local import LocalState

    return LocalState(settings)
