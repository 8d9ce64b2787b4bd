"""What the running processes serve under /metrics: the same numbers as their topics and books hold."""

import urllib.request
from collections.abc import Callable
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from connectors.writer import InputsWriter
from ops import metrics
from ops.settings import Settings
from schemas.programs import parse_program
from schemas.transactions import from_json
from tests.e2e.bad_inputs import payment, program
from tests.e2e.pipeline import Pipeline
from tests.e2e.test_bad_input import append
from tests.e2e.watch import INPUT, LEDGER, Watch
from tests.eventually import eventually

WORKER = "worker-1"
PAYMENTS = 300
WAIT_S = 60.0
Figures = dict[str, float]


def scrape(pipeline: Pipeline, name: str) -> Figures:
    """Every series of a process, and its number, by name and labels."""
    url = f"http://127.0.0.1:{pipeline.supervisor.health_port(name)}/metrics"
    with urllib.request.urlopen(url, timeout=10) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    figures: Figures = {}
    for family in families:
        for sample in family.samples:
            if family.name.startswith("cashback_"):
                for label, value in sample.labels.items():
                    closed = metrics.LABELS.get(family.name, {}).get(label)
                    assert value in closed if closed else label in ("partition", "le"), sample
            labels = ",".join(f"{label}={value}" for label, value in sorted(sample.labels.items()))
            figures[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return figures


def test_every_process_serves_what_happened_also_after_a_kill(
    settings: Callable[..., Settings], tmp_path: Path
) -> None:
    with Pipeline(settings(clock="event"), tmp_path) as pipeline:
        with InputsWriter(pipeline.settings) as writer:
            writer.write_program(parse_program(program()))
            for number in range(PAYMENTS):
                writer.write(from_json(payment(f"p{number}", member_id=f"m{number % 7}")))
        append(pipeline.settings, [(b"bank:ann", b"not ours")], partition=0)
        pipeline.start(WORKER, "ledger", "webhooks")
        with Watch(pipeline, INPUT, LEDGER) as watch:
            eventually(watch.is_done, timeout_s=WAIT_S)
        eventually(lambda: posted(pipeline) == PAYMENTS, timeout_s=WAIT_S)
        worker, ledger = scrape(pipeline, WORKER), scrape(pipeline, "ledger")
        inputs = PAYMENTS + pipeline.settings.partitions + 1
        assert worker["cashback_inputs_total{outcome=judged}"] == PAYMENTS
        assert worker["cashback_quarantined_total{reason=undecodable}"] == 1
        assert worker["cashback_events_total{transition=created}"] == PAYMENTS
        assert worker["cashback_decided_age_seconds_count"] == inputs
        assert sum(worker[f"cashback_state_rows{{partition={p}}}"] for p in range(4)) > PAYMENTS
        assert worker["cashback_lag_records{partition=0}"] == 0
        assert ledger["cashback_posted_age_seconds_count"] == 2 * PAYMENTS, "no hold: cleared at once"
        assert ledger["cashback_ledger_entries_total{transition=created}"] == PAYMENTS
        assert worker.keys() >= {name for name in ledger if name.startswith("cashback_")}

        pipeline.supervisor.kill(WORKER)
        eventually(lambda: restored(pipeline) > 0, timeout_s=WAIT_S)
        again = scrape(pipeline, WORKER)
        assert again["cashback_exits_total{reason=killed}"] == 1
        assert again["cashback_inputs_total{outcome=judged}"] == 0, "nothing is counted twice"
        passed = sum(again[f"cashback_restore_records{{partition={p}}}"] for p in range(4))
        assert passed >= PAYMENTS
        assert scrape(pipeline, "webhooks")["cashback_exits_total{reason=killed}"] == 0


def posted(pipeline: Pipeline) -> float:
    return scrape(pipeline, "ledger")["cashback_ledger_entries_total{transition=resolved}"]


def restored(pipeline: Pipeline) -> float:
    """Rows the worker has restored in all its partitions; 0 while it is away."""
    try:
        figures = scrape(pipeline, WORKER)
        return min(figures[f"cashback_restored_rows{{partition={p}}}"] for p in range(4))
    except (OSError, KeyError):
        return 0.0
