"""The short form of `make torture`: the whole system is beaten while it works, and comes out exact."""

from pathlib import Path

import pytest

from ops.settings import get_settings
from ops.torture.faults import Kind
from ops.torture.progress import Plan, Progress
from ops.torture.report import as_text
from ops.torture.run import Options, torture

INPUTS, INPUTS_PER_S = 15_000, 1_500
FAULTS = {
    Kind.WORKER_KILLED: 3,
    Kind.LEDGER_KILLED: 3,
    Kind.WEBHOOKS_KILLED: 3,
    Kind.WORKER_FAILPOINT: 1,
    Kind.WORKER_SUSPENDED: 1,
    Kind.WORKERS_COME_AND_GO: 1,
    Kind.COMMIT_CUT_BEFORE: 1,
    Kind.COMMIT_CUT_AFTER: 1,
    Kind.RECEIVER: 1,
    Kind.POSTGRES_KILLED: 1,
    Kind.BROKER_KILLED: 1,
    Kind.REPLAY: 1,
}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_fifteen_thousand_inputs_through_a_storm_are_neither_lost_nor_doubled(
    data_directory: Path, seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    progress = Progress.begin(data_directory, Plan(seed, INPUTS, INPUTS_PER_S, FAULTS))
    report = torture(progress, get_settings(), Options(small_disk=False), say=lambda _: None)
    with capsys.disabled():
        print(f"\n{as_text(report)}")
    assert len(report.struck) == sum(FAULTS.values())
    assert report.judgement.inputs >= INPUTS
    assert report.judgement.total == 0, as_text(report)
    # How long each pause was is the report's to say: here others use the machine too.
    assert [each for each in report.struck if each.stuck] == []
