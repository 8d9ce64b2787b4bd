"""`cashback compare` as its users run it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ops.demo.grocer import PROGRAMS_FILE
from tests.streams.told import campaign, payment

CASHBACK = [sys.executable, "-c", "from ops.cli import main; main()"]


def compare(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [*CASHBACK, "compare", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=100)


def programs(path: Path, **changes: Any) -> Path:
    path.write_text(json.dumps(campaign(**changes)) + "\n")
    return path


def test_a_raised_percent_is_told_in_the_terminal_and_on_the_page_and_a_bad_line_is_named(
    tmp_path: Path,
) -> None:
    old = programs(tmp_path / "old.jsonl")
    new = programs(tmp_path / "new.jsonl", reward={"type": "percent", "bps": 150})
    transactions = tmp_path / "t.jsonl"
    transactions.write_text(json.dumps(payment("SETTLED", 10_000, "02-01")) + "\n{}\n")
    html = tmp_path / "out.html"
    ended = compare("--programs", new, "--against", old, "--transactions", transactions, "--html", html)
    assert ended.returncode == 3, ended.stderr
    assert f"{transactions}:2: " in ended.stderr
    assert "earned 1.50 EUR instead of 1.00 EUR: 0.50 EUR more (+50.0 %)" in ended.stdout
    assert "earned 1.50 EUR instead of 1.00 EUR" in html.read_text()


def test_names_are_shown_as_they_are_whatever_brackets_and_signs_they_have(tmp_path: Path) -> None:
    old = programs(tmp_path / "old.jsonl", program_id="[/red]old")
    new = programs(tmp_path / "new.jsonl", program_id=":smile: \u202enew")
    transactions = tmp_path / "t.jsonl"
    transactions.write_text(json.dumps(payment("SETTLED", 10_000, "02-01", merchant_id="[/]")) + "\n")
    ended = compare("--programs", new, "--against", old, "--transactions", transactions)
    assert ended.returncode == 0, ended.stderr
    assert "[/red]old" in ended.stdout
    assert ":smile: \\u202enew" in ended.stdout


@pytest.mark.slow
def test_the_real_year_moves_by_as_much_as_its_programs_members_and_merchants(tmp_path: Path) -> None:
    new = tmp_path / "new.yaml"
    new.write_text(
        PROGRAMS_FILE.read_text().replace("{type: percent, bps: 100}", "{type: percent, bps: 120}")
    )
    ended = compare("--programs", new, "--real-year", "--households", "10", "--json")
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    total = {line["asset"]: line["difference"] for line in found["totals"]}
    assert total["EUR"] > 0
    for name in ("programs", "merchants", "months"):
        for asset, difference in total.items():
            assert sum(line["difference"] for line in found[name] if line["asset"] == asset) == difference
    by_program = {line["name"]: line["difference"] for line in found["programs"]}
    assert by_program["one-percent"] > 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name the programs to compare with"),
        (["--against", PROGRAMS_FILE], "name a file of payments"),
        (["--real-year", "--until", "2018-01-01T00:00:00Z"], "has its own payments"),
        (
            ["--against", PROGRAMS_FILE, "--transactions", __file__, "--households", "3"],
            "goes with --real-year",
        ),
        (
            ["--against", PROGRAMS_FILE, "--transactions", __file__, "--until", "2018"],
            "is not a time",
        ),
    ],
)
def test_wrong_use_is_said_at_once(arguments: list[str | Path], said: str) -> None:
    ended = compare("--programs", PROGRAMS_FILE, *arguments)
    assert ended.returncode == 2
    assert said in " ".join(ended.stderr.replace("│", " ").split())


def test_programs_with_a_fault_are_named_and_nothing_is_compared(tmp_path: Path) -> None:
    new = programs(tmp_path / "new.jsonl", hold_days=31)
    ended = compare("--programs", new, "--real-year")
    assert ended.returncode == 3
    assert f"{new}:1: hold_days: " in ended.stderr
    assert "nothing was compared" in ended.stderr


def test_a_page_that_cannot_be_written_is_named_and_the_figures_are_not_lost(tmp_path: Path) -> None:
    old = programs(tmp_path / "old.jsonl")
    transactions = tmp_path / "t.jsonl"
    transactions.write_text(json.dumps(payment("SETTLED", 10_000, "02-01")) + "\n")
    html = tmp_path / "none" / "out.html"
    ended = compare("--programs", old, "--against", old, "--transactions", transactions, "--html", html)
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"error: {html}: cannot be written")
    assert "1 purchase of 1 member" in ended.stdout
