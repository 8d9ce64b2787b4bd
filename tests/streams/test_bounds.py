"""Nothing a sender does may grow a row or a record past what topics take, or stop a partition."""

from collections import Counter

import pytest
from msgspec.structs import replace

from schemas.codec import decode, encode
from schemas.entitlements import from_json as entitlement_from_json
from schemas.entitlements import to_datum as entitlement_datum
from schemas.money import SUM_MAX
from schemas.programs import parse_program
from schemas.times import DAY
from schemas.transactions import from_json
from streams import room
from streams.entitlements import Entitlements
from streams.loyalty import EPOCHS_MAX, Card, Cards
from streams.program import compiled
from streams.purchase import Stake, identity
from streams.room import CLEARED_MAX, EVENTS_MAX, PARKED_MAX, PROGRAMS_MAX
from streams.rows import MemoryRows, Rows
from streams.shelves import GRANTS_MAX
from streams.simulate import simulate
from streams.usage import Usage
from tests.streams.test_fold import GOOD, NOW, Partition, Record, program, transaction
from tests.streams.told import campaign, clip, deal, payment, stamps, story

ROW_BYTES_MAX = 1024 * 1024


class CountedRows:
    """Rows that count how many are read."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self.put = rows.put
        self.delete = rows.delete
        self.read = 0

    def get(self, key: bytes) -> bytes | None:
        self.read += 1
        return self._rows.get(key)


def test_only_so_many_events_wait_for_a_purchase_that_never_came_but_a_void_always_may() -> None:
    lines = [payment("REFUNDED", 1, "02-01", part_id=f"r{n}") for n in range(PARKED_MAX + 5)]
    result = simulate(programs=[campaign()], transactions=[*lines, payment("VOIDED", None, "02-01")])
    assert (result.counts["parked"], len(result.bad)) == (PARKED_MAX + 1, 5)
    assert "send the purchase first" in str(result.bad[0].reason)


def test_a_purchase_with_too_many_events_can_still_be_voided() -> None:
    lines = [payment("SETTLED", 1, "02-01", part_id=f"s{n}") for n in range(EVENTS_MAX + 3)]
    result = simulate(programs=[campaign()], transactions=[*lines, payment("VOIDED", None, "02-02")])
    assert len(result.bad) == 3
    assert story(result)[-1].startswith("reverted")


def test_the_largest_parked_row_fits_a_record() -> None:
    partition = Partition()
    wide = "\U0001f4b6" * 128
    names = (
        "external_id",
        "member_id",
        "merchant_id",
        "store_id",
        "mcc",
        "employee_id",
        "receipt_id",
        "webhook_id",
    )
    for number in range(PARKED_MAX + 1):
        datum = {
            **dict.fromkeys(names, wide),
            "partner_id": "p",
            "part_id": f"{number:03}" + wide[:125],
            "kind": "REFUNDED",
            "amount_minor": 1,
            "currency": "EUR",
            "occurred_at": NOW,
            "channel": "ONLINE",
            "livemode": True,
        }
        partition.take(Record(encode("Transaction", datum), key=f"p:{wide}".encode()))
    assert partition.fold.counts["parked"] == PARKED_MAX
    assert max(len(row) for _, row in partition.store.items()) < ROW_BYTES_MAX


def test_a_row_of_a_program_is_no_larger_than_the_record_it_came_in() -> None:
    partition = Partition()
    record = program(merchant_ids=[f"é{number:07}" for number in range(40_000)])
    partition.take(record)
    assert partition.fold.counts["program"] == 1
    assert record.value is not None
    assert max(len(row) for _, row in partition.store.items()) <= len(record.value)
    restored = Partition(store=partition.store)
    restored.take(record)
    assert restored.fold.counts["program_repeated"] == 1


def test_redemptions_that_may_be_undone_grow_no_row() -> None:
    # A shop may book all its guests under one member: thousands are pending at a time.
    partition = Partition()
    partition.take(program(program_id="card", type="loyalty_program", threshold_count=1))
    for number in range(300):
        partition.take(transaction(payment("SETTLED", 5000, "02-01", external_id=f"t{number}")))
    assert partition.events() == ["CashbackCreated"] * 300
    assert max(len(row) for key, row in partition.store.items() if not key.startswith(b"g")) < 500


def test_redemptions_undone_one_after_another_grow_no_row_and_write_no_more_rows() -> None:
    partition = Partition()
    partition.take(program(program_id="card", type="loyalty_program", threshold_count=1))
    for number in range(2 * EPOCHS_MAX):
        bought = payment("SETTLED", 5000, "02-01", external_id=f"t{number}")
        partition.take(transaction(bought), transaction({**bought, "kind": "REFUNDED"}))
    before = len(list(partition.store.items()))
    partition.take(transaction(payment("SETTLED", 5000, "02-01", external_id="last")))
    assert partition.events().count("CashbackCreated") == 2 * EPOCHS_MAX + 1
    assert len(list(partition.store.items())) - before < EPOCHS_MAX + 10


def test_many_clips_of_a_member_grow_no_row_and_a_purchase_reads_pages_of_them() -> None:
    partition = Partition()
    partition.take(program(program_id="half-off", type="deal", hold_days=14))
    wide = "\U0001f4b6" * 124
    for number in range(1_000):
        said = entitlement_from_json(clip(f"{wide}{number:04}"))
        partition.take(Record(encode("Entitlement", entitlement_datum(said))))
    rows = CountedRows(partition.store)
    partition.fold.log.judge.allowances.entitlements = Entitlements(rows)
    partition.take(transaction(payment("SETTLED", 5000, "02-01")))
    assert partition.events() == ["CashbackCreated"]
    assert rows.read < 100
    assert max(len(row) for key, row in partition.store.items() if not key.startswith(b"g")) < 16_384


def test_only_so_many_grants_of_a_program_are_kept_and_the_rest_is_refused() -> None:
    said = [clip(f"c{number:05}") for number in range(GRANTS_MAX + 1)]
    result = simulate([deal()], [payment("SETTLED", 5000, "02-01")], said)
    assert [str(bad.reason) for bad in result.bad] == [
        f"clip_id: more than {GRANTS_MAX} that one member may use of one program; use fewer"
    ]
    assert result.events[0]["source"]["clip_id"] == "c00000"


def test_what_thousands_of_programs_say_is_sent_in_parts_that_a_topic_takes() -> None:
    partition = Partition()
    for number in range(1_000):
        partition.take(program(program_id="\U0001f4b6" * 123 + f"{number:05}"))
    partition.take(GOOD)
    decisions = [value for topic, value, _ in partition.sent if topic == "decisions"]
    assert max(map(len, decisions)) < 1_000_000
    said = [word for value in decisions for word in decode(value)[1]["decisions"]]
    assert Counter(word["decision"] for word in said) == {"REWARDED": 1, "OUTRANKED": 999}
    assert max(len(row) for _, row in partition.store.items()) < 4 * 1024 * 1024


def test_a_purchase_that_too_many_programs_name_is_quarantined_until_fewer_do() -> None:
    programs = [campaign(f"p{number:04}", hold_days=0) for number in range(PROGRAMS_MAX + 1)]
    line = payment("SETTLED", 1000, "02-01")
    result = simulate(programs, [line])
    assert [str(bad.reason)[:47] for bad in result.bad] == ["merchant_id: 1501 programs name a purchase at g"]
    elsewhere = campaign("p0000", version=2, hold_days=0, merchant_ids=["closed"])
    assert simulate([*programs, elsewhere], [line]).counts["judged"] == 1


def test_only_so_many_cashbacks_of_one_purchase_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    most = CLEARED_MAX // 20  # the way there is the same, and shorter
    monkeypatch.setattr(room, "CLEARED_MAX", most)
    programs = [campaign(f"p{number:03}", hold_days=0, stackable=True) for number in range(50)]
    lines = [payment("SETTLED", 100, "02-01", part_id=f"s{number}") for number in range(most // 50 + 2)]
    result = simulate(programs, lines)
    assert result.counts["CashbackCleared"] == most
    assert "cashbacks of one purchase cleared" in str(result.bad[0].reason)


def test_a_record_too_large_for_any_topic_is_quarantined_cut() -> None:
    partition = Partition()
    partition.take(Record(b"x" * 60_000_000, headers=(("trace", b"y" * 200_000),)), GOOD)
    [(_, value, headers)] = [sent for sent in partition.sent if sent[0] == "quarantine"]
    assert len(value) == 2 * 1024 * 1024
    assert headers["cashback.value_bytes"] == b"60000000"
    assert "trace" not in headers


def test_a_replay_long_after_counts_as_repeated_not_as_too_old() -> None:
    partition = Partition()
    again = Record(GOOD.value, timestamp=(NOW + 100 * DAY) // 1000)
    partition.take(program(), GOOD, again)
    assert partition.fold.counts["duplicate"] == 1
    assert partition.quarantined() == []


def test_sums_over_the_purchases_of_a_member_end_where_rows_and_records_still_take_them() -> None:
    rows, who = MemoryRows(), identity(from_json(payment("SETTLED", 1, "02-01")))
    usage, day = Usage(rows), 738_000
    for _ in range(20):
        usage.add(who, "p", day, 1, SUM_MAX)
    assert usage.used(who, "p", day, "lifetime") == usage.used(who, "p", day, "day") == (20, SUM_MAX)
    card_of, stake = Cards(rows), Stake(qualified=True)
    terms = compiled(parse_program(stamps()))
    for number in range(20):
        seller = replace(who, external_id=f"t{number}")
        card_of.redeem(seller, terms, stake, Card(count=2, total=SUM_MAX))
        card_of.undo(seller, terms, stake, own=10**14)
    assert card_of.card(who, terms).total == SUM_MAX


def test_a_purchase_cannot_grow_above_the_largest_amount() -> None:
    lines = [payment("AUTHORIZED", 10**14, "02-01", part_id=part) for part in ("a", "b")]
    result = simulate(programs=[campaign(reward={"type": "percent", "bps": 10_000})], transactions=lines)
    assert [event["amount"] for event in result.events] == [10**14]
    assert "amount_minor" in str(result.bad[0].reason)
