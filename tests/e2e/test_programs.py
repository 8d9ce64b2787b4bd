"""Programs published while a worker runs: each version judges from its time on, and from its place on."""

from collections.abc import Callable
from pathlib import Path

from connectors.writer import InputsWriter
from ops.programs.catalogue import present, read_catalogue
from ops.programs.plan import Added
from ops.programs.publish import prepare, publish
from ops.settings import Settings
from schemas.programs import ProgramSpec
from schemas.times import from_iso
from schemas.topics import CASHBACK_EVENTS, QUARANTINE
from schemas.transactions import from_json
from tests.e2e.bad_inputs import payment
from tests.e2e.pipeline import Pipeline
from tests.e2e.watch import INPUT, Watch
from tests.eventually import eventually
from tests.ops.published import percent, program

WAIT_S = 60.0


def version(number: int, effective_from: str, bps: int) -> ProgramSpec:
    """One version of one program of the grocer."""
    return program(
        version=number,
        merchant_ids=["grocer"],
        valid_from="2025-01-01T00:00:00Z",
        effective_from=effective_from,
        reward=percent(bps),
    )


FIRST = version(1, "2025-01-01T00:00:00Z", 100)
COMING = version(2, "2025-04-01T00:00:00Z", 200)
LATE = version(3, "2025-03-10T00:00:00Z", 300)


def pay(settings: Settings, **at: str) -> None:
    """One payment of 5000 at each of the days."""
    with InputsWriter(settings) as writer:
        for external_id, day in at.items():
            writer.write(from_json(payment(external_id, occurred_at=f"2025-{day}T12:00:00Z")))


def rewards(pipeline: Pipeline) -> dict[str, tuple[int, int]]:
    """Amount and version of every cashback created, by purchase."""
    events = [record.datum for records in pipeline.read(CASHBACK_EVENTS) for record in records]
    return {
        event["transaction_ref"]: (event["amount"], event["program_version"])
        for event in events
        if "amount" in event
    }


def test_a_version_judges_from_its_time_and_from_its_place_in_the_log(
    settings: Callable[..., Settings], tmp_path: Path
) -> None:
    here = settings(clock="event", partitions=2)
    with Pipeline(here, tmp_path) as pipeline, Watch(pipeline, INPUT) as watch:
        publish(here, prepare(here, [FIRST], present(here)))
        pipeline.start("worker-1")
        pay(here, before="03-15")
        eventually(lambda: set(rewards(pipeline)) == {"before"}, timeout_s=WAIT_S)

        assert present(here) == from_iso("2025-03-15T12:00:00Z", "present")
        steps = prepare(here, [FIRST, COMING, LATE], present(here))
        assert [step.is_late for step in steps if isinstance(step, Added)] == [False, True]
        publish(here, steps)
        # As after a crash between the input log and the catalogue.
        with InputsWriter(here) as writer:
            writer.write_programs([COMING])
        pay(here, early="03-05", between="03-20", after="04-02")
        eventually(watch.is_done, timeout_s=WAIT_S)

        assert rewards(pipeline) == {
            "before": (50, 1),
            "early": (50, 1),
            "between": (150, 3),
            "after": (100, 2),
        }
        assert [record for partition in pipeline.read(QUARANTINE) for record in partition] == []
        assert read_catalogue(here).programs == [FIRST, COMING, LATE]
