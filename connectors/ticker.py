"""Writes a Tick a second into every partition of `inputs`: holds end when nobody shops (clock=broker).

Ticks carry no time that counts: the append time the broker gives them does. One that could not be delivered
within seconds is dropped, the next one says the same. Between two ticks there is time to look how old the
quarantine grows.
"""

import signal
import sys
import threading
import time
from types import FrameType

from confluent_kafka import KafkaError, KafkaException, Message

from connectors.quarantine_watch import QuarantineWatch
from connectors.writer import InputsUnavailable, inputs_partitions, inputs_producer
from ops import metrics
from ops.health import HealthServer, NotReady, Readiness, Ready
from ops.logs import get_logger
from ops.process import begin
from ops.settings import Settings
from schemas.codec import encode
from schemas.topics import INPUTS

PERIOD_S = 1.0
SILENCE_S = 5.0
"""Not ready when no tick was acknowledged for so long."""
WATCH_S = 0.3
"""Of every period, at most so much is spent on the quarantine."""

_log = get_logger()


class Ticker:
    """Ticks until `stop` is set; survives brokers that are away."""

    def __init__(self, settings: Settings) -> None:
        self.stop = threading.Event()
        self._settings = settings
        self._topic = INPUTS.full_name(settings.topic_prefix)
        self._producer = inputs_producer(
            settings, delivered=self._delivered, **{"delivery.timeout.ms": 5_000, "linger.ms": 0}
        )
        self._partitions = 0
        self._watch: QuarantineWatch | None = None
        self._delivered_at_s: float | None = None
        self._is_away = False
        self._fatal: KafkaError | None = None

    def run(self) -> None:
        """Tick every second until `stop` is set. Raises `KafkaException` when it never can again."""
        while not self.stop.is_set():
            started_at_s = time.monotonic()
            self._tick()
            self._producer.poll(0)
            if self._fatal is not None:
                raise KafkaException(self._fatal)
            self._look()
            self.stop.wait(max(0.0, PERIOD_S - (time.monotonic() - started_at_s)))
        self._producer.flush(SILENCE_S)
        if self._watch is not None:
            self._watch.close()

    def readiness(self) -> Readiness:
        """Ready while ticks arrive."""
        if self._delivered_at_s is None:
            return NotReady("no tick was acknowledged yet")
        silence_s = time.monotonic() - self._delivered_at_s
        if silence_s > SILENCE_S:
            return NotReady(f"no tick was acknowledged for {silence_s:.0f} s: is Kafka up?")
        return Ready()

    def _tick(self) -> None:
        try:
            if not self._partitions:
                self._partitions = inputs_partitions(self._producer, self._settings, timeout_s=PERIOD_S)
            value = encode("Tick", {"emitted_at": time.time_ns() // 1_000})
            for partition in range(self._partitions):
                self._producer.produce(self._topic, value, None, partition)
        except (InputsUnavailable, BufferError) as error:
            self._away(str(error))

    def _look(self) -> None:
        if self._watch is None and self._partitions:
            self._watch = QuarantineWatch(self._settings, self._partitions)
        if self._watch is not None:
            self._watch.look(most_s=WATCH_S)

    def _delivered(self, error: KafkaError | None, _: Message) -> None:
        if error is None:
            metrics.ticks_total.inc()
            self._delivered_at_s = time.monotonic()
            if self._is_away:
                self._is_away = False
                _log.info("ticks arrive again")
        elif error.fatal():
            self._fatal = error
        else:
            self._away(error.str())

    def _away(self, reason: str) -> None:
        if not self._is_away:
            self._is_away = True
            _log.warning("ticks do not arrive", reason=reason)


def main() -> int:
    """The process: ticks until SIGTERM or SIGINT; 2 when this clock needs no ticker."""
    settings = begin("ticker")
    if settings.clock != "broker":
        _log.error(
            "clock: with clock=event the loader moves it; start no ticker, or set CASHBACK_CLOCK=broker"
        )
        return 2
    ticker = Ticker(settings)

    def end(_: int, __: FrameType | None) -> None:
        ticker.stop.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    health = HealthServer(settings.health_host, settings.health_port, ticker.readiness)
    _log.info("ticking", health_port=health.port)
    try:
        ticker.run()
    finally:
        health.close()
    _log.info("stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
