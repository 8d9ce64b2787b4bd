"""`cashback load` as its users run it."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from os import environ
from pathlib import Path
from typing import Any, cast

import pytest

from ops.demo.grocer import PROGRAMS_FILE
from ops.settings import Settings
from schemas.codec import decode
from schemas.program_files import read_programs
from schemas.silence import SILENT_HEADER
from tests.connectors.conftest import ReadAll
from tests.connectors.payments import clip_line, line

CASHBACK = [sys.executable, "-c", "from ops.cli import main; main()"]


def load(settings: Settings, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    variables = {
        **environ,
        "CASHBACK_BROKERS": settings.brokers,
        "CASHBACK_TOPIC_PREFIX": settings.topic_prefix,
        "CASHBACK_CLOCK": settings.clock,
    }
    command = [*CASHBACK, "load", *map(str, arguments)]
    return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60)


def test_bad_lines_are_named_the_rest_is_loaded_and_the_exit_code_is_3(
    settings: Settings, read_all: ReadAll, tmp_path: Path
) -> None:
    good = [json.dumps(line(external_id=f"order-{number}")) for number in range(3)]
    path = tmp_path / "march.jsonl"
    path.write_text("\n".join([good[0], "{", good[1], json.dumps(line(amount_minor=-1)), good[2]]))
    ended = load(settings, path, "--programs", PROGRAMS_FILE, "--until", "2017-05-01T00:00:00Z", "--json")
    assert ended.returncode == 3, ended.stderr
    assert f"{path}:2: line: not JSON" in ended.stderr
    assert f"{path}:4: amount_minor: -1 is negative" in ended.stderr
    summary, programs = json.loads(ended.stdout), len(read_programs(PROGRAMS_FILE).programs)
    assert (summary["lines"], summary["loaded"], summary["bad"], summary["programs"]) == (5, 3, 2, programs)
    assert summary["until"] == "2017-05-01T00:00:00Z"
    kinds = [decode(record.value())[0] for record in read_all("inputs")]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "Program": 3 * programs,
        "Transaction": 3,
        "Tick": 3,
    }


def test_a_line_from_the_future_does_not_take_the_clock_of_history_along(
    settings: Settings, read_all: ReadAll, tmp_path: Path
) -> None:
    path = tmp_path / "t.jsonl"
    ahead = json.dumps(line(external_id="order-2", occurred_at="2094-05-01T00:00:00Z"))
    path.write_text(f"{json.dumps(line())}\n{ahead}\n")
    ended = load(settings, path, "--json")
    assert ended.returncode == 3, ended.stderr
    assert f"{path}:2: occurred_at: 2094-05-01T00:00:00Z lies in the future" in ended.stderr
    summary = json.loads(ended.stdout)
    assert (summary["loaded"], summary["bad"], summary["until"]) == (1, 1, line()["occurred_at"])


def test_entitlements_come_before_the_payments_and_a_bad_one_is_named(
    settings: Settings, read_all: ReadAll, tmp_path: Path
) -> None:
    payments, entitlements = tmp_path / "t.jsonl", tmp_path / "e.jsonl"
    payments.write_text(json.dumps(line()))
    entitlements.write_text(f"{json.dumps(clip_line())}\n{json.dumps(clip_line(clip_id=None))}\n")
    ended = load(settings, payments, "--entitlements", entitlements, "--silent", "--json")
    assert ended.returncode == 3, ended.stderr
    assert f"{entitlements}:2: clip_id: missing" in ended.stderr
    summary = json.loads(ended.stdout)
    assert (summary["loaded"], summary["entitlements"], summary["bad"]) == (1, 1, 1)
    assert summary["silent"]
    records = [record for record in read_all("inputs") if record.key()]
    assert [decode(record.value())[0] for record in records] == ["Entitlement", "Transaction"]
    assert SILENT_HEADER in dict(cast(Any, records[1].headers()))


def test_a_wrong_program_is_refused_with_its_remedy_and_nothing_is_loaded(
    settings: Settings, read_all: ReadAll, tmp_path: Path
) -> None:
    payments, programs = tmp_path / "t.jsonl", tmp_path / "p.yaml"
    payments.write_text(json.dumps(line()))
    programs.write_text(PROGRAMS_FILE.read_text().replace("hold_days: 14", "hold_days: 31", 1))
    ended = load(settings, payments, "--programs", programs)
    assert ended.returncode == 3
    assert "hold_days: " in ended.stderr
    assert "nothing was loaded" in ended.stderr
    assert read_all("inputs") == []


def test_programs_that_contradict_the_published_ones_are_refused_and_nothing_is_loaded(
    settings: Settings, read_all: ReadAll, tmp_path: Path
) -> None:
    payments, programs = tmp_path / "t.jsonl", tmp_path / "p.yaml"
    payments.write_text(json.dumps(line()))
    assert load(settings, payments, "--programs", PROGRAMS_FILE).returncode == 0
    before = len(read_all("inputs"))
    programs.write_text(PROGRAMS_FILE.read_text().replace("bps: 100", "bps: 200", 1))
    ended = load(settings, payments, "--programs", programs)
    assert ended.returncode == 3
    assert f"{programs}:" in ended.stderr
    assert ": version: one-percent version 1 comes with two contents" in ended.stderr
    assert len(read_all("inputs")) == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["missing.jsonl"], "does not exist"),
        ([__file__, "--until", "2017-05-01"], "has no time zone"),
    ],
)
def test_wrong_use_is_said_before_anything_is_written(
    arguments: list[str], said: str, settings: Settings, read_all: ReadAll
) -> None:
    ended = load(settings, *arguments)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert read_all("inputs") == []


def test_the_brokers_clock_cannot_be_moved(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text(json.dumps(line()))
    by_broker = settings.model_copy(update={"clock": "broker"})
    ended = load(by_broker, tmp_path / "t.jsonl", "--until", "2017-05-01T00:00:00Z")
    assert ended.returncode == 2
    assert "cashback up --clock event" in " ".join(ended.stderr.replace("│", " ").split())


def test_payments_too_old_for_the_clock_of_the_brokers_are_counted_with_the_remedy(
    settings: Settings, read_all: ReadAll, tmp_path: Path
) -> None:
    path = tmp_path / "t.jsonl"
    now = datetime.now(UTC).isoformat()
    old = json.dumps(line())
    path.write_text(f"{old}\n{json.dumps(line(external_id='order-2', occurred_at=now))}\n")
    by_brokers = settings.model_copy(update={"clock": "broker"})
    ended = load(by_brokers, path)
    assert ended.returncode == 0, ended.stderr
    assert "warning: 1 of them are older than 35 days and go to the quarantine" in ended.stderr
    assert "--clock event" in ended.stderr
    assert json.loads(load(by_brokers, path, "--json").stdout)["too_old"] == 1
    assert json.loads(load(settings, path, "--json").stdout)["too_old"] == 0
