"""How far every stage has come, looked at all the time: for measuring pauses, and for waiting.

A look that got no answer is no look: nothing counts as progress then. After a look I8 is checked too, if the
group's coordinator answers: no offset that is committed may be ahead of the position in the changelog.
"""

import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from http.client import HTTPException
from time import monotonic
from types import TracebackType
from typing import Self

from ops.settings import Settings
from ops.torture.looking import Follower, Group, NoAnswer, Table, Topic
from ops.torture.receiver import counts
from ops.torture.waiting import Interrupted, NotInTime
from schemas.topics import CASHBACK_EVENTS, INPUTS, STATE, WORKER_GROUP
from streams.engine.position import POSITION_KEY, Position

LOOK_EVERY_S = 0.3
QUIET_LOOKS = 8
AHEAD_S_MAX = 60.0
"""How long a committed offset may seem ahead: a transaction reaches its partitions one after the other."""

_POSITIONS = "SELECT partition, next_offset FROM sink_positions WHERE topic = %s"
_QUEUED = "SELECT EXISTS (SELECT FROM webhook_queue WHERE due_at <= now())"


class Stage(StrEnum):
    """A part of the stream that goes on by itself."""

    INTAKE = "inputs acknowledged"
    INPUT = "inputs decided"
    LEDGER = "entries posted"
    WEBHOOKS = "webhooks delivered"


@dataclass(frozen=True, slots=True)
class Place:
    """One place of a stage: how far it has come, and whether more waits for it."""

    done: int
    waits: bool

    def has_gone_on_since(self, before: "Place") -> bool:
        """Whether it moved, or had nothing to do."""
        return self.done > before.done or not self.waits


Stages = dict[Stage, list[Place]]


class Watch:
    """A thread that looks; as a context it ends with it."""

    def __init__(self, settings: Settings, receiver_port: int) -> None:
        self.intake: Callable[[], Place] = lambda: Place(0, waits=False)
        """How far the client has come; given by whoever writes."""
        prefix, brokers, partitions = settings.topic_prefix, settings.brokers, settings.partitions
        self._events = CASHBACK_EVENTS.full_name(prefix)
        self._receiver_port = receiver_port
        self._input = Topic(brokers, INPUTS.full_name(prefix), partitions)
        self._output = Topic(brokers, self._events, partitions)
        self._group = Group(brokers, self._input, prefix + WORKER_GROUP)
        self._outputs = Follower(brokers, self._events, partitions)
        self._changelog = Follower(brokers, STATE.full_name(prefix), partitions, keep_key=POSITION_KEY)
        self._table = Table(settings.database_url)
        self._changed = threading.Condition()
        self._ending = threading.Event()
        self._began_s = 0.0
        self._now: Stages = {}
        self._quiet_looks = 0
        self._rest_asked_s = 0.0
        self._failure: BaseException | None = None
        self._ahead_since: dict[int, tuple[float, int]] = {}
        self._no_answer = ""
        self.offsets_ahead: list[str] = []
        """What was seen against I8."""
        self.offset_checks = 0
        """How often I8 could be checked."""
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
        self._thread.join()
        for each in (self._group, self._outputs, self._changelog, self._table):
            each.close()

    def end(self) -> None:
        """Look no more, and let nobody wait for a look."""
        self._ending.set()
        with self._changed:
            self._failure = self._failure or Interrupted("a look")
            self._changed.notify_all()

    def look(self, *, timeout_s: float) -> Stages:
        """All stages, looked at after this was called. Raises `NotInTime` when no look was answered."""
        asked_s = monotonic()
        with self._changed:
            answered = self._changed.wait_for(
                lambda: self._began_s >= asked_s or self._failure is not None, timeout_s
            )
            if self._failure is not None:
                raise self._failure
            if not answered:
                raise NotInTime(
                    f"no look at the system was answered in {timeout_s:.0f} s ({self._no_answer})"
                )
            return self._now

    def wait_progress(self, stages: Iterable[Stage], before: Stages, *, timeout_s: float) -> None:
        """Return when every place of the stages went on since, or has nothing to do. Raises `NotInTime`."""
        deadline_s = monotonic() + timeout_s
        while True:
            now = self.look(timeout_s=max(0.1, deadline_s - monotonic()))
            stuck = [
                f"{stage}, place {index}: at {place.done}"
                for stage in stages
                for index, place in enumerate(now[stage])
                if not place.has_gone_on_since(before[stage][index])
            ]
            if not stuck:
                return
            if monotonic() >= deadline_s:
                raise NotInTime(f"no progress in {timeout_s:.0f} s: {'; '.join(stuck)}")

    def ask_for_rest(self) -> None:
        """All is written: only looks that begin after this one count for `is_done`."""
        with self._changed:
            self._rest_asked_s, self._quiet_looks = monotonic(), 0

    def is_done(self) -> bool:
        """Whether nothing waited in the last looks: a commit shows in one topic before the other."""
        return self._quiet_looks >= QUIET_LOOKS

    def describe(self) -> str:
        """What waits where, for people."""
        waiting = {stage: sum(place.waits for place in places) for stage, places in self._now.items()}
        return ", ".join(f"{stage}: {count} places wait" for stage, count in waiting.items() if count)

    def _run(self) -> None:
        try:
            while not self._ending.wait(LOOK_EVERY_S):
                began_s = monotonic()
                try:
                    ends, output_ends = self._input.ends(), self._output.ends()
                    self._outputs.pull()
                    self._changelog.pull()
                    now = self._stages(ends, output_ends)
                except NoAnswer as error:
                    self._no_answer = str(error)
                    continue
                self._take(now, began_s)
                # Apart: the group's coordinator may be away while all goes on.
                with suppress(NoAnswer):
                    committed = self._group.committed()
                    # After the offsets: else any commit between the two looks would seem ahead of the state.
                    self._changelog.pull()
                    self._check_offsets(committed)
        except BaseException as error:  # noqa: BLE001 - raised again in whoever looks
            with self._changed:
                self._failure = error
                self._changed.notify_all()

    def _take(self, now: Stages, began_s: float) -> None:
        waits = any(place.waits for places in now.values() for place in places)
        with self._changed:
            is_quiet = not waits and began_s >= self._rest_asked_s
            self._quiet_looks = self._quiet_looks + 1 if is_quiet else 0
            self._now, self._began_s = now, began_s
            self._changed.notify_all()

    def _stages(self, ends: list[int], output_ends: list[int]) -> Stages:
        posted = dict(self._table.rows(_POSITIONS, self._events))
        queued = bool(self._table.value(_QUEUED))
        return {
            Stage.INTAKE: [self.intake()],
            Stage.INPUT: [
                Place(at := self._position(partition), waits=at < end) for partition, end in enumerate(ends)
            ],
            Stage.LEDGER: [
                # Whoever follows the topic may be as late as the ledger: its end is asked for.
                Place(at := posted.get(partition, 0), waits=at < read.next_offset or read.end < end)
                for partition, (read, end) in enumerate(zip(self._outputs.ends, output_ends, strict=True))
            ],
            Stage.WEBHOOKS: [Place(self._delivered(), waits=queued)],
        }

    def _delivered(self) -> int:
        try:
            return counts(self._receiver_port)["delivered"]
        except (OSError, HTTPException) as error:
            raise NoAnswer(f"the receiver: {error}") from error

    def _position(self, partition: int) -> int:
        """Where the committed state stands."""
        kept = self._changelog.kept[partition]
        return Position.decode(kept).next_offset if kept is not None else 0

    def _check_offsets(self, committed: list[int]) -> None:
        now_s = monotonic()
        self.offset_checks += 1
        for partition, offset in enumerate(committed):
            position, times = self._position(partition), self._changelog.ends[partition].ends_reached
            if offset <= position:
                self._ahead_since.pop(partition, None)
                continue
            since_s, times_then = self._ahead_since.setdefault(partition, (now_s, times))
            if now_s - since_s > AHEAD_S_MAX and times > times_then:
                self.offsets_ahead.append(f"partition {partition}: offset {offset}, state at {position}")
                self._ahead_since[partition] = (now_s + 3_600.0, times)
