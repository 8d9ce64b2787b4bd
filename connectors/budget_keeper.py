"""Grants leases of budgets: reads `budget-requests`, answers on the partition of `inputs` that asked.

What it says is decided in `budgets`, by all requests since the first. They are folded again at each start: in
silence up to where answers are known to have arrived, aloud from there. Where that is lies in the offset of a
consumer group, committed after the answers are acknowledged. So whatever happens to it, answers come at least
once; whoever asked takes the first and ignores the others. For the same reason two keepers do no harm.
"""

import signal
import sys
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from connectors.budget_gauges import BudgetGauges
from connectors.budget_requests import RequestsUnusable, request_in, requests_consumer
from connectors.budgets import BudgetId, Datum, Keeper
from connectors.writer import InputsUnavailable, inputs_partitions, inputs_producer
from ops import metrics
from ops.health import HealthServer, NotReady, Readiness, Ready
from ops.logs import get_logger
from ops.process import begin
from ops.settings import Settings
from schemas.codec import encode
from schemas.errors import Rejected
from schemas.topics import BUDGET_REQUESTS, INPUTS

COMMIT_EVERY_S = 1.0
"""How often its place is committed; also when nothing came, or the brokers would forget it in a week."""
SILENCE_S = 5.0
"""Not ready when an answer, or its place, was not acknowledged for so long."""
UNDELIVERED_MAX = 10_000
"""Requests under way to their answers; more are not read."""

_LOOK_S = 0.1
_ASK_S = 5.0
_READ_AT_ONCE = 1_000
_log = get_logger()


@dataclass
class _Asked:
    """A request that was folded, until all its answers have arrived."""

    offset: int
    asked_at_ms: int
    read_at_s: float
    undelivered: int = 0


class BudgetKeeper:
    """Answers until it is told to stop; brokers that are away are waited for."""

    def __init__(self, settings: Settings) -> None:
        # A plain flag: the signal that sets it may interrupt us anywhere, also inside an Event.
        self._stopping = False
        self._settings = settings
        self._inputs = INPUTS.full_name(settings.topic_prefix)
        self._requests = BUDGET_REQUESTS.full_name(settings.topic_prefix)
        # No answer is ever given up: the next one would overtake it, and its partition wait for good.
        endless = {"delivery.timeout.ms": 0, "linger.ms": 0}
        self._producer = inputs_producer(settings, delivered=lambda *_: None, **endless)
        self._consumer = requests_consumer(settings, on_commit=self._committed)
        self._keeper = Keeper()
        self._gauges = BudgetGauges()
        self._broken: set[BudgetId] = set()
        self._partitions = 0
        self._answers_from = 0
        self._caught_up = False
        self._asked: deque[_Asked] = deque()
        self._done = 0
        """Everything before this offset is answered, and the answers have arrived."""
        self._commit_at_s = 0.0
        self._is_committing = False
        self._acknowledged_at_s = 0.0
        self._failure: KafkaError | None = None
        self._away_for: str | None = None
        metrics.budget_unanswered_seconds.set_function(self._oldest_s)

    def stop(self) -> None:
        """Deliver what was said, then return from `run`."""
        self._stopping = True

    def run(self) -> None:
        """Answer until `stop`. Raises `RequestsUnusable`, `KafkaException` when it never can again."""
        try:
            while not self._stopping and not self._partitions:
                self._begin()
            while not self._stopping:
                self._go_on()
            if self._partitions:
                self._end()
        finally:
            self._producer.purge()
            self._consumer.close()

    def readiness(self) -> Readiness:
        """Ready while requests are answered at once."""
        details = {"budgets": len(self._keeper.budgets), "broken": len(self._broken)}
        if not self._caught_up:
            return NotReady(self._away_for or "the requests since the first are being read", details)
        now_s, oldest = time.monotonic(), self._oldest()
        if oldest is not None and (waiting_s := now_s - oldest.read_at_s) > SILENCE_S:
            return NotReady(f"an answer is not acknowledged for {waiting_s:.0f} s: is Kafka up?", details)
        silence_s = now_s - self._acknowledged_at_s
        if silence_s > SILENCE_S + COMMIT_EVERY_S:
            return NotReady(f"no commit was acknowledged for {silence_s:.0f} s: is Kafka up?", details)
        return Ready(details)

    def _begin(self) -> None:
        """Find where answers are delivered up to, and begin to read."""
        place = TopicPartition(self._requests, 0)
        try:
            partitions = inputs_partitions(self._producer, self._settings, timeout_s=_ASK_S)
            committed = self._consumer.committed([place], timeout=_ASK_S)[0].offset
            low, high = self._consumer.get_watermark_offsets(place, timeout=_ASK_S)
        except (InputsUnavailable, KafkaException) as error:
            self._away(str(error) if isinstance(error, InputsUnavailable) else error.args[0].str())
            time.sleep(_LOOK_S)
            return
        self._answers_from = self._done = max(0, committed)
        if low > 0 or high < self._answers_from:
            raise RequestsUnusable(
                f"{self._requests} has the requests from {low} to {high}, and those before "
                f"{self._answers_from} are answered: what was granted is known from all of them alone; "
                "bring the others back"
            )
        self._acknowledged_at_s = time.monotonic()
        self._away_for = None
        self._consumer.assign([TopicPartition(self._requests, 0, 0)])
        _log.info("reading the requests", up_to=high, answers_from=self._answers_from)
        self._partitions = partitions

    def _go_on(self) -> None:
        if len(self._asked) < UNDELIVERED_MAX:
            first = self._consumer.poll(_LOOK_S)
            if first is not None:
                self._take([first, *self._consumer.consume(_READ_AT_ONCE, 0)])
            self._settle(0)
        else:
            self._settle(_LOOK_S)
        if time.monotonic() >= self._commit_at_s and not self._is_committing:
            self._commit()

    def _end(self) -> None:
        """What was said is delivered and remembered, unless the brokers are away."""
        self._producer.flush(SILENCE_S)
        self._settle(0)
        began_s = time.monotonic()
        self._commit()
        while self._is_committing and time.monotonic() - began_s < SILENCE_S:
            self._consumer.poll(_LOOK_S)

    def _settle(self, wait_s: float) -> None:
        """Note which answers have arrived."""
        self._producer.poll(wait_s)
        if self._failure is not None:
            raise KafkaException(self._failure)
        while self._asked and not self._asked[0].undelivered:
            self._done = self._asked.popleft().offset + 1

    def _commit(self) -> None:
        self._commit_at_s = time.monotonic() + COMMIT_EVERY_S
        self._is_committing = True
        self._consumer.commit(offsets=[TopicPartition(self._requests, 0, self._done)], asynchronous=True)

    def _committed(self, error: KafkaError | None, _: list[TopicPartition]) -> None:
        self._is_committing = False
        if error is not None:
            self._away(error.str())
            return
        self._acknowledged_at_s = time.monotonic()
        if self._away_for is not None:
            self._away_for = None
            _log.info("the brokers answer again")

    def _take(self, messages: list[Message]) -> None:
        touched: set[BudgetId] = set()
        for message in messages:
            if (error := message.error()) is not None:
                self._look_at(error)
                continue
            offset = message.offset()
            assert offset is not None
            try:
                request = request_in(message)
            except Rejected as rejected:
                _log.error("passed over", offset=offset, problem=str(rejected))
                continue
            if offset < self._answers_from:
                self._keeper.fold(request)
            else:
                touched.add(self._answer(_Asked(offset, message.timestamp()[1], time.monotonic()), request))
        if self._caught_up:
            self._show(touched)

    def _look_at(self, error: KafkaError) -> None:
        code = error.code()
        if code == KafkaError._PARTITION_EOF:
            if not self._caught_up:
                self._caught_up = True
                self._show(self._keeper.budgets)
                _log.info("answering", budgets=len(self._keeper.budgets))
        elif code in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            raise RequestsUnusable(f"{self._requests}: requests are gone ({error.str()}); bring them back")
        elif error.fatal() or code == KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise KafkaException(error)
        else:
            self._away(error.str())

    def _answer(self, asked: _Asked, request: Datum) -> BudgetId:
        self._keeper.counts.clear()
        grants = self._keeper.fold(request)
        for outcome, times in self._keeper.counts.items():
            metrics.budget_requests_total.labels(outcome).inc(times)
        self._asked.append(asked)
        for grant in grants:
            self._say(asked, grant)
        return BudgetId(request["program_id"], request["livemode"], request["scope"])

    def _show(self, changed: Iterable[BudgetId]) -> None:
        known = self._keeper.budgets
        found = [(who, known[who]) for who in changed if who in known]
        self._gauges.show(found)
        for who, budget in found:
            if budget.broken and who not in self._broken:
                self._broken.add(who)
                _log.error("requests are missing, this budget grants no more", **who._asdict())

    def _say(self, asked: _Asked, grant: Datum) -> None:
        if grant["partition"] >= self._partitions:
            _log.error("no such partition asks", offset=asked.offset, partition=grant["partition"])
            return
        asked.undelivered += 1
        key, value = grant["program_id"].encode(), encode("BudgetGrant", grant)
        while not self._stopping:
            try:
                self._producer.produce(
                    self._inputs, value, key, grant["partition"], partial(self._delivered, asked)
                )
                return
            except BufferError:
                self._producer.poll(_LOOK_S)

    def _delivered(self, asked: _Asked, error: KafkaError | None, _: Message) -> None:
        if error is None:
            asked.undelivered -= 1
        else:
            self._failure = error

    def _oldest(self) -> _Asked | None:
        """The oldest request whose answers have not arrived. Also called by the threads of the probes."""
        try:
            oldest = self._asked[0]
        except IndexError:
            return None
        return oldest if oldest.undelivered else None

    def _oldest_s(self) -> float:
        oldest = self._oldest()
        return max(0.0, time.time() - oldest.asked_at_ms / 1_000) if oldest else 0.0

    def _away(self, reason: str) -> None:
        if self._away_for is None:
            _log.warning("the brokers are away", reason=reason)
        self._away_for = reason


def main() -> int:
    """The process: answers until SIGTERM or SIGINT; 1 with one log line on anything unsound."""
    settings = begin("budgets")
    keeper = BudgetKeeper(settings)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: keeper.stop())
    health = HealthServer(settings.health_host, settings.health_port, keeper.readiness)
    _log.info("started", health_port=health.port)
    try:
        keeper.run()
    except (RequestsUnusable, KafkaException) as error:
        _log.error("stopped", kind=type(error).__name__, error=str(error))
        return 1
    finally:
        health.close()
    _log.info("stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
