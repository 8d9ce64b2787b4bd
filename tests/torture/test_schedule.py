"""A seed is a schedule, and a stream of inputs."""

import json
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest

from ops.torture.battle import STRIKES
from ops.torture.faults import FORMS, Kind
from ops.torture.load import PARTNERS, payments
from ops.torture.poison import HEADER
from ops.torture.progress import Felt, Plan, Progress
from ops.torture.quorum import java_hash
from ops.torture.schedule import apportioned, schedule
from schemas.codec import decode
from schemas.errors import Rejected
from schemas.transactions import checked


def test_a_seed_replays_its_schedule_and_another_one_differs() -> None:
    counts = apportioned(200)
    assert schedule(7, counts) == schedule(7, counts)
    assert schedule(7, counts) != schedule(8, counts)


def test_every_kind_strikes_and_the_heavy_ones_more_often() -> None:
    faults = schedule(1, apportioned(210))
    struck = Counter(fault.kind for fault in faults)
    assert len(faults) == 210
    assert struck.keys() == set(Kind)
    assert struck[Kind.WORKER_KILLED] > struck[Kind.BROKER_KILLED] > struck[Kind.DISK_FULL]
    assert [fault.share for fault in faults] == sorted(fault.share for fault in faults)


def test_few_faults_are_of_the_kinds_that_matter_most() -> None:
    assert sum(apportioned(3).values()) == 3
    assert apportioned(4, (Kind.REPLAY,)) == {Kind.REPLAY: 4}


def test_every_kind_has_a_form_and_a_strike() -> None:
    assert FORMS.keys() == STRIKES.keys() == set(Kind)


def test_inputs_replay_from_their_seed_with_the_promised_poison() -> None:
    inputs = list(payments(20_000, 3))
    assert inputs[:500] == list(islice(payments(20_000, 3), 500))
    poisoned = [record for _, record in inputs if record.headers]
    assert 10 <= len(poisoned) <= 35
    for record in poisoned:
        with pytest.raises(Rejected) as refused:  # noqa: PT012 - whichever of the three refuses it
            _, datum = decode(record.value)
            if checked(datum).key != record.key:
                raise Rejected("key", "another member's", "key the message by its member")
        expected = record.headers[0][1].decode()
        assert record.headers[0][0] == HEADER
        assert (type(refused.value).__name__ == "Undecodable") is (expected == "undecodable")
    partners = {(record.key or b"").partition(b":")[0].decode() for _, record in inputs}
    assert partners == set(PARTNERS)


def test_a_run_goes_on_where_it_was_cut(tmp_path: Path) -> None:
    plan = Plan(seed=5, inputs=1_000, inputs_per_s=100, faults={Kind.REPLAY: 1, Kind.DISK_FULL: 2})
    progress = Progress.begin(tmp_path / "run", plan)
    progress.note(Felt(0, Kind.REPLAY, 0.1, 1.5, 0.0, "1,000 inputs"))
    progress.note(Felt(1, Kind.DISK_FULL, 0.2, None, 0.0, "", skipped="no disk"))
    progress.written = 500
    progress.save()
    with (tmp_path / "run" / "faults.jsonl").open("a") as file:
        file.write('{"number": 2, "ki')
    again = Progress.resume(tmp_path / "run")
    assert again.plan == plan
    assert again.felt == progress.felt
    assert (again.written, again.done, again.resumed) == (500, {0, 1}, 1)
    with pytest.raises(FileExistsError):
        Progress.begin(tmp_path / "run", plan)
    assert json.loads((tmp_path / "run" / "progress.json").read_text())["written"] == 500


def test_a_pause_beyond_the_limit_is_slow_and_a_skipped_fault_is_not() -> None:
    assert not Felt(0, Kind.WORKER_KILLED, 0.1, 15.0, 0.0, "").is_slow
    assert Felt(0, Kind.WORKER_KILLED, 0.1, 15.1, 0.0, "").is_slow
    assert not Felt(0, Kind.TWO_BROKERS_KILLED, 0.1, 59.0, 0.0, "").is_slow
    assert Felt(0, Kind.WORKER_KILLED, 0.1, None, 0.0, "", stuck="no progress").is_slow
    assert not Felt(0, Kind.CLOCK_SKEW, 0.1, None, 0.0, "", skipped="no compiler").is_slow


@pytest.mark.parametrize(("text", "code"), [("", 0), ("hello", 99_162_322), ("polygenelubricants", 0)])
def test_coordinators_are_found_by_javas_hash(text: str, code: int) -> None:
    assert java_hash(text) == code
