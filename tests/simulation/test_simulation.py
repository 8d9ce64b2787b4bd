"""Ten thousand histories hold every rule; they go through all they should; a seed replays exactly."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

import pytest
from typer.testing import CliRunner

from ops.cli import build
from ops.simulation import checks, world
from ops.simulation.arrivals import LATEST, payments
from ops.simulation.history import BEGINNINGS
from ops.simulation.shrink import shrink
from ops.simulation.story import story
from ops.simulation.sweep import Report, attempt, run_seeds, sweep
from ops.simulation.worker import Worker
from ops.simulation.world import World

JOBS = os.cpu_count() or 1

KINDS = (
    # what is said
    *("payment", "tick", "program", "program in mid-log", "poison", "out of order"),
    *("entitlement", "entitlement_repeated", "entitlement_conflict"),
    *("revocation", "revoked", "revocation_case", "revocation_repeated", "revocation_refused"),
    *("reversal", "reversal_approved", "reversal_declined", "reversal_repeated", "reversal_refused"),
    *("parked decision", "parked_discarded", "parked_requeued", "discarded"),
    *("parked_decision_repeated", "parked_decision_refused"),
    *("clock behind", "damaged clock"),
    # what becomes of it
    *("judged", "applied", "duplicate", "conflict", "untimely", "joined", "misplaced", "expired", "parked"),
    *("over_refunded", "created", "cleared", "reverted", "pending", "cases", "slice of what is due"),
    # what befalls those who decide
    *("crash", "crash: fence", "crash: fenced", "crash: restore", "crash: group offset"),
    *("group told", "crash: offset to tell"),
    *("crash: commit", "crash: flushed", "crash: decided", "exception at a record", "pause", "planned stop"),
    *("rebalance", "zombie", "opening cancelled", "restore", "state kept through a rebalance"),
    *("state kept on disk", "disk damaged"),
    *("exit fenced", "exit fold_failed", "exit batch_lost", "exit transaction_failed"),
    # what Kafka does to them
    *("torn: state and outputs", "torn: state only", "torn: outputs only", "transaction expired"),
    *("answer lost", "retriable error", "queue full", "delivery failed", "compaction", "interlude"),
    *("redelivery", "records dropped as known", "stale batch dropped", "batch lost", "early end"),
)


@pytest.fixture(scope="module")
def two_thousand() -> Report:
    return sweep(0, 2_000, jobs=JOBS)


@pytest.mark.timeout(600)
def test_every_kind_of_thing_happens_within_two_thousand_histories(two_thousand: Report) -> None:
    assert [kind for kind in KINDS if not two_thousand.counts[kind]] == []


@pytest.mark.timeout(600)
def test_a_thousand_histories_hold_every_rule() -> None:
    assert [str(violation) for violation in sweep(0, 1_000, violations_max=1).violations] == []


class Overtaken(World):
    """A worker has restored a partition; before it looks at the group's offset, another owner commits."""

    def reached(self, worker: Worker, place: str) -> None:
        super().reached(worker, place)
        if place != "group offset" or self.counts["overtaken"]:
            return
        self.counts["overtaken"] += 1
        worker.lost_session = True
        new = self.start_worker()
        self.owner = dict.fromkeys(self.owner, new)
        new.assign(self.owner)
        before = self.counts["commit"]
        for step in range(500):
            new.step(step % len(self.owner))
            if self.counts["commit"] > before + len(self.owner):
                break
        for _ in range(5):
            new.tell_group()


def test_a_new_owners_commit_is_not_taken_for_lost_state() -> None:
    worlds = [Overtaken(seed, faults=0) for seed in range(30)]
    assert [violation for world in worlds if (violation := attempt(world))] == []
    assert sum(world.counts["exit fenced"] for world in worlds) > 15


@pytest.mark.parametrize("seed", [572_675, 604_153, 928_228])
def test_nothing_arrives_after_its_purchase_is_forgotten(seed: int) -> None:
    assert attempt(World(seed)) is None


@pytest.mark.parametrize("seed", [5_214_721, 5_752_429])
def test_a_stamp_is_not_lost_with_a_redemption_that_was_undone(seed: int) -> None:
    assert attempt(World(seed)) is None


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ten_thousand_histories_hold_every_rule(two_thousand: Report) -> None:
    rest = sweep(2_000, 8_000, jobs=JOBS)
    assert [str(violation) for violation in two_thousand.violations + rest.violations] == []
    assert two_thousand.histories + rest.histories == 10_000


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_histories_with_state_on_a_real_disk_hold_every_rule(tmp_path: Path) -> None:
    kept = 0
    for seed in range(40):
        world = World(seed, state_directory=tmp_path / str(seed))
        assert attempt(world) is None
        kept += world.counts["state kept on disk"]
    assert kept > 0


def test_a_seed_replays_exactly() -> None:
    first, second = World(17, traced=True), World(17, traced=True)
    first.run()
    second.run()
    assert story(first) == story(second)
    assert first.counts == second.counts


def test_a_seed_is_the_same_history_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = run_seeds(0, 50).counts
    monkeypatch.setenv("CASHBACK_PARKED_DAYS", "20")
    monkeypatch.setenv("CASHBACK_MAX_AGE_DAYS", "7")
    world._settings.cache_clear()
    assert run_seeds(0, 50).counts == expected


def test_seeds_add_up_however_they_are_divided() -> None:
    whole = run_seeds(100, 40)
    parts = run_seeds(100, 25)
    parts.add(run_seeds(125, 15))
    assert (parts.counts, parts.inputs, parts.histories) == (whole.counts, whole.inputs, whole.histories)


def test_a_broken_rule_is_found_made_small_and_replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(checks.FATES_SET_ASIDE, "conflict", "parked_too_long")
    found = run_seeds(0, 40).violations
    assert found
    assert {violation.rule for violation in found} == {"I3"}
    smallest = shrink(found[0].seed)
    assert smallest is not None
    assert smallest.faults == 0
    assert smallest.world.inputs < World(found[0].seed).inputs
    again = CliRunner().invoke(build("simulation"), smallest.replay.split()[1:])
    assert again.exit_code == 1
    assert smallest.violation.story in again.output


def test_a_sound_seed_is_retold_with_its_steps() -> None:
    told = CliRunner().invoke(build("simulation"), ["simulation", "--seed", "3"])
    assert told.exit_code == 0
    assert "log of partition 0:" in told.output
    assert "all rules hold" in told.output


def test_no_payment_is_said_after_its_purchase_is_forgotten() -> None:
    latest = 0
    for seed in range(300):
        rng = Random(seed)
        said = payments(lambda: rng.choice((0.1, 0.3, 0.99)), BEGINNINGS[0], 2)  # noqa: B023
        latest = max(latest, max(item.at for item in said) - BEGINNINGS[0])
    assert latest == LATEST  # reached, and not passed
