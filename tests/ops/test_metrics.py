"""Every metric is documented, its labels are closed sets, and what a supervisor counted is not lost."""

import re
from collections.abc import Iterator

import pytest
from prometheus_client import REGISTRY, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from ops import metrics
from sinks.ledger.deciding import DETAILS
from streams.engine import ExitCode


def served() -> Iterator[Metric]:
    """Our metrics as any process serves them."""
    for family in text_string_to_metric_families(generate_latest(REGISTRY).decode()):
        if family.name.startswith("cashback_"):
            yield family


def test_every_metric_has_a_name_of_the_house_a_sentence_and_known_labels() -> None:
    unit = r"(seconds|records|rows|entries|purchases|partitions|minor|paused|endpoints|accounts)"
    for family in served():
        if family.type != "counter":
            assert re.search(rf"_{unit}$", family.name), family.name
        assert len(family.documentation) > 10, family.name
        for sample in family.samples:
            for label, value in sample.labels.items():
                allowed = metrics.LABELS.get(family.name, {}).get(label) or metrics.OF_BUDGET.get(label)
                assert label in ("partition", "le", "program") or (allowed and value in allowed), sample


def test_every_value_of_a_label_is_there_from_the_start() -> None:
    found = {
        family.name: {sample.labels.get(label) for sample in family.samples}
        for family in served()
        for label in metrics.LABELS.get(family.name, {})
    }
    for name, labels in metrics.LABELS.items():
        for values in labels.values():
            assert set(values) <= found[name], name


def test_the_exit_reasons_are_those_of_a_worker() -> None:
    assert {int(code): code.name.lower() for code in ExitCode}.items() <= metrics.EXIT_REASONS.items()


def test_the_reasons_of_the_ledger_are_those_of_its_decisions() -> None:
    assert set(DETAILS) <= set(metrics.LEDGER_REFUSALS)


def test_exits_are_counted_by_reason() -> None:
    def count(reason: str) -> float:
        return REGISTRY.get_sample_value("cashback_exits_total", {"reason": reason}) or 0.0

    before = [count(reason) for reason in ("fenced", "killed", "other")]
    metrics.count_exits({82: 2, -9: 1, 77: 3})
    assert [count(reason) for reason in ("fenced", "killed", "other")] == [
        before[0] + 2,
        before[1] + 1,
        before[2] + 3,
    ]


def test_ages_are_counted_in_their_buckets() -> None:
    ages = metrics.AgeHistogram("cashback_test_age_seconds", "Ages in a test of ages")
    try:
        ages.observe([(1_000, 3), (1_900, 2), (5_000, 1)], now_ms=2_000)
        (family,) = ages.collect()
    finally:
        REGISTRY.unregister(ages)
    counts = {sample.labels.get("le"): sample.value for sample in family.samples}
    assert (counts["0.05"], counts["0.1"], counts["0.75"], counts["1.0"], counts["+Inf"]) == (1, 3, 3, 6, 6)
    total = next(sample.value for sample in family.samples if sample.name.endswith("_sum"))
    assert total == pytest.approx(3 * 1.0 + 2 * 0.1)


def test_the_gauges_of_a_partition_go_with_it() -> None:
    for gauge in metrics.OF_PARTITION:
        gauge.labels("77").set(1)
    metrics.forget_partition(77)
    metrics.forget_partition(77)
    assert b'partition="77"' not in generate_latest(REGISTRY)
