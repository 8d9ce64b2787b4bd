"""How fast the ledger posts: the lanes of the sink on a real database, without a broker.

What is timed is what the sink does, by its own code, with records that are there to be taken: decode, decide,
lay out, post with all constraints, balances and webhook outbox on. Members are spread over partitions, and
these over lanes, as in the sink. Records are made between the timed rounds.
"""

import time
import uuid
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count, islice
from random import Random
from types import TracebackType
from typing import Any, NamedTuple, Self
from zlib import crc32

import psycopg
from confluent_kafka import Message, TopicPartition

from ops.settings import Settings
from schemas import ids
from schemas.codec import encode
from sinks.database import become_writer, session_options
from sinks.lanes import Lane, State, follow_together, rare_collections
from sinks.ledger import rows
from sinks.ledger.consumer import LedgerWork
from sinks.ledger.posting import Batch, Posted
from sinks.ledger.staging import Created, Reading, Resolved, read
from sinks.positions import Positions
from sinks.webhooks.endpoints import register

PARTITIONS = 12
_LULL_S = 0.002
_START = 1_700_000_000_000_000
_OF_ALL_EVENTS = (
    "cashback_transaction_id", "transaction_id", "transaction_ref", "partner_id", "member_id", "merchant_id",
    "program_id", "program_version", "sequence", "livemode",
)  # fmt: skip
# What an event says, in one row: all that the ledger keeps of it but the numbers that the ledger adds.
_HEADS = {"purchases": 1, "cashbacks": 9, "entries": 2, "webhook_messages": 1}
_BARE = [
    f"{table}.{column}"
    for table, added in _HEADS.items()
    for column in rows.COPIES[table].partition("(")[2].rstrip(")").split(", ")[added:]
]
_NAMES = ", ".join(f"c{number}" for number in range(len(_BARE)))
_BARE_TABLE = (  # put together from constants
    f"CREATE TABLE bench_copy ({_NAMES}) AS SELECT {', '.join(_BARE)} FROM {', '.join(_HEADS)} WITH NO DATA"  # noqa: S608
)
_BARE_COPY = b"COPY bench_copy FROM STDIN (FORMAT BINARY)"

_Event = tuple[str, dict[str, Any]]


class Round(NamedTuple):
    """One timed round: how many entries (or rows), in how many seconds, of how many this process computed."""

    entries: int
    seconds: float
    cpu_seconds: float


class _Records:
    """Records of a lane's partitions that have arrived; read as from a consumer."""

    def __init__(self) -> None:
        self.arrived: deque[Message] = deque()

    def consume(self, num_messages: int, timeout: float, /) -> list[Message]:
        """What is left, at most so many; nothing is waited for as long as there is something."""
        if not self.arrived:
            time.sleep(min(timeout, _LULL_S))
        return [self.arrived.popleft() for _ in range(min(num_messages, len(self.arrived)))]

    def get_watermark_offsets(self, _: TopicPartition, /, *, cached: bool) -> None:
        """Nobody looks how far it is behind."""


class LedgerBench:
    """Posts events of a partner of its own, made up as it goes, through the lanes that the settings say.

    members: how many earn. open_max: so many cashbacks are created before the first of them is resolved; from
    then on half of the entries create and half resolve, the oldest first.
    """

    def __init__(
        self,
        database_url: str,
        *,
        members: int = 20_000,
        open_max: int = 50_000,
        settings: Settings | None = None,
    ) -> None:
        self._partner = f"bench-{uuid.uuid4().hex[:8]}"
        self._members, self._open_max = members, open_max
        self._events = self._from_the_first()
        self._url = database_url
        register(
            database_url,
            partner_id=self._partner,
            livemode=True,
            url="https://bench.example.com/",
            allow_loopback=False,
            actor="bench",
            reason="so that messages are queued",
        )
        self._work = LedgerWork(settings or Settings())
        self._state = State()
        self._opened = ExitStack()
        self._next_offsets = dict.fromkeys(range(PARTITIONS), 0)
        self._records = [_Records() for _ in range(self._work.lanes)]
        self._lanes = self._open_lanes()

    def _open_lanes(self) -> list[Lane[Batch, Posted]]:
        positions = Positions(sink=self._partner, instance=self._partner, stale_ms=10_000)
        lanes = []
        for number, records in enumerate(self._records):
            connection = self._opened.enter_context(
                psycopg.connect(self._url, autocommit=True, **session_options(self._partner))
            )
            if not number:
                begin = {(self._partner, partition): 0 for partition in range(PARTITIONS)}
                positions.load(connection, begin)
            become_writer(connection)
            share = positions.share(number, self._work.lanes)
            lanes.append(Lane(self._work, connection, share, records, self._state))
        return lanes

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()

    def post(self, entries: int) -> Round:
        """Make that many events, then post them against the clock."""
        before = self._state.counts.copy()
        for event in islice(self._events, entries):
            partition, message = self._message(event)
            self._records[partition % self._work.lanes].arrived.append(message)
        with rare_collections():
            began_s, cpu_s = time.perf_counter(), time.process_time()
            follow_together(self._lanes, lambda: self._state.counts.total() >= before.total() + entries)
            measured = Round(entries, time.perf_counter() - began_s, time.process_time() - cpu_s)
        posted = self._state.counts["entries"] - before["entries"]
        assert posted == entries, f"{posted} of {entries} entries were posted"
        return measured

    def copy(self, entries: int) -> Round:
        """The reference: what the first events say, copied into a table with neither index nor constraint."""
        events = islice(self._from_the_first(), entries)
        laid_out = [_bare_row(read(Message(value=encode(*event)))) for event in events]
        with psycopg.connect(self._url, autocommit=True, **session_options(self._partner)) as owner:
            owner.execute(_BARE_TABLE)
            began_s, cpu_s = time.perf_counter(), time.process_time()
            for start in range(0, entries, self._work.batch_records_max):
                part = laid_out[start : start + self._work.batch_records_max]
                with owner.cursor().copy(_BARE_COPY) as copy:
                    copy.write(b"".join((rows.HEADER, *part, rows.TRAILER)))
            measured = Round(entries, time.perf_counter() - began_s, time.process_time() - cpu_s)
            owner.execute("DROP TABLE bench_copy")
        return measured

    def _from_the_first(self) -> Iterator[_Event]:
        return _events(self._partner, self._members, self._open_max)

    def _message(self, event: _Event) -> tuple[int, Message]:
        """A record after those before it in the partition of its member."""
        partition = crc32(event[1]["member_id"].encode()) % PARTITIONS
        offset = self._next_offsets[partition]
        self._next_offsets[partition] += 1
        return partition, Message(
            topic=self._partner, partition=partition, offset=offset, value=encode(*event)
        )


def _bare_row(reading: Reading) -> bytes:
    assert isinstance(reading, Created | Resolved)
    created = reading.purchase + reading.cashback if isinstance(reading, Created) else rows.NULL * 13
    return len(_BARE).to_bytes(2) + created + reading.entry + reading.message


def _events(partner: str, members: int, open_max: int) -> Iterator[_Event]:
    """Without end."""
    random = Random(partner)
    pending: deque[dict[str, Any]] = deque()
    for number in count():
        member = f"member-{random.randrange(members)}"
        created = created_event(partner, member, f"order-{number}", random.randrange(1, 3_000))
        yield "CashbackCreated", created
        pending.append({name: created[name] for name in ("timestamp", *_OF_ALL_EVENTS)})
        if len(pending) > open_max:
            outcome = "reverted" if number % 5 == 1 else "cleared"
            yield f"Cashback{outcome.capitalize()}", resolved(pending.popleft(), outcome)


def created_event(partner: str, member: str, reference: str, amount: int, **changes: Any) -> dict[str, Any]:
    """A CashbackCreated as the stream publishes it: a campaign's first cashback of a purchase."""
    program, sequence = changes.get("program_id", "campaign-1"), changes.get("sequence", 1)
    live = changes.get("livemode", True)
    cashback = ids.cashback_id(live, partner, member, reference, program, sequence)
    event = {
        "event_id": ids.event_id(cashback, "created"),
        "timestamp": _START,
        "cashback_transaction_id": cashback,
        "amount": amount,
        "currency": "EUR",
        "transaction_id": ids.transaction_id(live, partner, member, reference),
        "transaction_ref": reference,
        "source": {"type": "campaign", "campaign_id": program},
        "partner_id": partner,
        "member_id": member,
        "merchant_id": "grocer",
        "program_id": program,
        "program_version": 1,
        "sequence": sequence,
        "livemode": live,
        "clear_at": _START + 14 * 86_400_000_000,
        "basket_minor": amount * 100,
        "receipt_id": f"receipt-{reference}",
        "employee_id": "till-7",
    }
    return event | changes


def resolved(created: dict[str, Any], outcome: str, **changes: Any) -> dict[str, Any]:
    """The CashbackCleared or CashbackReverted that ends `created`; `outcome` is cleared or reverted."""
    event = {name: created[name] for name in _OF_ALL_EVENTS}
    event["event_id"] = ids.event_id(created["cashback_transaction_id"], outcome)
    event["timestamp"] = created["timestamp"] + 14 * 86_400_000_000
    if outcome == "reverted":
        event["reason"] = "REFUNDED"
    return event | changes
