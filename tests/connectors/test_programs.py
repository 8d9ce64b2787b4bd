"""`cashback programs` on a real broker, as its users run it."""

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from connectors.writer import InputsWriter
from ops.cli import main
from ops.programs.catalogue import read_catalogue
from ops.programs.publish import PublishedTwice, prepare, publish
from ops.settings import Settings, get_settings
from schemas.codec import decode
from schemas.program_files import read_programs, to_yaml
from schemas.programs import ProgramSpec, from_datum
from tests.connectors.conftest import ReadAll
from tests.connectors.payments import payment
from tests.eventually import eventually
from tests.ops.published import percent, program

PARTITIONS = 3
WAIT_S = 30.0


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it said."""

    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Ended]


@pytest.fixture
def programs(
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Run]:
    """Runs `cashback programs COMMAND`; a list of programs becomes a file."""

    def run(command: str, *arguments: str | list[ProgramSpec], **more: str) -> Ended:
        given = ["cashback", "programs", command]
        for argument in arguments:
            if isinstance(argument, list):
                (tmp_path / "p.yaml").write_text(to_yaml(argument))
                given.append(str(tmp_path / "p.yaml"))
            else:
                given.append(argument)
        here = {"BROKERS": settings.brokers, "TOPIC_PREFIX": settings.topic_prefix, "CLOCK": settings.clock}
        with monkeypatch.context() as patched:
            patched.setattr(sys, "argv", given)
            for name, value in (here | more).items():
                patched.setenv(f"CASHBACK_{name}", value)
            get_settings.cache_clear()
            with pytest.raises(SystemExit) as ended:
                main()
        said = capsys.readouterr()
        return Ended(int(ended.value.code or 0), said.out, said.err)

    yield run
    get_settings.cache_clear()


def written(read_all: ReadAll) -> list[tuple[int | None, bytes | None]]:
    """Partition and key of every record of `inputs`."""
    return [(record.partition(), record.key()) for record in read_all("inputs")]


FIRST = program("one")
SECOND = program("one", version=2, effective_from="2026-03-01T00:00:00Z", reward=percent(200))
OTHER = program("other", member_limit={"count": 3, "period": "day"})


def test_new_versions_reach_every_partition_and_the_catalogue_and_only_once(
    programs: Run, read_all: ReadAll, settings: Settings
) -> None:
    dry = programs("apply", [FIRST, OTHER], "--dry-run")
    assert (dry.returncode, "2 versions to apply" in dry.stdout) == (0, True), dry
    assert written(read_all) == []

    ended = programs("apply", [FIRST, OTHER], "--json")
    assert ended.returncode == 0, ended.stderr
    said = json.loads(ended.stdout)
    assert (said["applied"], said["partitions"]) == (True, PARTITIONS)
    assert [each["outcome"] for each in said["programs"]] == ["added", "added"]
    assert written(read_all) == [(p, key) for p in range(PARTITIONS) for key in (b"one:1", b"other:1")]
    assert {from_datum(decode(record.value())[1]).key for record in read_all("inputs")} == {
        b"one:1",
        b"other:1",
    }
    assert read_catalogue(settings).programs == [FIRST, OTHER]

    again = programs("apply", [FIRST, SECOND])
    assert again.returncode == 0, again.stderr
    assert "1 version applied to 3 partitions and the catalogue, 1 unchanged" in again.stdout
    assert "replaces version 1" in again.stdout
    assert [key for _, key in written(read_all)].count(b"one:2") == PARTITIONS
    assert len(written(read_all)) == 3 * PARTITIONS

    nothing = programs("apply", [FIRST, SECOND])
    assert (nothing.returncode, "0 versions to apply, 2 unchanged" in nothing.stdout) == (0, True), nothing
    assert len(written(read_all)) == 3 * PARTITIONS


def test_nothing_is_applied_by_half(programs: Run, read_all: ReadAll, tmp_path: Path) -> None:
    programs("apply", [FIRST])
    before = written(read_all)
    changed, dollars = program("one", hold_days=20), program("one", version=3, currency="USD")
    for wrong, said in ((changed, "comes with two contents"), (dollars, "changes currency or unit")):
        ended = programs("apply", [OTHER, wrong])
        assert ended.returncode == 1
        assert f"{tmp_path / 'p.yaml'}:" in ended.stderr
        assert said in ended.stderr
        assert "nothing was applied" in ended.stderr

    path = tmp_path / "wrong.yaml"
    path.write_text(to_yaml([OTHER, SECOND]).replace("bps: 200", "bps: 20.5"))
    ended = programs("apply", str(path))
    assert ended.returncode == 3
    assert f"{path}:20: reward.bps: " in ended.stderr, ended.stderr
    assert written(read_all) == before


def test_what_the_input_log_does_not_take_does_not_stand_in_the_catalogue(
    programs: Run, settings: Settings
) -> None:
    take_at_most(10, "inputs", settings)
    refused, ended = first_that_fails(programs)
    assert "then repeat the command" in ended.stderr
    assert refused not in read_catalogue(settings).programs


def test_what_a_failure_left_out_of_the_catalogue_is_mended_by_the_same_command(
    programs: Run, read_all: ReadAll, settings: Settings
) -> None:
    take_at_most(10, "programs", settings)
    left_out, ended = first_that_fails(programs)
    assert "then repeat the command" in ended.stderr
    assert left_out not in read_catalogue(settings).programs
    assert {p for p, key in written(read_all) if key == left_out.key} == set(range(PARTITIONS))

    take_at_most(1_000_000, "programs", settings)
    eventually(lambda: programs("apply", [left_out, OTHER]).returncode == 0, timeout_s=WAIT_S)
    assert left_out in read_catalogue(settings).programs
    assert [key for _, key in written(read_all)].count(OTHER.key) >= PARTITIONS


def first_that_fails(programs: Run) -> tuple[ProgramSpec, Ended]:
    """Applies one program after another until one fails: a broker is not told of its limit at once."""
    numbers = count()

    def fails() -> tuple[ProgramSpec, Ended] | None:
        spec = program(f"p{next(numbers)}")
        ended = programs("apply", [spec])
        return (spec, ended) if ended.returncode == 1 else None

    failed = eventually(fails, timeout_s=WAIT_S)
    assert failed is not None
    return failed


def take_at_most(size: int, topic: str, settings: Settings) -> None:
    """Let a topic take records of at most so many bytes."""
    admin = AdminClient({"bootstrap.servers": settings.brokers})
    entry = ConfigEntry("max.message.bytes", str(size), incremental_operation=AlterConfigOpType.SET)
    named = ConfigResource(ResourceType.TOPIC, settings.topic_prefix + topic, incremental_configs=[entry])
    admin.incremental_alter_configs([named])[named].result()


def test_two_who_publish_at_once_are_told(settings: Settings) -> None:
    mine, theirs = program("one", hold_days=20), program("one", hold_days=21)
    euros, dollars = OTHER, program("other", version=2, currency="USD")
    first, second = prepare(settings, [mine, euros], 0), prepare(settings, [theirs, dollars], 0)
    assert publish(settings, first) == PARTITIONS
    with pytest.raises(
        PublishedTwice, match=r"one version 1, other version 2: .*publish it as a new version"
    ):
        publish(settings, second)
    found = read_catalogue(settings)
    assert (found.programs, found.contested) == ([mine, euros, dollars], [mine])


def test_show_tells_versions_by_the_clock_of_the_log_and_gives_a_file_back(
    programs: Run, settings: Settings, tmp_path: Path
) -> None:
    programs("apply", [FIRST, SECOND, OTHER])
    assert states(programs("show", "--json")) == {"one 1": "coming", "one 2": "coming", "other 1": "coming"}
    with InputsWriter(settings) as writer:
        writer.write(payment(occurred_at="2026-02-01T00:00:00Z"))
    # Programs carry no clock of their own, however many come after the payment.
    with InputsWriter(settings) as writer:
        writer.write_programs([OTHER] * 101)
    assert states(programs("show", "--json")) == {
        "one 1": "in force",
        "one 2": "coming",
        "other 1": "in force",
    }
    later = states(programs("show", "one", "--at", "2026-03-01T00:00:00Z", "--json"))
    assert later == {"one 1": "past", "one 2": "in force"}
    table = programs("show").stdout
    assert all(word in table for word in ("one", "other", "in force", "coming", "2 programs, 3 versions"))

    path = tmp_path / "shown.yaml"
    path.write_text(programs("show", "one").stdout)
    assert read_programs(path).programs == [FIRST, SECOND]
    path.write_text(programs("show", "one", "--version", "2").stdout)
    assert read_programs(path).programs == [SECOND]
    assert "no program two" in programs("show", "two").stderr
    assert "published: 1, 2" in programs("show", "one", "--version", "3").stderr


def states(ended: Ended) -> dict[str, str]:
    """The state of each version."""
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)["programs"]
    return {f"{each['program_id']} {each['version']}": each["state"] for each in found}


def test_diff_shows_what_would_change_and_answers_by_its_exit_code(programs: Run) -> None:
    programs("apply", [FIRST])
    same = programs("diff", [FIRST])
    assert (same.returncode, same.stdout) == (0, "")
    differs = programs("diff", [SECOND])
    assert differs.returncode == 1
    assert differs.stdout.splitlines()[2:] == ["-reward.bps: 100", "+reward.bps: 200"]
    refused = programs("diff", [program("one", hold_days=20)], "--json")
    assert refused.returncode == 1
    assert json.loads(refused.stdout)["programs"][0]["differences"] == ["-hold_days: 14", "+hold_days: 20"]
    nobody = programs("diff", [SECOND], "--brokers", "127.0.0.1:1")
    assert (nobody.returncode, "no Kafka at" in nobody.stderr) == (2, True), nobody


def test_lint_beside_what_is_published(programs: Run) -> None:
    programs("apply", [FIRST])
    at = ("--at", "2025-12-01T00:00:00Z")
    alone = programs("lint", [program("two")], *at)
    assert (alone.returncode, alone.stdout) == (0, "nothing to say\n")
    beside = programs("lint", [program("two")], "--published", "--json", *at)
    assert beside.returncode == 1
    (found,) = json.loads(beside.stdout)["findings"]
    assert (found["code"], found["others"], found["line"]) == ("tie", ["one"], 1)


def test_late_programs_are_applied_with_a_warning(programs: Run) -> None:
    ended = programs("apply", [program("one", valid_from="2020-01-01T00:00:00Z")], CLOCK="broker")
    assert ended.returncode == 0
    assert ": warning: one version 1 is in force since 2020-01-01T00:00:00Z, which is past" in ended.stderr


def test_a_topic_that_is_not_there_is_said_with_the_remedy(programs: Run) -> None:
    ended = programs("show", TOPIC_PREFIX="nobody-")
    assert ended.returncode == 1
    assert "there is no topic nobody-programs; create it with `cashback topics --create`" in ended.stderr
