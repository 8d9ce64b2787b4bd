"""What the ledger refused is listed beside what the stream set aside."""

import psycopg
import pytest

from ops.quarantine.listing import Wanted
from ops.quarantine.refusals import read_refusals
from sinks.migrations import upgrade
from tests.e2e.bad_inputs import bytes_of, payment

NOW_MS = 1_740_830_400_000
INSERT = """
INSERT INTO ledger_quarantine
    (topic, partition, record_offset, reason, detail, record_key, record_value, refused_at)
VALUES ('cashback-events', %s, %s, %s, 'why', %s, %s, to_timestamp(%s))
"""


@pytest.fixture
def refused(database: str) -> str:
    upgrade(database)
    payments = [(0, 7, "conflict", b"bank:ann", bytes_of(payment("p1")), NOW_MS / 1_000 - 3_600)]
    payments += [(1, 2, "invalid", b"wallet:ben", bytes_of(payment("p2", "wallet")), NOW_MS / 1_000 - 60)]
    payments += [(1, 9, "undecodable", b"bank:ann", b"not ours", NOW_MS / 1_000 - 7_200)]
    with psycopg.connect(database, autocommit=True) as connection:
        for row in payments:
            connection.execute(INSERT, row)
        connection.execute(INSERT, (2, 1, "unexpected_record", None, None, NOW_MS / 1_000))
    return database


@pytest.mark.parametrize(
    ("wanted", "places"),
    [
        (Wanted(), ["1:9", "0:7", "1:2", "2:1"]),
        (Wanted(reason="conflict"), ["0:7"]),
        (Wanted(partner="bank"), ["1:9", "0:7"]),
        (Wanted(since_ms=NOW_MS - 100_000), ["1:2", "2:1"]),
    ],
)
def test_refusals_are_found_oldest_first(refused: str, wanted: Wanted, places: list[str]) -> None:
    rows = [row for row, *_ in read_refusals(refused, wanted, now_ms=NOW_MS)]
    assert [row.place for row in rows] == [f"ledger:cashback-events:{place}" for place in places]


def test_a_refusal_says_why_whose_it_is_and_how_old(refused: str) -> None:
    [(row, key, value)] = read_refusals(refused, Wanted(reason="conflict"), now_ms=NOW_MS)
    assert (row.source, row.status, row.message, row.partner_id, row.age_s) == (
        "ledger", "refused", "why", "bank", 3_600,
    )  # fmt: skip
    assert row.first_seen == "2025-03-01T11:00:00Z"
    assert (key, value) == (b"bank:ann", bytes_of(payment("p1")))
