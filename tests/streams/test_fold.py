"""The worker's state machine over records: bad input, the clock, restore, slices."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from ops.settings import Settings
from schemas.clock import clock_header
from schemas.codec import decode, encode
from schemas.entitlements import from_json as entitlement_from_json
from schemas.entitlements import to_datum as entitlement_datum
from schemas.programs import parse_program, to_datum
from schemas.silence import silent_header
from schemas.times import DAY, MINUTE, from_iso
from schemas.transactions import from_json
from schemas.transactions import to_datum as transaction_datum
from streams.engine.store import MemoryStore
from streams.fold import CashbackFold
from streams.quarantine import BadRun
from tests.streams.told import Line, campaign, clip, payment

NOW = from_iso("2024-02-01T12:00:00Z", "now")


@dataclass
class Record:
    value: bytes | None
    key: bytes | None = b"bank:ann"
    offset: int = 0
    timestamp: int = NOW // 1000
    headers: Sequence[tuple[str, bytes]] = ()
    topic: str = "inputs"
    partition: int = 0


@dataclass
class Partition:
    """A fold with everything it sent."""

    settings: Settings = field(default_factory=lambda: Settings(clock="broker"))
    store: MemoryStore = field(default_factory=MemoryStore)
    sent: list[tuple[str, bytes, dict[str, bytes]]] = field(default_factory=list)
    pauses: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.fold = CashbackFold(
            0,
            self.store,
            lambda topic, key, value, headers=None: self.sent.append((topic, value, dict(headers or ()))),
            self.settings,
            input_topic="inputs",
            bad_run=BadRun(self.settings.bad_input_limit),
            report=lambda fold: None,
            pause=self.pauses.append,
        )
        self.fold.restored()

    def take(self, *records: Record) -> None:
        for record in records:
            while self.fold.advance(record):
                pass
            self.fold.apply(record)
        self.fold.before_commit()

    def quarantined(self) -> list[tuple[str, str]]:
        return [
            (headers["cashback.reason"].decode(), headers["__connect.errors.exception.message"].decode())
            for topic, _, headers in self.sent
            if topic == "quarantine"
        ]

    def events(self) -> list[str]:
        return [decode(value)[0] for topic, value, _ in self.sent if topic == "cashback-events"]


def transaction(line: Line, **record: Any) -> Record:
    return Record(encode("Transaction", transaction_datum(from_json(line))), **record)


def program(**fields: Any) -> Record:
    return Record(encode("Program", to_datum(parse_program(campaign(**fields)))), key=b"one-percent:1")


GOOD = transaction(payment("SETTLED", 5000, "02-01"))


@pytest.mark.parametrize(
    ("record", "reason", "told"),
    [
        (Record(None), "undecodable", "shorter than the five bytes"),
        (Record(b"\0\0\0\0\1\x02"), "undecodable", "not a Transaction"),
        (Record(b"\0\0\0\x03\xe7abc"), "undecodable", "schema id 999 is not known"),
        (Record(GOOD.value, key=b"bank:ben"), "rejected", "key: b'bank:ben' is not partner_id:member_id"),
        (
            Record(encode("Entitlement", {"kind": "CLIPPED", "partner_id": "b", "member_id": "m"})),
            "rejected",
            "clip_id: missing",
        ),
        (
            transaction(payment("SETTLED", 1, "2023-12-20T00:00:00Z")),
            "rejected",
            "occurred_at: 2023-12-20T00:00:00Z is before",
        ),
        (
            transaction(payment("SETTLED", 1, "02-01T12:06")),
            "rejected",
            "occurred_at: 2024-02-01T12:06:00Z is after",
        ),
    ],
)
def test_bad_input_goes_to_quarantine_with_field_and_remedy(record: Record, reason: str, told: str) -> None:
    partition = Partition()
    partition.take(program(), record, GOOD)
    [(given, message)] = partition.quarantined()
    assert given == reason
    assert told in message
    assert "; " in message
    assert partition.events() == ["CashbackCreated"]


def test_quarantine_keeps_the_bytes_and_says_where_they_came_from() -> None:
    partition = Partition()
    partition.take(Record(b"junk", offset=7, headers=(("trace", b"t1"),)))
    [(_, value, headers)] = partition.sent
    assert value == b"junk"
    assert headers["__connect.errors.offset"] == b"7"
    assert headers["__connect.errors.topic"] == b"inputs"
    assert headers["trace"] == b"t1"


def test_a_program_version_with_other_content_is_refused() -> None:
    partition = Partition()
    partition.take(program(), program(), program(hold_days=3), GOOD)
    assert partition.quarantined()[0][0] == "rejected"
    assert partition.fold.counts["program_repeated"] == 1
    assert partition.events() == ["CashbackCreated"]


def test_a_load_of_entitlements_of_which_some_are_bad_pauses_nobody() -> None:
    partition = Partition(Settings(clock="broker", bad_input_limit=4))
    for number in range(6):
        good = encode("Entitlement", entitlement_datum(entitlement_from_json(clip(f"c{number}"))))
        partition.take(Record(good), Record(b"junk", key=b"one:x"), Record(b"junk", key=b"two:x"))
    assert partition.pauses == []


def test_many_bad_inputs_of_two_partners_pause_the_worker() -> None:
    partition = Partition(Settings(clock="broker", bad_input_limit=4))
    partition.take(*[Record(b"junk", key=b"one:x")] * 10)
    assert partition.pauses == []
    partition.take(*[Record(b"junk", key=b"two:x")] * 3)
    assert partition.pauses
    assert "refused" in partition.pauses[0]


def test_a_good_input_between_bad_ones_keeps_the_worker_going() -> None:
    partition = Partition(Settings(clock="broker", bad_input_limit=2))
    bad = [Record(b"junk", key=b"one:x"), Record(b"junk", key=b"two:x")]
    partition.take(bad[0], GOOD, bad[1], GOOD)
    assert partition.pauses == []


def test_the_brokers_time_clears_what_is_due() -> None:
    partition = Partition()
    tick = Record(encode("Tick", {"emitted_at": 0}), key=b"", timestamp=(NOW + 13 * DAY + DAY // 2) // 1000)
    partition.take(program(), GOOD, tick)
    assert partition.events() == ["CashbackCreated", "CashbackCleared"]


def test_with_history_the_loaders_stamp_is_the_clock() -> None:
    partition = Partition(Settings(clock="event"))
    stamp = clock_header(from_iso("2024-02-15T00:00:00Z", "stamp"))
    partition.take(program(), GOOD)
    assert partition.events() == ["CashbackCreated"]
    partition.take(Record(encode("Tick", {"emitted_at": 0}), key=b"", headers=(stamp,)))
    assert partition.events() == ["CashbackCreated", "CashbackCleared"]


def test_a_restored_partition_goes_on_where_it_stood() -> None:
    before = Partition(Settings(clock="event"))
    stamp = clock_header(from_iso("2024-02-14T00:00:00Z", "stamp"))
    before.take(program(), Record(GOOD.value, headers=(stamp,)))
    after = Partition(Settings(clock="event"), store=before.store)
    assert after.fold.log.clock == before.fold.log.clock
    after.take(GOOD)
    assert after.fold.counts["duplicate"] == 1
    end = clock_header(from_iso("2024-03-01T00:00:00Z", "stamp"))
    after.take(Record(encode("Tick", {"emitted_at": 0}), key=b"", headers=(end,)))
    assert after.events() == ["CashbackCleared"]


def test_a_huge_backlog_fires_in_slices_before_the_next_record() -> None:
    partition = Partition(Settings(clock="event", due_slice=10))
    purchases = [transaction(payment("SETTLED", 5000, "02-01", external_id=f"t{n}")) for n in range(25)]
    partition.take(program(), *purchases)
    end = clock_header(from_iso("2024-03-01T00:00:00Z", "stamp"))
    tick = Record(encode("Tick", {"emitted_at": 0}), key=b"", headers=(end,))
    assert [partition.fold.advance(tick) for _ in range(3)] == [True, True, False]
    assert partition.events().count("CashbackCleared") == 25


def test_what_a_silent_payment_opens_stays_silent_whatever_follows_it() -> None:
    partition = Partition()
    bought = payment("AUTHORIZED", 5000, "02-01")
    partition.take(program(), transaction(bought, headers=[silent_header()]))
    partition.take(transaction(payment("REFUNDED", 5000, "02-01"), offset=1))
    partition.take(transaction(payment("SETTLED", 5000, "02-01", external_id="t2"), offset=2))
    said = [decode(value) for topic, value, _ in partition.sent if topic == "cashback-events"]
    assert [(name, datum["transaction_ref"], datum["silent"]) for name, datum in said] == [
        ("CashbackCreated", "t1", True),
        ("CashbackReverted", "t1", True),
        ("CashbackCreated", "t2", False),
    ]


def decision(**fields: Any) -> Line:
    return {
        "partner_id": "bank",
        "member_id": "ann",
        "external_id": "t1",
        "program_id": "one-percent",
        "sequence": 1,
        "revision": 1,
        "decision": "APPROVED",
        "actor": "eve",
        "second_actor": None,
        "reason": "returned",
        "decided_at": NOW,
        "livemode": True,
        **fields,
    }


def decided(**fields: Any) -> Record:
    return Record(encode("ReversalDecision", decision(**fields)))


REFUND = transaction(payment("REFUNDED", 2000, "02-01", part_id="r"))


def test_a_decision_says_on_the_wire_who_decided_and_why() -> None:
    partition = Partition()
    partition.take(program(hold_days=0), GOOD, REFUND, decided(second_actor="ben"))
    assert partition.events()[2:] == ["CashbackReverted", "CashbackCreated", "CashbackCleared"]
    told = [decode(value)[1] for topic, value, _ in partition.sent if topic == "cashback-events"][2]
    assert (told["reason"], told["actor"], told["second_actor"]) == ("REVERSED", "eve", "ben")
    assert told["note"] == "returned"
    case = [decode(value)[1] for topic, value, _ in partition.sent if topic == "reversal-cases"][-1]
    assert (case["case_id"], case["state"]) == (told["case_id"], "APPROVED")


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"revision": 2}, "revision: 2, but the case is at 1"),
        ({"member_id": "ben"}, "key: b'bank:ann' is not partner_id:member_id"),
        ({"decided_at": NOW + 6 * MINUTE}, "decided_at: 2024-02-01T12:06:00Z is after"),
        ({"decided_at": NOW - 36 * DAY}, "decided_at: 2023-12-27T12:00:00Z is before"),
        ({"reason": ""}, "reason: empty"),
    ],
)
def test_a_decision_that_cannot_be_taken_is_set_aside_and_nothing_changes(fields: Line, problem: str) -> None:
    partition = Partition(settings=Settings(clock="broker", bad_input_limit=1))
    partition.take(program(hold_days=0), GOOD, REFUND, decided(**fields))
    ((reason, told),) = partition.quarantined()
    assert reason == "rejected"
    assert told.startswith(problem)
    assert len(partition.events()) == 2
    partition.take(decided())
    assert "CashbackReverted" in partition.events()


def test_decisions_refused_one_after_another_are_no_fault_of_the_worker() -> None:
    partition = Partition(settings=Settings(clock="broker", bad_input_limit=2))
    partition.take(program(hold_days=0), GOOD, *(decided(revision=n) for n in range(2, 9)))
    assert len(partition.quarantined()) == 7
    assert partition.pauses == []
