"""`cashback why` and `cashback revoke` on a running system: real log, real ledger, found by the index."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.writer import InputsWriter
from ops.bench.why import bench_why
from ops.settings import Settings
from schemas import ids
from schemas.programs import parse_program
from schemas.transactions import from_json
from tests.e2e.bad_inputs import bytes_of, payment, program
from tests.e2e.pipeline import Pipeline
from tests.e2e.test_bad_input import append
from tests.e2e.watch import INPUT, LEDGER, Watch
from tests.eventually import eventually
from tests.ops.test_cli import cashback

WAIT_S = 60.0
Payment = dict[str, Any]


@pytest.fixture
def pipeline(settings: Callable[..., Settings], tmp_path: Path) -> Iterator[Pipeline]:
    """A running system that has decided and booked the payments below."""
    with Pipeline(settings(clock="event"), tmp_path) as running:
        with InputsWriter(running.settings) as writer:
            writer.write_program(
                parse_program(program(hold_days=14, member_cap={"amount": 30, "period": "month"}))
            )
            for line in (
                payment("earner", webhook_id="w-1"),
                payment("nothing", amount_minor=50),
                payment("shared", member_id="ben"),
                payment("shared", member_id="eve"),
                payment("early", kind="REFUNDED", part_id="r1"),
                payment("trial", livemode=False),
            ):
                writer.write(from_json(line))
        append(
            running.settings, [(b"bank:ann", bytes_of(payment("earner"), amount_minor=6_000))], partition=-1
        )
        running.start("worker-1", "ledger", "places")
        with Watch(running, INPUT, LEDGER) as watch:
            eventually(watch.is_done, timeout_s=WAIT_S)
        yield running


def run(pipeline: Pipeline, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The real command, told where the servers are as a shell would be."""
    settings = pipeline.settings
    return cashback(
        *arguments,
        CASHBACK_BROKERS=settings.brokers,
        CASHBACK_DATABASE_URL=settings.database_url,
        CASHBACK_TOPIC_PREFIX=settings.topic_prefix,
        CASHBACK_CLOCK=settings.clock,
        **environment,
    )


def lives(pipeline: Pipeline, *arguments: str) -> list[Payment]:
    """What `why --json` tells, once the index has it."""

    def told() -> list[Payment]:
        answer = run(pipeline, "why", "bank", *arguments, "--json")
        payments: list[Payment] = json.loads(answer.stdout)["payments"] if answer.returncode == 0 else []
        return payments

    return eventually(told, timeout_s=WAIT_S)


def whats(life: Payment) -> list[str]:
    return [step["what"] for step in life["steps"]]


def test_every_payment_is_told_whether_it_earned_or_not_and_a_pending_one_can_be_revoked(
    pipeline: Pipeline,
) -> None:
    def earner() -> Payment:
        (life,) = lives(pipeline, "earner")
        assert [step.get("quarantined", {}).get("reason") for step in life["steps"]][1] == "conflict"
        return life

    life = eventually(earner, timeout_s=WAIT_S)
    assert whats(life) == ["input", "input", "decision", "created"]
    assert life["steps"][2]["decisions"][0]["why"] == (
        "1 % of 50.00 = 0.50, cut to 0.30 left of the monthly cap of 0.30"
    )
    assert life["steps"][3]["transfers"][0]["amount"] == 30
    assert life["outcome"][0] == "Earned: 0.30 EUR pending"

    (life,) = lives(pipeline, "nothing")
    assert whats(life) == ["input", "decision"]
    assert life["outcome"] == ["Earned nothing: REWARD_ZERO (one)"]

    shared = lives(pipeline, "shared")
    assert {life["member_id"] for life in shared} == {"ben", "eve"}
    assert shared[0]["member_id"] == shared[0]["held_for"] == shared[1]["held_for"]
    assert "refused" in whats(shared[1])
    (eve,) = lives(pipeline, "shared", "--member", "eve")
    assert eve["member_id"] == "eve"

    (life,) = lives(pipeline, "early")
    assert life["outcome"][0].startswith("Parked: ")

    figures = bench_why(2, pipeline.settings)
    assert (figures["inputs"], figures["lookups"]) == (7, 2)
    assert figures["command_s_max"] >= figures["command_s_p50"] > 0

    revocation_is_told(pipeline)
    what_is_unknown_is_refused_with_what_to_look_at(pipeline)


def revocation_is_told(pipeline: Pipeline) -> None:
    """Revoke what `earner` has pending; what has no pending cashback is refused."""
    cashback_id = ids.cashback_id(True, "bank", "ann", "earner", "one", 1)
    words = ("--actor", "dora", "--reason", "stolen card")
    answer = run(pipeline, "revoke", cashback_id, *words)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout.startswith(f"{cashback_id} is reverted: 0.30 EUR by one for earner, ledger entry ")

    def is_told() -> bool:
        (life,) = lives(pipeline, "earner")
        return {"input", "decision", "created", "reverted"} == set(whats(life)) and any(
            "REVOKED by dora" in step["said"] for step in life["steps"]
        )

    eventually(is_told, timeout_s=WAIT_S)
    again = run(pipeline, "revoke", cashback_id, *words)
    assert again.returncode == 1
    assert "was reverted" in again.stderr
    unknown = run(pipeline, "revoke", "cbtx_0", *words)
    assert (unknown.returncode, "the ledger has no cbtx_0" in unknown.stderr) == (1, True)
    nameless = run(
        pipeline, "revoke", ids.cashback_id(False, "bank", "ann", "trial", "one", 1), *words[:3], " "
    )
    assert (nameless.returncode, nameless.stderr[:14]) == (1, "error: reason:")


def what_is_unknown_is_refused_with_what_to_look_at(pipeline: Pipeline) -> None:
    """Each near miss names itself."""
    trial = run(pipeline, "why", "bank", "trial")
    assert trial.returncode == 1
    assert "there is a test payment of that id, add --test" in trial.stderr
    assert run(pipeline, "why", "bank", "trial", "--test").returncode == 0
    spelt = run(pipeline, "why", "bank", "EARNER")
    assert (spelt.returncode, "there is one called earner" in spelt.stderr) == (1, True)
    stranger = run(pipeline, "why", "bank", "earner", "--member", "zoe")
    assert (stranger.returncode, "member zoe has no payment earner" in stranger.stderr) == (1, True)
    nobody = run(pipeline, "why", "shop", "earner")
    assert "no partner shop has earned anything yet" in nobody.stderr
    assert "cashback quarantine list --partner shop" in nobody.stderr
