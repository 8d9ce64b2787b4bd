"""A cleared cashback is taken back on a running system: refund, case, decisions, ledger, webhooks."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from connectors.writer import InputsWriter
from ops.settings import Settings
from schemas import ids
from schemas.programs import parse_program
from schemas.transactions import from_json
from sinks.reconcile import reconcile
from sinks.webhooks.endpoints import register
from tests.e2e.bad_inputs import payment, program
from tests.e2e.pipeline import Pipeline
from tests.e2e.test_why import lives, run, whats
from tests.eventually import eventually
from tests.sinks.receiver import Receiver

WAIT_S = 60.0
WHO = ("--actor", "ann", "--reason", "returned in May")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    opened = Receiver()
    yield opened
    opened.close()


@pytest.fixture
def pipeline(settings: Callable[..., Settings], tmp_path: Path, receiver: Receiver) -> Iterator[Pipeline]:
    """A running system that has credited three purchases at once, and refunded two of them in part."""
    with Pipeline(settings(clock="event"), tmp_path) as running:
        url = receiver.url("/hook")
        register(
            running.settings.database_url,
            partner_id="bank",
            livemode=True,
            url=url,
            allow_loopback=True,
            actor="tests",
            reason="to be told",
        )
        with InputsWriter(running.settings) as writer:
            writer.write_program(parse_program(program(hold_days=0)))
            for line in (
                payment("back", kind="SETTLED"),
                payment("kept", kind="SETTLED"),
                payment("stolen", kind="SETTLED"),
                payment("back", kind="REFUNDED", part_id="r", amount_minor=2_000),
                payment("kept", kind="REFUNDED", part_id="r", amount_minor=1_000),
            ):
                writer.write(from_json(line))
        running.start("worker-1", "ledger", "places", "webhooks")
        yield running


def case_of(external_id: str) -> str:
    return ids.reversal_case_id(ids.cashback_id(True, "bank", "ann", external_id, "one", 1))


def cases(pipeline: Pipeline, state: str = "open") -> dict[str, Any]:
    answer = run(pipeline, "reversals", "list", "--state", state, "--json")
    assert answer.returncode == 0, answer.stderr
    return {each["case_id"]: each for each in json.loads(answer.stdout)["cases"]}


def test_cases_are_approved_by_two_declined_and_opened_by_an_operator_and_all_is_told(
    pipeline: Pipeline, receiver: Receiver
) -> None:
    back, kept, stolen = case_of("back"), case_of("kept"), case_of("stolen")
    eventually(lambda: cases(pipeline).keys() == {back, kept}, timeout_s=WAIT_S)

    first = run(pipeline, "reversals", "approve", back, *WHO, CASHBACK_REVERSAL_APPROVALS="2")
    assert first.stdout == f"{back} is approved by ann: it waits for a second person\n"
    second = run(
        pipeline, "reversals", "approve", back, "--actor", "bob", "--reason", "seen",
        CASHBACK_REVERSAL_APPROVALS="2",
    )  # fmt: skip
    assert (second.returncode, second.stderr) == (0, "")
    assert "is reversed: 0.50 EUR, 0.30 EUR of it was credited anew; ledger entry " in second.stdout
    again = run(pipeline, "reversals", "approve", back, *WHO)
    assert (again.returncode, "was approved by ann" in again.stderr) == (1, True)

    declined = run(pipeline, "reversals", "decline", kept, "--actor", "ann", "--reason", "goodwill")
    assert declined.stdout == f"{kept} is declined: the member keeps 0.50 EUR\n"

    cashback_id = ids.cashback_id(True, "bank", "ann", "stolen", "one", 1)
    wanted = run(pipeline, "revoke", cashback_id, "--actor", "dora", "--reason", "stolen card")
    assert f"take it back with `cashback reversals approve {stolen}`" in wanted.stdout
    taken = run(pipeline, "reversals", "approve", stolen, *WHO)
    assert "is reversed: 0.50 EUR; ledger entry " in taken.stdout
    assert cases(pipeline) == {}
    assert {each["state"] for each in cases(pipeline, "all").values()} == {"APPROVED", "DECLINED"}

    what_is_booked_is_proved(pipeline)
    everybody_is_told(pipeline, receiver)


def what_is_booked_is_proved(pipeline: Pipeline) -> None:
    lines = reconcile(pipeline.settings.database_url)
    assert sum(line.reversed for line in lines) == 100
    assert [line.proof for line in lines if line.proof] == []
    with psycopg.connect(pipeline.settings.database_url) as connection:
        wallets = connection.execute(
            "SELECT sum(balance) FROM balances JOIN accounts USING (account_id) WHERE kind = 'member:wallet'"
        ).fetchone()
        audited = connection.execute(
            "SELECT action, actor FROM audit_log WHERE actor <> 'tests' ORDER BY audit_no"
        ).fetchall()
    assert wallets == (80,)
    assert audited == [
        *(("reversal.approve", "ann"), ("reversal.approve", "bob"), ("reversal.decline", "ann")),
        *(("cashback.revoke", "dora"), ("reversal.approve", "ann")),
    ]


def everybody_is_told(pipeline: Pipeline, receiver: Receiver) -> None:
    def reverted() -> list[str]:
        bodies = [json.loads(each.body) for each in receiver.received]
        return sorted(each["transaction_ref"] for each in bodies if each["type"] == "cashback.reverted")

    eventually(lambda: reverted() == ["back", "stolen"], timeout_s=WAIT_S)

    def is_told() -> bool:
        (life,) = lives(pipeline, "back")
        said = [step["said"] for step in life["steps"]]
        return "reversed" in whats(life) and any("APPROVED by ann and bob" in each for each in said)

    eventually(is_told, timeout_s=WAIT_S)
    (life,) = lives(pipeline, "back")
    assert life["outcome"] == ["Earned: 0.30 EUR cleared"]
