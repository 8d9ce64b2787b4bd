"""The report says what was measured and nothing else."""

import pytest

from ops.bench.measure import Measured, Sample, cpu_between
from ops.bench.report import summary
from ops.bench.streams import Pair


def pair(bare_per_s: int, ours_per_s: int) -> Pair:
    return Pair(
        bare=Measured(records=1_000, seconds=1_000 / bare_per_s, cpu_seconds=0.02, rss_mb=50),
        ours=Measured(records=1_000, seconds=1_000 / ours_per_s, cpu_seconds=0.03, rss_mb=90),
    )


def test_the_ratio_is_the_quotient_of_the_two_rates_beside_it() -> None:
    report = summary([pair(40_000, 26_001)], stock_per_s=None, ledger_entries_per_s=None, simulate_per_s=1)
    assert (report.tx_per_s, report.bare_loop_per_s) == (26_001, 40_000)
    assert report.ratio == pytest.approx(26_001 / 40_000, abs=0.001)
    assert report.cpu_s_per_million == pytest.approx(30.0)


@pytest.mark.parametrize(
    ("ours", "median"),
    [([10_000, 30_000, 20_000], 20_000), ([30_000], 30_000), ([10_000, 30_000, 20_000, 25_000], 20_000)],
)
def test_the_pair_with_the_median_ratio_stands_for_all_and_every_one_is_listed(
    ours: list[int], median: int
) -> None:
    pairs = [pair(40_000, each) for each in ours]
    report = summary(pairs, stock_per_s=2_500.4, ledger_entries_per_s=None, simulate_per_s=1)
    assert report.tx_per_s == median
    assert [run["tx_per_s"] for run in report.runs] == ours
    assert report.stock_faust_per_s == 2_500
    assert report.ledger_entries_per_s is None


def test_cpu_before_the_first_output_does_not_count() -> None:
    samples = [Sample(at_s, cpu_s, 0) for at_s, cpu_s in ((10.0, 3.0), (11.0, 4.0), (12.0, 4.5))]
    assert cpu_between(samples, 10.5, 12.0) == pytest.approx(1.0)
    assert cpu_between(samples, 9.0, 12.0) == pytest.approx(1.5)
    assert cpu_between(samples, 12.0, 12.5) == pytest.approx(0.0)
