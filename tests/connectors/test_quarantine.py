"""Records go back to where they came from, and what was done is written down, on a real broker."""

import pytest

from connectors.quarantine import Desk, Words
from ops.settings import Settings
from schemas.quarantine import (
    DISCARDED,
    FIRST_SEEN,
    REQUEUED,
    REQUEUED_FROM,
    Place,
    Quarantined,
    Refusal,
    Resolution,
)
from tests.connectors.conftest import ReadAll

AT = 1_705_314_600_000_000
WORDS = Words("ann", "the clock is right now", AT)


@pytest.fixture
def desk(settings: Settings) -> Desk:
    return Desk(settings)


def record(settings: Settings, place: str, value: bytes = b"bytes") -> Quarantined:
    refusal = Refusal(
        f"{settings.topic_prefix}inputs", Place.parse(place), "rejected", "m", "Rejected", 1_000
    )
    return Quarantined(b"bank:ann", value, [("trace", b"t"), ("__connect.errors.topic", b"x")], refusal)


def resolutions(read_all: ReadAll) -> list[Resolution]:
    return [Resolution.decode(each.value()) for each in read_all("quarantine-resolutions")]


def test_a_record_goes_back_to_its_partition_as_it_came_and_that_is_written_down(
    settings: Settings, desk: Desk, read_all: ReadAll
) -> None:
    done = desk.requeue([record(settings, "2:90", b"later"), record(settings, "2:17", b"first")], WORDS)
    copies = read_all("inputs")
    assert [(each.partition(), each.key(), each.value()) for each in copies] == [
        (2, b"bank:ann", b"first"),
        (2, b"bank:ann", b"later"),
    ]
    assert copies[0].headers() == [("trace", b"t"), (FIRST_SEEN, b"1000"), (REQUEUED_FROM, b"2:17")]
    said = [
        Resolution(Place(2, 17), REQUEUED, "ann", WORDS.reason, AT, requeued_offset=0),
        Resolution(Place(2, 90), REQUEUED, "ann", WORDS.reason, AT, requeued_offset=1),
    ]
    assert (done.resolutions, done.failures, resolutions(read_all)) == (said, {}, said)


def test_what_is_discarded_is_written_down_and_nothing_goes_back(desk: Desk, read_all: ReadAll) -> None:
    done = desk.discard([Place(1, 5)], WORDS)
    assert (
        resolutions(read_all)
        == done.resolutions
        == [Resolution(Place(1, 5), DISCARDED, "ann", WORDS.reason, AT)]
    )
    assert read_all("inputs") == []
    assert [each.key() for each in read_all("quarantine-resolutions")] == [b"1:5"]


def test_a_record_the_broker_does_not_take_stays_open_and_the_others_of_its_round_go_back(
    settings: Settings, desk: Desk, read_all: ReadAll
) -> None:
    done = desk.requeue([record(settings, "0:1", b"x" * 1_500_000), record(settings, "0:2")], WORDS)
    assert [each.place for each in done.resolutions] == [Place(0, 2)]
    assert list(done.failures) == [Place(0, 1)]
    assert "size" in done.failures[Place(0, 1)].lower()
    assert resolutions(read_all) == done.resolutions
