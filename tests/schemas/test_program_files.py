"""Program files: every wrong field is named with its path and line, and nothing is read as another value."""

from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ops.simulation.programs import STARTS, program_versions
from schemas.program_files import ProgramFile, read_programs, to_yaml
from schemas.programs import parse_program

LADDER = """\
# two programs
- program_id: ladder
  version: 1
  type: campaign
  currency: EUR
  valid_from: 2026-01-01T00:00:00Z
  hold_days: 14
  reward:
    type: tiered
    brackets:
      - up_to_minor: 2000
        reward: {type: flat, amount: 50}
      - reward:
          type: percent
          bps: 100
- {program_id: flat, version: 1, type: campaign, currency: EUR, valid_from: 2026-01-01T00:00:00Z,
   hold_days: 14, reward: {type: flat, amount: 50}}
"""
FLAT_LINE = (
    '{"program_id":"flat","version":%d,"type":"campaign","currency":"%s",'
    '"valid_from":"2026-01-01T00:00:00Z","hold_days":14,"reward":{"type":"flat","amount":50}}'
)


def read(directory: Path, text: str | bytes, name: str = "p.yaml") -> ProgramFile:
    path = directory / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_programs(path)


def faults(found: ProgramFile) -> list[tuple[int, str]]:
    return [(fault.line, fault.reason.field) for fault in found.faults]


@pytest.mark.parametrize(
    ("written", "wrong", "fault"),
    [
        ("hold_days: 14", "hold_days: 31", (7, "hold_days")),
        ("amount: 50}\n      -", "amount: -1}\n      -", (12, "reward.brackets.0.reward.amount")),
        ("bps: 100", "bps: 1.5", (15, "reward.brackets.1.reward.bps")),
        ("bps: 100", "bsp: 100", (13, "reward.brackets.1.reward.bps")),
        ("      - up_to_minor: 2000\n        reward", "      - reward", (8, "reward")),
        ("  valid_from: 2026-01-01T00:00:00Z\n", "", (2, "valid_from")),
        # in YAML 1.1 this is 64
        ("amount: 50}}\n", "amount: 0100}}\n", (17, "reward.amount")),
        ("amount: 50}}\n", "amount: 08}}\n", (17, "reward.amount")),
        ("hold_days: 14\n", "hold_days: 14\n  hold_days: 0\n", (8, "file")),
        ("hold_days: 14\n", "hold_days: !!timestamp 14\n", (7, "file")),
        ("hold_days: 14\n", "hold_days: !!int 8h\n", (2, "file")),
        ("hold_days: 14\n", "? [hold, days]\n  : 14\n", (7, "file")),
    ],
)
def test_a_wrong_field_of_a_yaml_file_is_named_with_its_line_and_the_rest_is_read(
    written: str, wrong: str, fault: tuple[int, str], tmp_path: Path
) -> None:
    assert [program.program_id for program in read(tmp_path, LADDER).programs] == ["ladder", "flat"]
    found = read(tmp_path, LADDER.replace(written, wrong, 1))
    assert fault in faults(found)
    assert len(found.programs) == 1
    assert all(fault.reason.remedy for fault in found.faults)


def test_what_is_missing_is_said_once(tmp_path: Path) -> None:
    assert faults(read(tmp_path, LADDER.replace("  valid_from: 2026-01-01T00:00:00Z\n", ""))) == [
        (2, "valid_from")
    ]


def test_a_list_of_a_billion_items_in_ten_lines_is_named_in_few_words(tmp_path: Path) -> None:
    lines = ["- &a0 [x, x, x, x, x, x, x, x]"]
    lines += [f"- &a{depth} [{', '.join([f'*a{depth - 1}'] * 8)}]" for depth in range(1, 10)]
    found = read(tmp_path, "\n".join(lines))
    assert len(found.faults) == len(lines)
    assert max(len(str(fault.reason)) for fault in found.faults) < 600


@pytest.mark.parametrize(
    "text", [b"\xff\xfe", "[" * 600, "- {a: b", "a: 1\n---\nb: 2", "- 1", "- &x {a: *x}", "- {a: !!bool x}"]
)
def test_what_is_no_list_of_programs_is_said_and_not_raised(text: str | bytes, tmp_path: Path) -> None:
    found = read(tmp_path, text)
    assert found.faults
    assert found.programs == []


@pytest.mark.parametrize(
    "line", ["{", "[" * 100_000, "[]", "null", FLAT_LINE % (1, "EUR") + "x", '{"version":1,"version":2}']
)
def test_a_bad_line_of_json_is_named_and_the_rest_is_read(line: str, tmp_path: Path) -> None:
    found = read(tmp_path, "\n".join([FLAT_LINE % (1, "EUR"), "", line, FLAT_LINE % (2, "EUR")]), "p.jsonl")
    assert {number for number, _ in faults(found)} == {3}
    assert [program.version for program in found.programs] == [1, 2]


def test_a_text_may_hold_what_other_files_take_for_the_end_of_a_line(tmp_path: Path) -> None:
    line = (FLAT_LINE % (1, "EUR")).replace("flat", "fl\u2028at", 1)
    assert [p.program_id for p in read(tmp_path, line, "p.jsonl").programs] == ["fl\u2028at"]


def test_versions_that_contradict_each_other_are_named_where_the_later_stands(tmp_path: Path) -> None:
    lines = [FLAT_LINE % (1, "EUR"), FLAT_LINE % (1, "EUR"), FLAT_LINE % (2, "GBP")]
    lines.append((FLAT_LINE % (1, "EUR")).replace("50", "51"))
    found = read(tmp_path, "\n".join(lines), "p.jsonl")
    assert faults(found) == [(3, "currency"), (4, "version")]
    assert len(found.programs) == 2


ODD = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=12) | st.sampled_from(
    ["0100", "08", "1.5", "-1", "true", "null", "~", "2026-01-01", "1_000", "0x1f", "<<", "=", "18:00", "- a"]
)


@settings(max_examples=50, deadline=None)
@given(rng=st.randoms(use_true_random=False), odd=ODD)
def test_what_is_written_reads_back_the_same(
    rng: Random, odd: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    forms = program_versions(rng, odd, STARTS[0])
    programs = [parse_program(form | {"merchant_ids": [odd, "shop"]}) for form in forms]
    path = tmp_path_factory.getbasetemp() / "round.yaml"
    path.write_text(to_yaml(programs), encoding="utf-8")
    found = read_programs(path)
    assert found.faults == []
    assert found.programs == programs
