"""What `cashback simulate` says of files with something wrong in them; `ops/docs` shows what it decides."""

import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from ops.cli import build
from schemas.errors import Rejected
from tests.streams.told import campaign, clip, deal, payment

EURO = payment("SETTLED", 1000, "02-01")


def simulated(
    tmp_path: Path,
    programs: list[dict[str, Any]],
    transactions: str,
    entitlements: bytes = b"",
    events: str = "-",
) -> Result:
    """Runs the command over files of these contents; its output tells of them without their folder."""
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(form) + "\n" for form in programs))
    (tmp_path / "t.jsonl").write_text(transactions)
    (tmp_path / "e.jsonl").write_bytes(entitlements)
    files = [f"--{name}={tmp_path / name[0]}.jsonl" for name in ("programs", "transactions", "entitlements")]
    return CliRunner().invoke(build("simulate"), ["simulate", *files, f"--events={events}"])


def complaints(result: Result) -> list[str]:
    """What was told on stderr, by file, line and field."""
    return [line.rpartition("/")[2].split(";")[0] for line in result.stderr.splitlines()]


def test_an_entitlement_line_that_is_no_json_is_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    lines = [
        b'{"kind": ',
        b"",
        b'{"kind": "\xff"}',
        json.dumps(clip(member_id="x\u2028"), ensure_ascii=False).encode(),
    ]
    said = b"\n".join([*lines, json.dumps(clip()).encode()])
    result = simulated(tmp_path, [deal()], json.dumps(EURO), said)
    assert result.exit_code == 3
    assert [told.split(": not")[0] for told in complaints(result)] == ["e.jsonl:1: line", "e.jsonl:3: line"]
    assert '"clip_id":"c1"' in result.stdout


def test_a_conflict_is_named_by_its_line_in_the_file_blank_lines_counted(tmp_path: Path) -> None:
    other = {**EURO, "amount_minor": 2000}
    result = simulated(tmp_path, [campaign()], f"\n{json.dumps(EURO)}\n\n{json.dumps(other)}\n")
    assert result.exit_code == 0
    assert complaints(result)[0].startswith("t.jsonl:4: SETTLED of t1")


def test_a_contradicting_program_is_told_once_by_its_line_and_left_out(tmp_path: Path) -> None:
    changed = campaign(reward={"type": "flat", "amount": 7})
    dollars = campaign(version=2, currency="USD")
    result = simulated(tmp_path, [campaign(), changed, dollars], json.dumps(EURO))
    assert result.exit_code == 3
    assert complaints(result) == [
        "p.jsonl:2: version: one-percent version 1 comes with two contents",
        "p.jsonl:3: currency: one-percent version 2 changes currency or unit",
    ]
    assert '"amount":10,' in result.stdout


def test_a_place_where_nothing_can_be_written_is_named(tmp_path: Path) -> None:
    result = simulated(tmp_path, [campaign()], json.dumps(EURO), events=str(tmp_path / "none" / "out.jsonl"))
    assert isinstance(result.exception, Rejected)
    assert "out.jsonl: cannot be written" in str(result.exception)


def test_a_file_without_a_program_is_told(tmp_path: Path) -> None:
    result = simulated(tmp_path, [], json.dumps(EURO))
    assert result.exit_code == 0
    assert result.stdout == ""
    assert complaints(result) == ["p.jsonl: it holds no program, so nothing can earn under it"]


def test_a_refund_whose_purchase_never_came_is_no_conflict(tmp_path: Path) -> None:
    refund = payment("REFUNDED", 500, "02-01", external_id="nix")
    later = payment("SETTLED", 1000, "06-01")
    result = simulated(tmp_path, [campaign()], f"{json.dumps(refund)}\n{json.dumps(later)}\n")
    assert result.exit_code == 0
    assert complaints(result) == ["t.jsonl:1: REFUNDED of nix: its purchase never came"]
    assert result.stderr.startswith("without a purchase: ")


def test_a_field_that_is_misspelt_is_told_by_its_right_name(tmp_path: Path) -> None:
    form = campaign()
    form["hold_dyas"] = form.pop("hold_days")
    result = simulated(tmp_path, [form], json.dumps(EURO))
    assert result.exit_code == 3
    assert "hold_dyas: extra inputs are not permitted; did you mean hold_days?" in result.stderr
