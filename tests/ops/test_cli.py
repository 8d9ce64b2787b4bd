"""The command line is quick to answer and speaks plainly."""

import importlib
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from ops.cli import COMMANDS, EXPECTED, build


def cashback(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the real command."""
    program = f"import os, sys; os.environ.update({environment!r}); from ops.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=60
    )


def test_help_names_every_command_without_importing_them() -> None:
    program = (
        "import sys; sys.argv = ['cashback', '--help']\n"
        "from ops.cli import main\n"
        "try: main()\n"
        "finally: print(sorted({'confluent_kafka', 'pydantic', 'faust', 'psycopg'} & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)

    assert all(name in answer.stdout for name in COMMANDS)
    assert answer.stdout.endswith("[]\n")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_can_be_loaded_and_explains_itself(name: str) -> None:
    answer = CliRunner().invoke(build(name), [name, "--help"])

    assert answer.exit_code == 0
    assert "Usage" in answer.stdout


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_every_expected_error_exists(name: str) -> None:
    module, _, kind = name.rpartition(".")
    assert issubclass(getattr(importlib.import_module(module), kind), Exception)


def test_a_server_that_does_not_answer_is_said_in_one_line() -> None:
    answer = cashback("migrate", "--database", "postgresql://c:hunter2@127.0.0.1:1/c")

    assert answer.returncode == 1
    assert answer.stderr.startswith("error: PostgreSQL: ")
    assert answer.stderr.count("\n") == 1
    assert "hunter2" not in answer.stderr


def test_an_unknown_command_is_wrong_use() -> None:
    answer = cashback("dance")
    assert answer.returncode == 2
    assert "dance" in answer.stderr


def test_a_wrong_variable_is_named_with_its_problem() -> None:
    answer = cashback("topics", CASHBACK_PARTITIONS="none")

    assert answer.returncode == 1
    assert answer.stderr.startswith("error: CASHBACK_PARTITIONS: ")
    assert "Traceback" not in answer.stderr


def test_a_variable_with_nearly_the_name_of_a_setting_is_refused_and_any_other_is_let_be() -> None:
    answer = cashback("topics", CASHBACK_PARTITION="4", CASHBACK_SERVICE_HOST="10.0.0.1")

    assert answer.returncode == 1
    assert answer.stderr == (
        "error: CASHBACK_PARTITION: no such setting; "
        "if you mean CASHBACK_PARTITIONS, rename it, else unset it\n"
    )


@pytest.mark.parametrize(
    ("wrong", "code", "said"),
    [
        (("peers", "--only", "nobody"), 1, "error: nothing here is called nobody: choose of ours"),
        (("control", "--only", "nobody"), 1, "error: nothing here is called nobody: choose of ours"),
        (("scaling", "--workers", "0"), 1, "error: 0 workers do no work: give numbers from 1"),
        (("scaling", "--workers", "one"), 2, "Usage: "),
    ],
)
def test_a_bench_that_cannot_be_is_refused_before_anything_starts(
    wrong: tuple[str, ...], code: int, said: str
) -> None:
    answer = cashback("bench", *wrong)

    assert answer.returncode == code
    # What starts says so first: nothing was said before the refusal.
    assert answer.stderr.startswith(said)
