"""Fail-stop: a worker that is not sure leaves, at once and saying why, and a supervisor starts a clean one.

Faust would restart the agent inside the same process and commit past the lost batch; an in-process repair
is one more state nobody tested. Nothing of an open transaction is visible, so leaving is always safe.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import traceback
from collections.abc import Coroutine
from enum import IntEnum
from typing import Any, NoReturn

import structlog


class ExitCode(IntEnum):
    """Exit codes of a worker, by reason."""

    FOLD_FAILED = 80
    """The fold raised; the same record will raise again until the code or the record changes."""
    TRANSACTION_FAILED = 81
    """Kafka refused or could not finish a transaction in time."""
    FENCED = 82
    """Another worker owns the partition now."""
    SESSION_LOST = 83
    """The group went on without this worker."""
    SUSPENDED = 84
    """The process stood still for longer than its session (stopped, swapped out, host asleep)."""
    STALLED = 85
    """No progress although there is work."""
    RESTORE_FAILED = 86
    POSITION_OUTSIDE_LOG = 87
    """State and input log do not belong together. A restart does not help: rebuild or repair the log."""
    BATCH_LOST = 88
    """Records vanished between consumer and fold."""
    INPUT_UNREADABLE = 89
    TOPICS_UNFIT = 90
    """Topics are missing or have another shape. A restart does not help."""
    BROKERS_AWAY = 91
    """No broker answered at the start."""
    APP_CRASHED = 92
    """Faust itself, or an agent outside the engine, failed."""

    STATE_UNFIT = 93
    """The changelog is of another version of the code, or gone. A restart does not help: rebuild."""
    LOCAL_STATE_FAILED = 94
    """The directory of the local state cannot be used; what lies there is thrown away by the next start."""


class FailStop:
    """The one way out of a worker that failed."""

    def __init__(self) -> None:
        self._leaving = threading.Lock()

    def task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run work in the background; should it raise, the process ends rather than go on without it."""
        task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(self._end_if_failed)
        return task

    def _end_if_failed(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.end(ExitCode.APP_CRASHED, "a background task of the engine failed", cause=error)

    def end(
        self, code: ExitCode, reason: str, *, cause: BaseException | None = None, **context: object
    ) -> NoReturn:
        """Log one line and end the process. Callers in other threads wait for that end."""
        if not self._leaving.acquire(blocking=False):
            threading.Event().wait()
        if cause is not None:
            context["cause"] = repr(cause)
            context["trace"] = "".join(traceback.format_exception(cause))
        try:
            structlog.get_logger("streams.engine").critical(
                "worker leaves", exit=code.name.lower(), exit_code=int(code), reason=reason, **context
            )
            sys.stderr.flush()
            sys.stdout.flush()
        finally:
            os._exit(code)
