"""A budget shared by two workers: spent to the last, never over, whoever is killed meanwhile."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from connectors.writer import InputsWriter
from ops.commands.budgets import read_budgets
from ops.settings import Settings
from schemas.programs import parse_program
from schemas.topics import CASHBACK_EVENTS, DECISIONS
from schemas.transactions import from_json
from tests.e2e.bad_inputs import payment, program
from tests.e2e.pipeline import WORKERS, Pipeline
from tests.eventually import eventually

BUDGET = 20_000
PAYMENTS = 800
KEEPER = "budgets"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_budget_is_spent_by_two_workers_and_not_exceeded(
    settings: Callable[..., Settings], tmp_path: Path
) -> None:
    chosen = settings(clock="event", partitions=2)
    with Pipeline(chosen, tmp_path) as pipeline:
        pipeline.start(*WORKERS, KEEPER)
        with InputsWriter(chosen) as writer:
            writer.write_program(parse_program(program(budget={"total": BUDGET}, hold_days=30)))
            for number in range(PAYMENTS):
                writer.write(from_json(payment(f"p{number}", member_id=f"m{number % 50}")))
        eventually(lambda: decided(pipeline), timeout_s=60)
        for name in (KEEPER, WORKERS[0], KEEPER):
            pipeline.supervisor.kill(name)
            pipeline.supervisor.wait_ready(name, timeout_s=60)
        eventually(lambda: len(decided(pipeline)) == PAYMENTS, timeout_s=120, every_s=0.5)

        spent = sum(event.datum["amount"] for part in pipeline.read(CASHBACK_EVENTS) for event in part)
        [(_, budget)] = read_budgets(chosen)
    assert BUDGET - BUDGET // 100 <= spent <= budget.granted <= BUDGET
    said = Counter(decided(pipeline).values())
    assert said["REWARDED"] >= BUDGET // 50 > PAYMENTS // 4
    assert said["BUDGET_EXHAUSTED"] == PAYMENTS - said["REWARDED"] > 0


def decided(pipeline: Pipeline) -> dict[str, str]:
    """The last decision on every payment."""
    return {
        record.datum["transaction_ref"]: pair["decision"]
        for part in pipeline.read(DECISIONS)
        for record in part
        for pair in record.datum["decisions"]
    }
