"""Places, headers and resolutions of the quarantine, as all sides of it agree."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import encode
from schemas.errors import Rejected
from schemas.quarantine import (
    DISCARDED,
    FIRST_SEEN,
    REFUSAL_HEADERS,
    REQUEUED,
    REQUEUED_FROM,
    Place,
    Resolution,
    check_words,
    first_seen_ms,
    headers_back,
    refusal_of,
)
from streams import quarantine

AT = 1_705_314_600_000_000
SEEN_MS = AT // 1_000

own_headers = st.lists(
    st.tuples(st.sampled_from(("trace", "cashback.silent", *REFUSAL_HEADERS)), st.binary(max_size=4)),
    max_size=6,
)


def refused(own: list[tuple[str, bytes]], place: Place, seen_ms: int = SEEN_MS) -> list[tuple[str, bytes]]:
    """The headers of a record that the stream set aside."""
    said = quarantine.headers(
        topic="inputs",
        partition=place.partition,
        offset=place.offset,
        first_seen_ms=seen_ms,
        reason="rejected",
        message="key: wrong; key it",
        error="Rejected",
    )
    _, _, kept = quarantine.bounded(b"k", b"v", own)
    return [*kept, *said]


@given(own_headers, st.integers(0, 99), st.integers(0, 2**40))
def test_what_the_stream_says_of_a_refusal_is_read_as_it_was_meant_whatever_the_sender_said(
    own: list[tuple[str, bytes]], partition: int, offset: int
) -> None:
    refusal = refusal_of(refused(own, Place(partition, offset)))
    assert (refusal.topic, refusal.place) == ("inputs", Place(partition, offset))
    assert (refusal.reason, refusal.message, refusal.first_seen_ms) == (
        "rejected",
        "key: wrong; key it",
        SEEN_MS,
    )


@given(own_headers)
def test_a_record_goes_back_with_its_own_headers_and_those_do_not_grow_however_often(
    own: list[tuple[str, bytes]],
) -> None:
    first = refused(own, Place(2, 17))
    back = headers_back(first, refusal_of(first))
    kept = [header for header in own if header[0] != FIRST_SEEN]
    assert back == [*kept, (FIRST_SEEN, b"%d" % SEEN_MS), (REQUEUED_FROM, b"2:17")]

    second = refused([(name, value or b"") for name, value in back], Place(2, 90), SEEN_MS)
    assert headers_back(second, refusal_of(second)) == [*back[:-1], (REQUEUED_FROM, b"2:90")]


@pytest.mark.parametrize(
    ("said", "seen_ms"),
    [
        (b"1000", 1_000),
        (b"9999", 5_000),
        (b"soon", 5_000),
        (b"", 5_000),
        (b"\xff", 5_000),
        (b"9" * 40, 5_000),
    ],
)
def test_a_requeued_record_keeps_when_it_was_first_seen_and_nobody_comes_from_the_future(
    said: bytes, seen_ms: int
) -> None:
    assert first_seen_ms([("trace", b"1"), (FIRST_SEEN, said)], 5_000) == seen_ms


def test_a_record_that_nobody_requeued_was_first_seen_when_it_was_appended() -> None:
    assert first_seen_ms([], 5_000) == 5_000


@pytest.mark.parametrize("name", ["__connect.errors.partition", "__connect.errors.offset", FIRST_SEEN])
def test_headers_that_name_no_place_are_no_refusal(name: str) -> None:
    headers = [header for header in refused([], Place(0, 1)) if header[0] != name]
    with pytest.raises(Rejected, match=name):
        refusal_of(headers)


def test_a_place_is_written_as_it_is_read() -> None:
    assert str(Place.parse("2:17")) == "2:17"
    assert Place.parse("2:17") == Place(2, 17)


@pytest.mark.parametrize("text", ["", "2", "2:", ":17", "2:x", "-1:17", "2:17:1", "²:1", "ledger:2:17"])
def test_what_is_no_place_is_refused_with_how_to_write_one(text: str) -> None:
    with pytest.raises(Rejected, match="write partition:offset"):
        Place.parse(text)


@pytest.mark.parametrize(
    "resolution",
    [
        Resolution(Place(2, 17), REQUEUED, "ann", "the clock is right now", AT, requeued_offset=90),
        Resolution(Place(0, 2**40), DISCARDED, "bob", "Prüfung", AT),
    ],
)
def test_a_resolution_is_read_as_it_was_written(resolution: Resolution) -> None:
    assert Resolution.decode(resolution.encode()) == resolution


@pytest.mark.parametrize("value", [None, b"not ours", encode("Tick", {"emitted_at": AT})])
def test_what_is_no_resolution_is_refused(value: bytes | None) -> None:
    with pytest.raises(Rejected):
        Resolution.decode(value)


@pytest.mark.parametrize(
    ("actor", "reason", "field"),
    [
        ("", "why", "actor"),
        ("a" * 129, "why", "actor"),
        ("ann", "", "reason"),
        ("ann", "x" * 1_001, "reason"),
    ],
)
def test_nobody_resolves_without_a_name_and_a_reason(actor: str, reason: str, field: str) -> None:
    with pytest.raises(Rejected) as refusal:
        check_words(actor=actor, reason=reason, resolved_at=AT)
    assert refusal.value.field == field
