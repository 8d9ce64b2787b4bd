"""How fast the ledger posts: the batch writer on a real database, without a broker.

What is timed is what the sink does with records it has read: decode, decide, lay out, post with all
constraints, balances and webhook outbox on. Records are made between the timed rounds.
"""

import time
import uuid
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count, islice
from random import Random
from types import TracebackType
from typing import Any, NamedTuple, Self

import psycopg
from confluent_kafka import Message

from schemas import ids
from schemas.codec import encode
from sinks.database import become_writer, session_options
from sinks.ledger import rows
from sinks.ledger.posting import Batch, Ledger
from sinks.ledger.staging import Created, Reading, Resolved, read
from sinks.positions import Positions
from sinks.webhooks.endpoints import register

_COMMISSION_BPS = 1_000
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

_Numbered = tuple[int, tuple[str, dict[str, Any]]]


class Round(NamedTuple):
    """One timed round: how many entries (or rows), in how many seconds, of how many this process computed."""

    entries: int
    seconds: float
    cpu_seconds: float


class LedgerBench:
    """Posts events of a partner of its own, made up as it goes, through one session.

    members: how many earn. open_max: so many cashbacks are created before the first of them is resolved; from
    then on half of the entries create and half resolve, the oldest first.
    """

    def __init__(
        self, database_url: str, *, members: int = 20_000, open_max: int = 50_000, batch_events: int = 10_000
    ) -> None:
        self._partner = f"bench-{uuid.uuid4().hex[:8]}"
        self._members, self._open_max = members, open_max
        self._events = self._from_the_first()
        self._batch_events = batch_events
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
        self._connection = psycopg.connect(database_url, autocommit=True, **session_options(self._partner))
        positions = Positions(sink=self._partner, instance=self._partner, stale_ms=10_000)
        positions.load(self._connection, {(self._partner, 0): 0})
        become_writer(self._connection)
        self._ledger = Ledger(self._connection, positions)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def post(self, entries: int) -> Round:
        """Make that many events, then post them against the clock."""
        messages = self._messages(self._events, entries)
        began_s, cpu_s = time.perf_counter(), time.process_time()
        posted = self._post_all(messages)
        measured = Round(entries, time.perf_counter() - began_s, time.process_time() - cpu_s)
        assert posted == entries, f"{posted} of {entries} entries were posted"
        return measured

    def copy(self, entries: int) -> Round:
        """The reference: what the first events say, copied into a table with neither index nor constraint."""
        messages = self._messages(self._from_the_first(), entries)
        laid_out = [_bare_row(read(message)) for message in messages]
        with psycopg.connect(self._url, autocommit=True, **session_options(self._partner)) as owner:
            owner.execute(_BARE_TABLE)
            began_s, cpu_s = time.perf_counter(), time.process_time()
            for start in range(0, entries, self._batch_events):
                part = laid_out[start : start + self._batch_events]
                with owner.cursor().copy(_BARE_COPY) as copy:
                    copy.write(b"".join((rows.HEADER, *part, rows.TRAILER)))
            measured = Round(entries, time.perf_counter() - began_s, time.process_time() - cpu_s)
            owner.execute("DROP TABLE bench_copy")
        return measured

    def _post_all(self, messages: list[Message]) -> int:
        """As the sink: one batch is posted by a thread while the next is read."""
        posted = 0
        with ThreadPoolExecutor(1) as poster:
            running = None
            for start in range(0, len(messages), self._batch_events):
                batch = Batch(_COMMISSION_BPS)
                for message in messages[start : start + self._batch_events]:
                    batch.add(message)
                posted += running.result().entries if running else 0
                running = poster.submit(self._ledger.post, batch)
            return posted + (running.result().entries if running else 0)

    def _from_the_first(self) -> Iterator[_Numbered]:
        return enumerate(_events(self._partner, self._members, self._open_max))

    def _messages(self, events: Iterator[_Numbered], entries: int) -> list[Message]:
        return [
            Message(topic=self._partner, partition=0, offset=offset, value=encode(*event))
            for offset, event in islice(events, entries)
        ]


def _bare_row(reading: Reading) -> bytes:
    assert isinstance(reading, Created | Resolved)
    created = reading.purchase + reading.cashback if isinstance(reading, Created) else rows.NULL * 13
    return len(_BARE).to_bytes(2) + created + reading.entry + reading.message


def _events(partner: str, members: int, open_max: int) -> Iterator[tuple[str, dict[str, Any]]]:
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
