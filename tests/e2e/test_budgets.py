"""A budget shared by twelve partitions: spent to the last, never over, whoever is killed, leaves or joins."""

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
from tests.e2e.pipeline import Pipeline
from tests.eventually import eventually

BUDGET = 100_000
REWARD = 50
PAYMENTS = 2_600
PARTITIONS = 12
LEFT_MAX = max(BUDGET // 100, PARTITIONS * REWARD)
KEEPER = "budgets"
FIRST, SECOND, THIRD = "worker-1", "worker-2", "worker-3"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_budget_is_spent_by_three_workers_and_not_exceeded(
    settings: Callable[..., Settings], tmp_path: Path
) -> None:
    chosen = settings(clock="event", partitions=PARTITIONS)
    with Pipeline(chosen, tmp_path) as pipeline:
        pipeline.start(FIRST, SECOND, THIRD, KEEPER)
        with InputsWriter(chosen) as writer:
            writer.write_program(parse_program(program(budget={"total": BUDGET}, hold_days=30)))
            for number in range(PAYMENTS):
                writer.write(from_json(payment(f"p{number}", member_id=f"m{number % 130}")))
        eventually(lambda: decided(pipeline), timeout_s=60)
        for victim, leaver in ((KEEPER, THIRD), (FIRST, SECOND), (KEEPER, THIRD)):
            pipeline.supervisor.kill(victim)
            pipeline.supervisor.stop(leaver)
            pipeline.start(leaver)
            pipeline.supervisor.wait_ready(victim, timeout_s=60)
        eventually(lambda: len(decided(pipeline)) == PAYMENTS, timeout_s=180, every_s=0.5)

        spent = sum(event.datum["amount"] for part in pipeline.read(CASHBACK_EVENTS) for event in part)
        [(_, budget)] = read_budgets(chosen)
    assert BUDGET - LEFT_MAX <= spent <= budget.granted <= BUDGET
    said = Counter(decided(pipeline).values())
    assert said["REWARDED"] >= (BUDGET - LEFT_MAX) // REWARD > PAYMENTS // 2
    assert said["BUDGET_EXHAUSTED"] == PAYMENTS - said["REWARDED"] > 0


def decided(pipeline: Pipeline) -> dict[str, str]:
    """The last decision on every payment."""
    return {
        record.datum["transaction_ref"]: pair["decision"]
        for part in pipeline.read(DECISIONS)
        for record in part
        for pair in record.datum["decisions"]
    }
