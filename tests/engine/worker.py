"""A worker over a toy fold, to be run in a process of its own.

The fold counts records a key and sends one output a record: the key's running count and the record's value.
A record lost or applied twice shows in the outputs, in the counts, and in the changelog.

Options are the fields of EngineSettings and of ToyOptions.
"""

from __future__ import annotations

import os
import struct
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

import structlog

from streams.engine import Engine, EngineSettings, InputRecord, Send, Store
from streams.engine.observer import Appended

COUNT = struct.Struct(">q")
PAUSE = b"pause"
"""A record of this value asks the engine to pause."""
TICK = b"tick"
"""A record of this value changes nothing."""


@dataclass(frozen=True, kw_only=True)
class ToyOptions:
    output_topic: str
    record_us: int = 0
    """Time each record takes beside its real work, so that a test can strike in the middle."""
    agent: Literal["works", "ignores", "raises"] = "works"
    """What the agent does with its batches."""
    due_slices: int = 0
    """How often `advance` has something due before the first record of a partition."""


class Counting:
    def __init__(self, options: ToyOptions, partition: int, store: Store, send: Send, engine: Engine) -> None:
        self._partition = partition
        self._store = store
        self._send = send
        self._engine = engine
        self._output_topic = options.output_topic
        self._record_s = options.record_us / 1e6
        self._due_slices = options.due_slices

    def restored(self) -> None:
        self._fired = COUNT.unpack(self._store.get(b"fired") or COUNT.pack(0))[0]

    def advance(self, record: InputRecord) -> bool:
        if self._fired >= self._due_slices:
            return False
        self._fired += 1
        self._send(self._output_topic, b"fired", COUNT.pack(self._fired) + b"%d" % self._partition)
        return True

    def apply(self, record: InputRecord) -> None:
        key, value = record.key or b"", record.value or b""
        if value == TICK:
            return
        row = self._store.get(key)
        count = COUNT.pack(1 if row is None else COUNT.unpack(row)[0] + 1)
        self._store.put(key, count)
        self._send(self._output_topic, key, count + value)
        if self._record_s:
            time.sleep(self._record_s)
        if value == PAUSE:
            self._engine.pause("a record asked for it")

    def before_commit(self) -> None:
        if self._due_slices:
            self._store.put(b"fired", COUNT.pack(self._fired))


class LoggingObserver:
    """Writes what tests ask about as JSON lines beside the log."""

    def __init__(self) -> None:
        self._log = structlog.get_logger("observer")

    def batch_applied(self, partition: int, records: int, seconds: float) -> None:
        pass

    def committed(self, partition: int, rows: int, seconds: float, taken: Sequence[Appended]) -> None:
        self._log.info("committed", partition=partition, rows=rows)

    def lag(self, partition: int, records: int) -> None:
        pass

    def restored(self, partition: int, rows: int, seconds: float) -> None:
        self._log.info("restored", partition=partition, rows=rows)

    def restoring(self, partition: int, passed: int, expected: int) -> None:
        self._log.info("restoring", partition=partition, passed=passed, expected=expected)

    def given_up(self, partition: int) -> None:
        self._log.info("given up", partition=partition)


def run(options: dict[str, Any], log_path: str) -> None:
    """Be a worker; all output goes to the log file."""
    log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    structlog.configure(
        processors=[structlog.processors.add_log_level, structlog.processors.JSONRenderer()],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    toy_fields = {field.name for field in fields(ToyOptions)}
    toy = ToyOptions(**{name: options.pop(name) for name in toy_fields & options.keys()})
    engine = Engine(
        EngineSettings(**options),
        fold=lambda partition, store, send: Counting(toy, partition, store, send, engine),
        observer=LoggingObserver(),
    )

    @engine.app.agent(engine.input)
    async def count(stream: Any) -> None:
        async for batch in engine.batches(stream):
            if toy.agent == "works":
                await engine.take(batch)
            elif toy.agent == "raises":
                raise RuntimeError("the agent itself is wrong")

    engine.run()
