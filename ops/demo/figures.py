"""What a running pipeline says of itself, sampled: metrics, offsets, memory, the receiver's counts."""

import contextlib
import json
import re
import urllib.request
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from confluent_kafka import Consumer, KafkaException, TopicPartition

from ops.settings import Settings
from ops.supervisor import Supervisor
from schemas.topics import INPUTS, WORKER_GROUP

ANSWER_TIMEOUT_S = 2.0
_RATE_SAMPLES = 8
_METRIC = re.compile(r'^(cashback_[a-z_]+)(?:\{(?:outcome|transition)="([a-z_]+)"\})? (\S+)$', re.M)


@dataclass
class Figures:
    """How far a run is. Counts are of this run; rates in records a second; memory in MB."""

    at_s: float = 0.0
    loaded: int = 0
    to_load: int = 0
    decided: int = 0
    created: int = 0
    cleared: int = 0
    reverted: int = 0
    duplicates: int = 0
    quarantined: int = 0
    posted: int = 0
    delivered: int = 0
    refused: int = 0
    misordered: int = 0
    worker_mb: float = 0.0
    day: str = ""
    """The day of 2017 the stream has come to."""

    @property
    def events(self) -> int:
        """Cashback events decided; each becomes a ledger entry and a webhook."""
        return self.created + self.cleared + self.reverted

    def progress(self) -> tuple[int, ...]:
        """What must move while there is work."""
        return self.loaded, self.decided, self.posted, self.delivered

    def waiting_for(self) -> tuple[str, str] | None:
        """The first stage that lags behind, in words, and the process that runs it; None when none does."""
        if self.loaded < self.to_load:
            return f"{self.loaded:,} of {self.to_load:,} payments are written", "kafka"
        if self.decided < self.loaded:
            return f"the stream has judged {self.decided:,} of {self.loaded:,} inputs", "worker-1"
        if self.posted < self.events:
            return f"the ledger has posted {self.posted:,} of {self.events:,} entries", "ledger"
        if self.delivered < self.events:
            refused = f", {self.refused:,} were refused" if self.refused else ""
            return f"{self.delivered:,} of {self.events:,} webhooks are delivered{refused}", "webhooks"
        return None


@dataclass
class Rates:
    """Rates over the last few samples."""

    _samples: deque[Figures] = field(default_factory=lambda: deque(maxlen=_RATE_SAMPLES))

    def add(self, figures: Figures) -> None:
        """Take the next sample."""
        self._samples.append(figures)

    def of(self, name: str) -> float:
        """How fast the figure `name` grows."""
        if len(self._samples) < 2:
            return 0.0
        first, last = self._samples[0], self._samples[-1]
        grown: int = getattr(last, name) - getattr(first, name)
        return max(0, grown) / max(last.at_s - first.at_s, 0.001)


class MetricSums:
    """Counters of processes summed over restarts: one that begins again at zero goes on where it was."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str, str], float] = {}
        self._before: Counter[tuple[str, str, str]] = Counter()

    def take(self, process: str, exposition: str) -> None:
        """Read the `/metrics` of one process."""
        for name, label, value in _METRIC.findall(exposition):
            key = (process, name, label)
            if float(value) < self._last.get(key, 0.0):
                self._before[key] += int(self._last[key])
            self._last[key] = float(value)

    def total(self, name: str, *labels: str) -> int:
        """The counter over all processes and these labels; none: over all labels."""
        return sum(
            int(value) + self._before[key]
            for key, value in self._last.items()
            if key[1] == name and (not labels or key[2] in labels)
        )


class Probe:
    """Asks the processes of a running stack."""

    def __init__(
        self, settings: Settings, supervisor: Supervisor, *, workers: int, receiver_port: int
    ) -> None:
        self._supervisor = supervisor
        self._workers = [f"worker-{number}" for number in range(1, workers + 1)]
        self._receiver_url = f"http://127.0.0.1:{receiver_port}/"
        self._metrics = MetricSums()
        self._consumer = Consumer(
            {
                "bootstrap.servers": settings.brokers,
                "group.id": settings.topic_prefix + WORKER_GROUP,
                "enable.auto.commit": False,
                # Offsets of a transaction under way need not be waited for.
                "isolation.level": "read_uncommitted",
            }
        )
        topic = INPUTS.full_name(settings.topic_prefix)
        self._places = [TopicPartition(topic, number) for number in range(settings.partitions)]
        self._peak_mb = 0.0
        self._committed = 0
        self._decided_before = self.committed()
        self._delivered_before = 0

    def begin(self) -> None:
        """What was received before counts as received before: called once the receiver is up."""
        self._delivered_before = self.received().get("delivered", 0)

    def close(self) -> None:
        """Let go of the broker."""
        self._consumer.close()

    def committed(self) -> int:
        """Records of the input log decided so far, in earlier runs too: the sum of the committed offsets."""
        with contextlib.suppress(KafkaException):
            committed = self._consumer.committed(self._places, timeout=ANSWER_TIMEOUT_S)
            self._committed = sum(max(0, place.offset) for place in committed)
        return self._committed

    def inputs(self) -> int:
        """Records in the input log."""
        return sum(self._consumer.get_watermark_offsets(place, timeout=10)[1] for place in self._places)

    def sample(self, figures: Figures) -> None:
        """Fill in what the processes say now; what does not answer keeps its last figure."""
        for name in (*self._workers, "ledger"):
            self._ask_metrics(name)
        total = self._metrics.total
        for transition in ("created", "cleared", "reverted"):
            setattr(figures, transition, total("cashback_events_total", transition))
        figures.duplicates = total("cashback_inputs_total", "duplicate")
        figures.quarantined = total("cashback_inputs_total", "conflict", "rejected") + total(
            "cashback_parked_ends_total", "too_long", "conflict", "discarded"
        )
        figures.posted = total("cashback_ledger_entries_total")
        figures.decided = self.committed() - self._decided_before
        received = self.received()
        if received:
            figures.delivered = received["delivered"] - self._delivered_before
        figures.refused = received.get("refused", figures.refused)
        figures.misordered = received.get("misordered", figures.misordered)
        figures.worker_mb = self._worker_peak_mb()

    def received(self) -> dict[str, int]:
        """The receiver's counts; empty when it does not answer."""
        answer = _get(self._receiver_url)
        counts: dict[str, int] = json.loads(answer) if answer else {}
        return counts

    def _ask_metrics(self, name: str) -> None:
        answer = _get(f"http://127.0.0.1:{self._supervisor.health_port(name)}/metrics")
        if answer:
            self._metrics.take(name, answer)

    def _worker_peak_mb(self) -> float:
        for name in self._workers:
            try:
                pid = self._supervisor.pid(name)
                self._peak_mb = max(self._peak_mb, _peak_bytes(pid) / 1e6)
            except (ProcessLookupError, psutil.Error, OSError):
                continue
        return self._peak_mb


def _get(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=ANSWER_TIMEOUT_S) as answer:  # noqa: S310 - http, loopback
            text: str = answer.read().decode()
            return text
    except OSError:
        return ""


def _peak_bytes(pid: int) -> int:
    """The largest resident size so far where the kernel keeps it, else the present one."""
    status = Path(f"/proc/{pid}/status")
    if status.exists():
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        if found:
            return int(found.group(1)) * 1024
    rss: int = psutil.Process(pid).memory_info().rss
    return rss
