"""What is shown of quarantined records, and which are meant."""

import re
from dataclasses import replace

import pytest

from connectors.quarantine import why_it_stays
from ops.commands.listing import age_text
from ops.commands.quarantine_text import show_row, show_rows
from ops.partitions.reading import LogUnreadable
from ops.quarantine.decoding import decoded, whose
from ops.quarantine.listing import Wanted, row_of, select
from ops.quarantine.parked import require_version
from ops.quarantine.reading import Lying, Resolutions
from schemas.codec import encode
from schemas.quarantine import CUT_HEADERS, DISCARDED, Place, Quarantined, Refusal, Resolution
from streams.engine.position import UNFINISHED, Position
from streams.fold import STATE_VERSION
from tests.e2e.bad_inputs import bytes_of, payment

HOUR_MS = 3_600_000
NOW_MS = 1_740_830_400_000


def lying(place: str, *, reason: str = "conflict", partner: str = "bank", hours: int = 1) -> Lying:
    """A payment that was first seen, and set aside, so long ago."""
    seen_ms = NOW_MS - hours * HOUR_MS
    refusal = Refusal("inputs", Place.parse(place), reason, "identity: other content", "Conflicting", seen_ms)
    value = bytes_of(payment("p1", partner))
    return Lying(Quarantined(f"{partner}:ann".encode(), value, (), refusal), "0:1", seen_ms)


RECORDS = [
    lying("0:5", hours=2),
    lying("1:5", hours=9, reason="rejected"),
    lying("0:9", hours=4, partner="wallet"),
    lying("2:1", hours=6),
]
DONE: Resolutions = {Place(2, 1): [Resolution(Place(2, 1), DISCARDED, "ann", "a test", NOW_MS * 1_000)]}


@pytest.mark.parametrize(
    ("wanted", "places"),
    [
        (Wanted(), ["1:5", "0:9", "0:5"]),
        (Wanted(only_open=False), ["1:5", "2:1", "0:9", "0:5"]),
        (Wanted(reason="conflict"), ["0:9", "0:5"]),
        (Wanted(partner="wallet"), ["0:9"]),
        (Wanted(since_ms=NOW_MS - 5 * HOUR_MS), ["0:9", "0:5"]),
    ],
)
def test_the_wanted_ones_are_found_oldest_first(wanted: Wanted, places: list[str]) -> None:
    selected = select(RECORDS, DONE, wanted, most=10)
    assert [str(each.place) for each in selected.oldest] == places
    assert selected.by_reason.total() == len(places)


def test_of_too_many_the_oldest_are_kept_and_all_are_counted() -> None:
    selected = select(RECORDS, DONE, Wanted(), most=1)
    assert [str(each.place) for each in selected.oldest] == ["1:5"]
    assert selected.by_reason == {"conflict": 2, "rejected": 1}


def test_a_row_says_whose_it_is_how_old_and_what_was_done() -> None:
    row = row_of(RECORDS[3], DONE, now_ms=NOW_MS)
    assert (row.place, row.status, row.record, row.partner_id, row.member_id) == (
        "2:1", "discarded", "Transaction", "bank", "ann",
    )  # fmt: skip
    assert (row.age_s, row.first_seen) == (6 * 3_600, "2025-03-01T06:00:00Z")


def test_bytes_are_read_as_far_as_they_go() -> None:
    whole = bytes_of(payment("p1"))
    assert decoded(whole).fields["occurred_at"] == "2025-03-01T12:00:00Z"
    cut = decoded(whole[:-9])
    assert (cut.record, cut.fields) == ("Transaction", {})
    assert cut.problem is not None
    assert "encode it with the schema of its id" in cut.problem
    for value in (b"", b"{}", b"\0\0\x0f\x42\x3f\1"):
        assert decoded(value).record is None
    no_year_has_it = encode("Tick", {"emitted_at": 2**60})
    assert decoded(no_year_has_it).fields == {"emitted_at": 2**60}


def test_an_unreadable_record_belongs_to_who_is_in_its_key_and_a_tick_to_nobody() -> None:
    assert whose(b"bank:ann", decoded(b"not ours")) == ("bank", "ann")
    assert whose(b"no colon", decoded(b"not ours")) == (None, None)
    assert whose(b"bank:ann", decoded(encode("Tick", {"emitted_at": 1}))) == (None, None)
    assert whose(b"shop:ben", decoded(bytes_of(payment("p1")))) == ("bank", "ann")


def test_what_was_cut_or_came_from_elsewhere_does_not_go_back() -> None:
    record = RECORDS[0].record

    def stays(record: Quarantined) -> str:
        return why_it_stays(record, inputs="inputs", partitions=2) or ""

    assert stays(record) == ""
    for header in CUT_HEADERS:
        assert "too large" in stays(replace(record, headers=[(header, b"1")]))
    assert "came from p8-inputs[0]" in stays(
        replace(record, refusal=replace(record.refusal, topic="p8-inputs"))
    )
    assert "has 2 partitions" in stays(replace(record, refusal=replace(record.refusal, place=Place(2, 1))))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (3_599, "59 min 59 s"),
        (90_000, "1 d 1 h"),
        (7_260, "2 h 1 min"),
    ],
)
def test_an_age_is_said_in_its_two_largest_units(seconds: int, text: str) -> None:
    assert age_text(seconds) == text


def test_a_list_keeps_places_whole_and_sums_up(capsys: pytest.CaptureFixture[str]) -> None:
    long = replace(RECORDS[0].record.refusal, message="[x] " * 100)
    rows = [
        row_of(each, DONE, now_ms=NOW_MS)
        for each in (replace(RECORDS[0], record=replace(RECORDS[0].record, refusal=long)), RECORDS[3])
    ]
    show_rows(rows, 7)
    said = capsys.readouterr().out
    assert re.search(r"0:5 +open +conflict +2 h +bank +ann +\[x\]", said)
    assert re.search(r"2:1 +discarded +conflict +6 h +bank +ann +identity: other content", said)
    assert said.endswith("2 of 7: 2 conflict; the oldest waits for 6 h\n")


def test_one_record_is_shown_with_its_headers_its_fields_and_what_was_done(
    capsys: pytest.CaptureFixture[str],
) -> None:
    done = {"resolved_at": "2025-03-01T12:00:00Z", "action": "REQUEUED", "actor": "ann", "reason": "mended"}
    said = {"place": "0:5", "age_s": 7_200, "headers": [["trace", "1"]]}
    said["resolutions"] = [{**done, "place": "0:5", "requeued_offset": 9}]
    show_row(said, b"bank:ann", RECORDS[0].record.value, as_json=False)
    shown = capsys.readouterr().out
    for line in (
        "age_s +2 h",
        "key +bank:ann",
        '  external_id +"p1"',
        "  trace +1",
        "requeued by ann: mended .its copy is 0:9.",
    ):
        assert re.search(line, shown), shown
    show_row(said, b"bank:\x1b[2Jann", b"not ours", as_json=False)
    shown = capsys.readouterr().out
    assert re.search("hex +6e6f74206f757273", shown)
    assert r"bank:\x1b[2Jann" in shown


@pytest.mark.parametrize(
    ("position", "told"),
    [
        (Position(7, "id", STATE_VERSION + 1).encode(), "rebuild it with `cashback partitions rebuild`"),
        (Position(7, "id", UNFINISHED).encode(), "rebuild it with `cashback partitions rebuild`"),
        (b"", "run the code that wrote it"),
    ],
)
def test_state_of_another_version_is_not_read_as_parked_events(position: bytes, told: str) -> None:
    with pytest.raises(LogUnreadable, match=told):
        require_version(position, "cashback-state[0]")
    require_version(Position(7, "id", STATE_VERSION).encode(), "cashback-state[0]")
