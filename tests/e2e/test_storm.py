"""A whole system is beaten while it works; afterwards events, ledger and webhooks are what they should be."""

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic

import pytest

from ops.oracle import Recomputation, recompute
from ops.settings import Settings
from schemas.times import from_iso
from tests.e2e.book import Book
from tests.e2e.judgement import Findings, judge_ledger, judge_topics, judge_webhooks, verdict
from tests.e2e.machine import Machine
from tests.e2e.pipeline import RECEIVER, WORKERS, Pipeline
from tests.e2e.storm import Storm, lanes
from tests.e2e.watch import Watch
from tests.eventually import eventually
from tests.histories import mixed_inputs, mixed_programs

INPUTS = 50_000
PARTNERS = ("bank", "wallet")
MIN_SPEND = 3_000
"""Keeps webhooks to one an input, and lets pairs wait for the second half of their amount."""
UNTIL = "2025-07-01T00:00:00Z"
"""Past every hold and expiry of a month of purchases that begins in January."""
PAUSE_S_MAX = 15.0
DRAIN_S = 300.0
WORST_SHOWN = 8


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_fifty_thousand_inputs_through_a_storm_are_neither_lost_nor_doubled(
    settings: Callable[..., Settings], tmp_path: Path, seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    programs = [{**program, "min_spend_minor": MIN_SPEND} for program in mixed_programs()]
    inputs = list(mixed_inputs(INPUTS, seed, members=2_000, partners=PARTNERS))
    began_s, machine = monotonic(), Machine()
    chosen = settings(clock="event", due_slice=500, webhook_retry_delays_s=(0.5,) * 20)
    with Pipeline(chosen, tmp_path) as pipeline:
        pipeline.start(RECEIVER)
        pipeline.register(*PARTNERS)
        pipeline.start(*WORKERS, "ledger", "webhooks")
        with Watch(pipeline) as watch:
            storm = Storm(pipeline, watch, programs, inputs, from_iso(UNTIL, "until"), lanes(seed))
            storm.run()
            expected = recompute(programs, inputs, until=UNTIL)
            eventually(watch.is_done, timeout_s=DRAIN_S)
            findings = judge(pipeline, expected)
            counts = pipeline.received_counts()
        pause_s_max = PAUSE_S_MAX * machine.stretch()
        wrong = sum(map(len, findings.values()))
        report = f"seed {seed}: " + tell(storm, watch, counts, wrong, monotonic() - began_s)
        report += f"\nallowed: {pause_s_max:.1f} s ({PAUSE_S_MAX:.0f} s on a machine of our own, "
        report += f"of which we took {machine.ours_s():.0f} CPU seconds)"
    with capsys.disabled():
        print(f"\n{report}")
    assert not verdict(findings), f"{report}\n{verdict(findings)}"
    assert max(fault.pause_s for fault in storm.faults) <= pause_s_max, report
    assert max(watch.longest_s.values()) <= pause_s_max, report


def judge(pipeline: Pipeline, expected: Recomputation) -> Findings:
    """Everything there is to hold against the recomputation."""
    book = Book(pipeline.settings.database_url)
    try:
        return {
            **judge_topics(pipeline, expected),
            **judge_ledger(pipeline, book, expected),
            **judge_webhooks(pipeline, book, expected),
        }
    finally:
        book.close()


def tell(storm: Storm, watch: Watch, counts: Mapping[str, int], wrong: int, seconds: float) -> str:
    """The run in a few lines: what was struck, how long each blow was felt, what came out."""
    struck = Counter(str(fault.step.blow) for fault in storm.faults)
    worst = sorted(storm.faults, key=lambda fault: -fault.pause_s)[:WORST_SHOWN]
    still = ", ".join(f"{stage} {longest_s:.1f} s" for stage, longest_s in watch.longest_s.items())
    lines = [
        f"{len(storm.faults)} faults: {', '.join(f'{count} {blow}' for blow, count in struck.items())}",
        f"{len(storm.inputs)} inputs, {counts['delivered']} webhooks delivered, "
        f"{counts['repeated']} of them again, {seconds:.0f} s, {wrong} differences",
        f"longest standstill: {still}",
        "longest pauses after a fault:",
        *(f"  {fault}" for fault in worst),
    ]
    return "\n".join(lines)
