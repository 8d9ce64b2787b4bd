"""People decide about refunds that wait for their purchase: the real commands on a running system."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from connectors.quarantine import Desk
from connectors.writer import InputsUnavailable, InputsWriter
from ops.commands import parked, speaking
from ops.partitions.grow import grow
from ops.quarantine.answers import Said
from ops.quarantine.deciding import write
from ops.settings import Settings
from schemas.programs import parse_program
from schemas.times import DAY, from_iso
from schemas.transactions import from_json
from tests.e2e.bad_inputs import AT, payment, program
from tests.e2e.pipeline import Pipeline
from tests.e2e.test_quarantine import cashback, events
from tests.e2e.test_rebuild import directory
from tests.e2e.test_why import lives
from tests.e2e.watch import INPUT, Watch
from tests.eventually import eventually
from tests.histories import iso

WORKER = "worker-1"
WAIT_S = 60.0
WHY = ("--actor", "ann", "--reason", "sent by mistake")
START = from_iso(AT, "at")
NAMES = ("gone", "late", "came", "slow", "torn", "left")


@pytest.fixture
def pipeline(settings: Callable[..., Settings], tmp_path: Path) -> Iterator[Pipeline]:
    """A running system where a refund waits for each purchase of these names."""
    with Pipeline(settings(clock="event"), tmp_path) as running:
        running.start(WORKER, "places")
        with InputsWriter(running.settings) as writer:
            writer.write_program(parse_program(program(hold_days=30)))
            for name in NAMES:
                writer.write(from_json(payment(name, kind="REFUNDED", amount_minor=2_000, part_id="r1")))
        settle(running)
        yield running


def settle(pipeline: Pipeline) -> None:
    with Watch(pipeline, INPUT) as watch:
        eventually(watch.is_done, timeout_s=WAIT_S)


def pass_time(pipeline: Pipeline, at: int) -> None:
    with InputsWriter(pipeline.settings) as writer:
        writer.tick(at)
    settle(pipeline)


def waiting(pipeline: Pipeline) -> dict[str, dict[str, Any]]:
    """What is parked, by purchase."""
    return {row["external_id"]: row for row in cashback(pipeline.settings, "parked", "list")["parked"]}


def quarantined(pipeline: Pipeline, *options: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = cashback(pipeline.settings, "quarantine", "list", *options)["quarantined"]
    return rows


def places(pipeline: Pipeline) -> dict[str, str]:
    return {name: row["place"] for name, row in waiting(pipeline).items()}


def test_parked_refunds_are_discarded_or_wait_anew_and_every_act_is_kept(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = places(pipeline)
    assert place.keys() == set(NAMES)
    what_is_wrong_is_refused_before_anything_is_written(pipeline, place["gone"])
    one_is_discarded_and_closed(pipeline, place["gone"])
    one_waits_anew(pipeline, place["late"])
    what_has_joined_meanwhile_is_refused(pipeline, place["came"], monkeypatch)
    a_worker_that_is_away_answers_later(pipeline, place["slow"], monkeypatch)
    a_crash_between_the_steps_is_made_good_by_the_same_command(pipeline, place["torn"], monkeypatch)
    one_whose_time_is_over_meanwhile_is_closed_all_the_same(pipeline, place["left"], monkeypatch)
    all_of_it_is_told(pipeline, place)


def what_is_wrong_is_refused_before_anything_is_written(pipeline: Pipeline, place: str) -> None:
    for verb in ("discard", "requeue"):

        def refused(*words: str, verb: str = verb, ends: int = 1) -> str:
            said: str = cashback(pipeline.settings, "parked", verb, *words, ends=ends)
            return said

        assert "place: '7' is no place" in refused("7", *WHY)
        assert "0:9999: it is not parked" in refused(place, "0:9999", *WHY)
        assert "nothing was done" in refused("99:0", *WHY)
        assert "reason: empty" in refused(place, "--actor", "ann", "--reason", " ")
        assert "reason: contains the control character" in refused(place, *WHY[:2], "--reason", "a\nb")
        assert "actor: is blank" in refused(place, "--actor", " ", *WHY[2:])
        assert "give either places, or --all" in refused(*WHY, ends=2)
        assert "--partner chooses among --all" in refused(place, "--partner", "bank", *WHY, ends=2)
    assert waiting(pipeline).keys() == set(NAMES)
    assert audited(pipeline) == []


def one_is_discarded_and_closed(pipeline: Pipeline, place: str) -> None:
    done = cashback(pipeline.settings, "parked", "discard", place, place, *WHY)
    ((resolution,), failures) = done["resolutions"], done["failures"]
    assert (resolution["place"], resolution["action"], resolution["actor"]) == (place, "DISCARDED", "ann")
    assert failures == {}
    assert "gone" not in waiting(pipeline)
    assert quarantined(pipeline) == []
    (row,) = quarantined(pipeline, "--all")
    assert (row["place"], row["status"], row["reason"]) == (place, "discarded", "discarded")
    assert (row["message"], row["first_seen"]) == ("discarded by ann: sent by mistake", AT)
    shown = cashback(pipeline.settings, "quarantine", "show", place)
    assert (shown["fields"]["part_id"], shown["resolutions"][0]["reason"]) == ("r1", "sent by mistake")
    again = cashback(pipeline.settings, "parked", "discard", place, *WHY, ends=1)
    assert f"{place}: discarded by ann at" in again
    assert "there is nothing to discard" in again
    anew = cashback(pipeline.settings, "parked", "requeue", place, *WHY, ends=1)
    assert (
        f"it is in the quarantine (discarded); write it back with `cashback quarantine requeue {place}`"
        in anew
    )
    ((_, _, subject, details),) = audited(pipeline)
    assert subject == f"{pipeline.settings.topic_prefix}inputs:{place}"
    assert (details["external_id"], details["amount_minor"]) == ("gone", 2_000)


def one_waits_anew(pipeline: Pipeline, place: str) -> None:
    pass_time(pipeline, START + 10 * DAY)
    done = cashback(pipeline.settings, "parked", "requeue", place, *WHY)
    assert done["failures"] == {}
    (anew,) = done["requeued"]
    assert anew["place"] == place
    assert anew["waits_until"].startswith("2025-05-10T12:00:00")
    row = waiting(pipeline)["late"]
    assert (row["arrived_at"], row["waits_until"]) == (AT, anew["waits_until"])


def what_has_joined_meanwhile_is_refused(
    pipeline: Pipeline, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bought = payment("came", occurred_at="2025-03-11T12:00:00Z")
    before = len(events(pipeline))
    with monkeypatch.context() as patch:
        meanwhile(patch, lambda writer: writer.write(from_json(bought)), pipeline)
        said = cashback(pipeline.settings, "parked", "discard", place, *WHY, ends=1)
    assert f"{place}: it was refused: external_id: the REFUNDED of came does not wait" in said
    assert [event["amount"] for event in events(pipeline)[before:]] == [30], "the refund has joined"
    (row,) = quarantined(pipeline)
    assert (row["record"], row["reason"]) == ("ParkedDecision", "rejected")
    assert cashback(pipeline.settings, "quarantine", "discard", row["place"], *WHY)["failures"] == {}
    again = cashback(pipeline.settings, "parked", "discard", place, *WHY, ends=1)
    assert f"{place}: it is not parked" in again


def a_worker_that_is_away_answers_later(
    pipeline: Pipeline, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.supervisor.stop(WORKER)
    with monkeypatch.context() as patch:
        patch.setattr(speaking, "BOOKED_S_MAX", 0.5)
        said = cashback(pipeline.settings, "parked", "discard", place, *WHY, ends=1)
    assert f"{place}: it is decided but not answered" in said
    pipeline.start(WORKER)
    settle(pipeline)
    (row,) = quarantined(pipeline)
    assert (row["place"], row["reason"]) == (place, "discarded")
    assert cashback(pipeline.settings, "parked", "discard", place, *WHY)["failures"] == {}
    assert quarantined(pipeline) == []


def a_crash_between_the_steps_is_made_good_by_the_same_command(
    pipeline: Pipeline, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> None:
        raise InputsUnavailable("killed here")

    with monkeypatch.context() as patch:
        patch.setattr(Desk, "discard", crash)
        assert "killed here" in cashback(pipeline.settings, "parked", "discard", place, *WHY, ends=1)
    (row,) = quarantined(pipeline)
    assert (row["place"], row["status"]) == (place, "open")
    (resolution,) = cashback(pipeline.settings, "parked", "discard", place, *WHY)["resolutions"]
    assert resolution["place"] == place
    assert quarantined(pipeline) == []


def one_whose_time_is_over_meanwhile_is_closed_all_the_same(
    pipeline: Pipeline, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        meanwhile(patch, lambda writer: writer.tick(START + 60 * DAY), pipeline)
        done = cashback(pipeline.settings, "parked", "discard", place, *WHY)
    assert [each["place"] for each in done["resolutions"]] == [place]
    (row,) = [each for each in quarantined(pipeline, "--all") if each["place"] == place]
    assert (row["status"], row["reason"]) == ("discarded", "parked_too_long")
    assert waiting(pipeline).keys() == {"late"}, "this one waits anew"


def all_of_it_is_told(pipeline: Pipeline, place: dict[str, str]) -> None:
    acts = [
        (actor, action, subject.partition("inputs:")[2]) for actor, action, subject, _ in audited(pipeline)
    ]
    names = {there: name for name, there in place.items()}
    assert [(action, names[there]) for _, action, there in acts] == [
        *(("parked.discard", "gone"), ("parked.requeue", "late"), ("parked.discard", "came")),
        *(("parked.discard", "slow"), ("parked.discard", "slow")),
        *(("parked.discard", "torn"), ("parked.discard", "torn"), ("parked.discard", "left")),
    ]

    def is_told() -> bool:
        (life,) = lives(pipeline, "gone")
        said = [step["said"] for step in life["steps"]]
        return life["outcome"][0].startswith("Discarded: ") and said[1:] == [
            "DISCARDED by ann: the parked REFUNDED r1 (sent by mistake)"
        ]

    eventually(is_told, timeout_s=WAIT_S)


def meanwhile(patch: pytest.MonkeyPatch, happens: Callable[[InputsWriter], None], pipeline: Pipeline) -> None:
    """Lets something happen after a command has looked at what waits, before it says anything."""

    def after(settings: Settings, decided: list[Said]) -> None:
        with InputsWriter(pipeline.settings) as writer:
            happens(writer)
        write(settings, decided)

    patch.setattr(parked, "write", after)


def audited(pipeline: Pipeline) -> list[tuple[Any, ...]]:
    """Actor, action, subject and details of every act, in order."""
    with psycopg.connect(pipeline.settings.database_url) as connection:
        return connection.execute(
            "SELECT actor, action, subject, details FROM audit_log ORDER BY audit_no"
        ).fetchall()


def test_what_was_discarded_stays_so_when_the_log_is_spread_over_more_partitions(
    settings: Callable[..., Settings], tmp_path: Path
) -> None:
    old = settings(clock="event", partitions=2)
    with Pipeline(old, directory(tmp_path, "old")) as running:
        running.start(WORKER)
        with InputsWriter(old) as writer:
            writer.write_program(parse_program(program(hold_days=30)))
            for name in ("gone", "kept"):
                writer.write(from_json(payment(name, kind="REFUNDED", amount_minor=2_000)))
        settle(running)
        assert cashback(old, "parked", "discard", places(running)["gone"], *WHY)["failures"] == {}
        with InputsWriter(old) as writer:
            for name in ("gone", "kept"):
                writer.write(from_json(payment(name)))
        settle(running)
        before = {event["transaction_ref"]: event["amount"] for event in events(running)}
    assert before == {"gone": 50, "kept": 30}

    said: list[str] = []
    grown = grow(old, to=5, prefix=None, discard=False, say=said.append)
    assert grown.events == 2
    new = old.model_copy(update={"topic_prefix": grown.new_prefix, "partitions": 5})
    with Pipeline(new, directory(tmp_path, "new")) as running:
        running.start(WORKER)
        settle(running)
        assert {event["transaction_ref"]: event["amount"] for event in events(running)} == before
        assert [row["reason"] for row in quarantined(running)] == ["discarded"]


def test_on_the_clock_of_the_broker_what_came_a_moment_ago_can_be_decided_on(
    settings: Callable[..., Settings], tmp_path: Path
) -> None:
    made = settings(clock="broker")
    with Pipeline(made, tmp_path) as running:
        running.start(WORKER)
        at = iso(datetime.now(UTC))
        with InputsWriter(made) as writer:
            for name in ("one", "two"):
                writer.write(from_json(payment(name, kind="REFUNDED", occurred_at=at)))
        eventually(lambda: len(waiting(running)) == 2, timeout_s=WAIT_S)
        both = places(running)
        assert cashback(made, "parked", "requeue", *both.values(), *WHY)["failures"] == {}
        assert cashback(made, "parked", "discard", "--all", "--partner", "wallet", *WHY)["resolutions"] == []
        assert (
            len(cashback(made, "parked", "discard", "--all", "--partner", "bank", *WHY)["resolutions"]) == 2
        )
        assert waiting(running) == {}
        assert [row["status"] for row in quarantined(running, "--all")] == ["discarded"] * 2
