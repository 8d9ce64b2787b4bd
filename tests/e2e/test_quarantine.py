"""An operator looks at what waits, puts it right, writes it back: the real commands on a running system."""

import json
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from connectors.writer import InputsWriter
from ops.cli import main
from ops.settings import Settings, get_settings
from ops.up import environment_of
from schemas.programs import parse_program
from schemas.quarantine import Place
from schemas.times import DAY, from_iso
from schemas.topics import CASHBACK_EVENTS
from schemas.transactions import from_json
from tests.e2e.bad_inputs import AT, bytes_of, payment, program
from tests.e2e.pipeline import Pipeline
from tests.e2e.test_bad_input import append
from tests.e2e.watch import INPUT, Watch
from tests.eventually import eventually

WORKER = "worker-1"
WAIT_S = 60.0
WHY = ("--actor", "ann", "--reason", "put right")
LATE = "2025-05-01T12:00:00Z"
"""Sixty-one days after `AT`."""


def cashback(settings: Settings, *arguments: str, ends: int = 0) -> Any:
    """What the command line answers in JSON; if it is meant to end otherwise, what it says of it."""
    said, complained = StringIO(), StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(said), redirect_stderr(complained):
        patch.setattr(sys, "argv", ["cashback", *arguments, *([] if ends else ["--json"])])
        for name, value in environment_of(settings).items():
            patch.setenv(name, value)
        get_settings.cache_clear()
        with pytest.raises(SystemExit) as ended:
            main()
    get_settings.cache_clear()
    assert (ended.value.code or 0) == ends, complained.getvalue()
    return complained.getvalue() if ends else json.loads(said.getvalue())


def test_what_waits_is_seen_written_back_once_and_set_down(
    settings: Callable[..., Settings], tmp_path: Path
) -> None:
    made = settings(clock="event")
    refund = payment("shoes", kind="REFUNDED", amount_minor=2_000)
    with Pipeline(made, tmp_path) as pipeline, Watch(pipeline, INPUT) as watch:
        pipeline.start(WORKER)
        with InputsWriter(made) as writer:
            writer.write_program(parse_program(program(hold_days=30)))
            writer.write(from_json(refund))
        append(made, [(b"bank:ben", bytes_of(payment("hat")))], partition=1)
        eventually(watch.is_done, timeout_s=WAIT_S)
        see_parked(made)

        with InputsWriter(made) as writer:
            writer.tick(from_iso(AT, "at") + 60 * DAY)
            bought = payment("shoes", occurred_at=LATE)
            writer.write(from_json(bought))
            writer.write(from_json({**bought, "amount_minor": 1}))
        eventually(watch.is_done, timeout_s=WAIT_S)
        assert cashback(made, "parked", "list")["total"] == 0
        listed = {row["reason"]: row for row in cashback(made, "quarantine", "list")["quarantined"]}
        assert listed.keys() == {"parked_too_long", "rejected", "conflict"}
        assert listed["rejected"]["message"].startswith("key: b'bank:ben' is not partner_id:member_id")

        write_back(made, listed["parked_too_long"]["place"])
        eventually(watch.is_done, timeout_s=WAIT_S)
        amounts = [event["amount"] for event in events(pipeline) if "amount" in event]
        assert amounts == [50, 30], "the refund of two fifths has joined"
        refuse_twice(made, listed["parked_too_long"]["place"])

        come_back(made, listed["conflict"], lambda: eventually(watch.is_done, timeout_s=WAIT_S))
        cashback(made, "quarantine", "discard", "--all", *WHY)
        assert cashback(made, "quarantine", "list") == {"quarantined": [], "total": 0}
        everything = cashback(made, "quarantine", "list", "--all")["quarantined"]
        assert sorted(row["status"] for row in everything) == ["discarded"] * 2 + ["requeued"] * 2


def see_parked(settings: Settings) -> None:
    """The refund is shown with what it waits for."""
    listed = cashback(settings, "parked", "list")
    (row,) = listed["parked"]
    assert (row["kind"], row["external_id"], row["amount_minor"]) == ("REFUNDED", "shoes", 2_000)
    assert (row["arrived_at"], row["age_s"], row["waits_until"]) == (AT, 0, "2025-04-30T12:00:00Z")
    shown = cashback(settings, "parked", "show", row["place"])
    assert shown["fields"]["merchant_id"] == "grocer"
    assert cashback(settings, "parked", "list", "--partner", "wallet")["total"] == 0


def write_back(settings: Settings, place: str) -> None:
    """It goes back to its partition."""
    done = cashback(settings, "quarantine", "requeue", place, *WHY)
    (resolution,) = done["resolutions"]
    assert (resolution["place"], resolution["action"], resolution["actor"]) == (place, "REQUEUED", "ann")
    assert resolution["requeued_offset"] > Place.parse(place).offset


def refuse_twice(settings: Settings, place: str) -> None:
    """Not a second time, and never of a place where nothing is."""
    said = cashback(settings, "quarantine", "requeue", place, *WHY, ends=1)
    assert f"{place}: requeued by ann at" in said
    assert "(put right); give --again" in said
    assert "nothing was done" in said
    assert "there is nothing to discard" in cashback(settings, "quarantine", "discard", place, *WHY, ends=1)
    assert "is not in the quarantine" in cashback(settings, "quarantine", "show", "0:9999", ends=1)
    ledger = "ledger:cashback-events:0:1"
    assert "append-only" in cashback(settings, "quarantine", "requeue", ledger, *WHY, ends=1)
    assert "either places, or --all" in cashback(settings, "quarantine", "requeue", *WHY, ends=2)


def come_back(settings: Settings, conflict: dict[str, Any], settle: Callable[[], object]) -> None:
    """What was not put right is in the quarantine anew, as old as before, and says where it was."""
    requeued = cashback(settings, "quarantine", "requeue", "--all", "--reason-is", "conflict", *WHY)
    assert [each["place"] for each in requeued["resolutions"]] == [conflict["place"]]
    settle()
    (again,) = cashback(settings, "quarantine", "list", "--reason", "conflict")["quarantined"]
    assert again["place"] != conflict["place"]
    assert again["first_seen"] == conflict["first_seen"]
    assert again["requeued_from"] == conflict["place"]
    shown = cashback(settings, "quarantine", "show", again["place"])
    names = [name for name, _ in shown["headers"]]
    assert names.count("cashback.requeued_from") == 1
    assert shown["fields"]["amount_minor"] == 1
    before = cashback(settings, "quarantine", "show", conflict["place"])
    assert [done["actor"] for done in before["resolutions"]] == ["ann"]


def events(pipeline: Pipeline) -> list[dict[str, Any]]:
    """All that was decided about cashbacks, partition by partition."""
    return [record.datum for records in pipeline.read(CASHBACK_EVENTS) for record in records]
