"""The comparison with peers: the same step everywhere, judged by what came out, and nothing made up."""

from collections import Counter
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import NewTopic

from ops.bench.measure import Measured
from ops.bench.peers import run
from ops.bench.peers.crew import schedule
from ops.bench.peers.judge import Outcome, StateError, outcome, state_error
from ops.bench.peers.programs import Program, programs
from ops.bench.peers.report import Run, report
from ops.bench.peers.run import Plan, bench_peers
from ops.bench.peers.step import STATE, Given, create_topics, has_compiled_codec, payments, step_with
from ops.embedded.children import StartError
from ops.settings import Settings

EXACT = Outcome(outputs=10, lost=0, doubled=0, miscounted=0)


def test_a_payment_is_of_the_size_that_is_stated() -> None:
    sizes = [len(value) for _, value in payments(500)]
    assert sum(sizes) / len(sizes) == pytest.approx(244, abs=1)


@pytest.mark.skipif(not has_compiled_codec(), reason="the package was built without a C compiler")
def test_both_codecs_take_the_same_step() -> None:
    compiled, fastavro = step_with("compiled"), step_with("fastavro")
    rows: dict[bytes, bytes] = {}
    for key, value in payments(300, members=20):
        row, reward = compiled(value, rows.get(key))
        assert (row, reward) == fastavro(value, rows.get(key))
        rows[key] = row
    assert Counter(key for key, _ in payments(300, members=20)) == {
        key: STATE.unpack(row)[0] for key, row in rows.items()
    }


def test_what_was_lost_doubled_and_miscounted_is_told_apart(broker: str, topic_prefix: str) -> None:
    outputs, changelog = f"{topic_prefix}outputs", f"{topic_prefix}changelog"
    create_topics(broker, NewTopic(outputs, 4, 1), NewTopic(changelog, 4, 1))
    producer = Producer({"bootstrap.servers": broker})
    step, given = step_with("fastavro"), Given()
    rows: dict[bytes, bytes] = {}
    for number, (key, value) in enumerate(payments(200, members=10)):
        given.payments += 1
        given.by_member[key] += 1
        rows[key], reward = step(value, rows.get(key))
        for _ in range((1, 0, 2)[min(number, 2)] if number < 3 else 1):
            producer.produce(outputs, reward, key)
    over, under = list(rows)[:2]
    rows[over] = STATE.pack(given.by_member[over] + 3, 0)
    rows[under] = STATE.pack(given.by_member[under] - 1, 0)
    for key, row in rows.items():
        producer.produce(changelog, row, key)
    producer.flush(10)
    found = outcome(broker, outputs, given)
    assert (found.outputs, found.lost, found.doubled) == (200, 1, 1)
    assert found.miscounted in (1, 2)
    assert state_error(broker, changelog, given) == StateError(1, 3, 1, 1)


def test_ours_and_the_bare_loop_are_measured_over_the_same_log(broker: str) -> None:
    plan = Plan(
        records=10_000,
        repeat=1,
        commit_interval_ms=50,
        warm_up=0,
        only=("ours_fastavro", "bare_loop"),
        brokers=broker,
    )
    figures = bench_peers(plan, Settings()).as_json()
    for name in plan.only:
        assert figures[name]["events_per_s"] > 0
        assert figures[name]["cpu_s_per_million"] > 1
        assert figures[name]["exact"] is True
    assert list(figures["ours_per_cpu_second_against"]) == ["bare_loop"]
    assert figures["skipped"] == {}


def test_a_program_that_cannot_run_here_is_left_out_with_the_reason(
    broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(*_: object) -> tuple[str, ...]:
        raise StartError("there is no Java here")

    monkeypatch.setattr(run, "programs", lambda: {"absent": Program(absent)})
    said: list[str] = []
    figures = bench_peers(
        Plan(records=1_000, repeat=2, brokers=broker), Settings(), say=said.append
    ).as_json()
    assert figures["absent"] is None
    assert figures["skipped"] == {"absent": "there is no Java here"}
    assert len(said) == 1


def measured(cpu_s_per_million: float) -> Run:
    return Run(Measured(records=1_000_000, seconds=10, cpu_seconds=cpu_s_per_million, rss_mb=90), EXACT)


def test_the_median_stands_for_each_and_ratios_are_of_events_a_cpu_second() -> None:
    known = programs()
    runs = {"ours_fastavro": [measured(8), measured(12), measured(10)], "quix": [measured(50)]}
    figures = report(1_000_000, 500, known, runs, {}).as_json()
    assert figures["ours_fastavro"]["cpu_s_per_million"] == 10
    assert figures["ours_per_cpu_second_against"] == {"quix": 5.0}
    assert [each["cpu_s_per_million"] for each in figures["runs"]["ours_fastavro"]] == [8, 12, 10]


@pytest.mark.parametrize("seed", range(20))
def test_strikes_come_from_the_seed_and_leave_zombies_to_wake(seed: int) -> None:
    options = {"seconds": 60.0, "kills": 6, "zombies": 2, "stopped_s": 15.0, "workers": 2}
    strikes = schedule(seed, **options)  # type: ignore[arg-type]
    assert strikes == schedule(seed, **options)  # type: ignore[arg-type]
    assert [strike.at_s for strike in strikes] == sorted(strike.at_s for strike in strikes)
    assert all(0 <= strike.at_s <= 48 for strike in strikes)
    zombies = [strike for strike in strikes if strike.stopped_s is not None]
    kills = [strike for strike in strikes if strike.stopped_s is None]
    assert (len(zombies), len(kills)) == (2, 6)
    assert zombies[0].at_s + 15 <= zombies[1].at_s + 1e-9
    for zombie in zombies:
        assert not any(kill.worker == zombie.worker and 0 <= kill.at_s - zombie.at_s <= 15 for kill in kills)


def test_the_programs_of_other_makers_are_there_to_be_run() -> None:
    here = Path(run.__file__).parent
    for name in ("KafkaStreamsStep.java", "quix_streams.py", "quix-requirements.txt"):
        assert (here / name).is_file()
