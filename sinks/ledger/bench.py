"""How fast the ledger posts: the batch writer on a real database, without a broker.

What is timed is what the sink does with records it has read: decode, stage, post with all constraints,
balances and webhook outbox on. Half of the entries are creations, half resolve them.
"""

import time
import uuid
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any

import psycopg
from confluent_kafka import Message

from schemas import ids
from schemas.codec import encode
from sinks.database import become_writer, session_options
from sinks.ledger.posting import Batch, Ledger
from sinks.positions import Positions
from sinks.webhooks.endpoints import register

_COMMISSION_BPS = 1_000
_START = 1_700_000_000_000_000
_PENDING_MAX = 20_000
_OF_ALL_EVENTS = (
    "cashback_transaction_id", "transaction_id", "transaction_ref", "partner_id", "member_id", "merchant_id",
    "program_id", "program_version", "sequence", "livemode",
)  # fmt: skip


def measure(
    database_url: str, *, entries: int = 200_000, members: int = 20_000, batch_events: int = 10_000
) -> dict[str, float]:
    """Entries a second into the migrated database at `database_url`, a partner of its own each time.

    Returns ``{"entries_per_s", "entries", "seconds", "cpu_us_per_entry"}``; CPU of this process alone.
    """
    partner = f"bench-{uuid.uuid4().hex[:8]}"
    register(
        database_url,
        partner_id=partner,
        livemode=True,
        url="https://bench.example.com/",
        allow_loopback=False,
        actor="bench",
        reason="so that messages are queued",
    )
    messages = list(_messages(partner, entries, members))
    with psycopg.connect(database_url, autocommit=True, **session_options(partner)) as connection:
        positions = Positions(sink=partner, instance=partner, stale_ms=10_000)
        positions.load(connection, {(partner, 0): 0})
        become_writer(connection)
        ledger = Ledger(connection, positions)
        began_s, cpu_s = time.perf_counter(), time.process_time()
        posted = _post_all(ledger, messages, batch_events)
        seconds, cpu_s = time.perf_counter() - began_s, time.process_time() - cpu_s
    assert posted == entries, f"{posted} of {entries} entries were posted"
    return {
        "entries_per_s": round(entries / seconds),
        "entries": entries,
        "seconds": round(seconds, 3),
        "cpu_us_per_entry": round(cpu_s / entries * 1e6, 1),
    }


def _post_all(ledger: Ledger, messages: list[Message], batch_events: int) -> int:
    posted = 0
    with ThreadPoolExecutor(1) as poster:
        running = None
        for start in range(0, len(messages), batch_events):
            batch = Batch(_COMMISSION_BPS)
            for message in messages[start : start + batch_events]:
                batch.add(message)
            posted += running.result().entries if running else 0
            running = poster.submit(ledger.post, batch)
        return posted + (running.result().entries if running else 0)


def _messages(partner: str, entries: int, members: int) -> Iterator[Message]:
    for offset, (record, event) in enumerate(_events(partner, entries, members)):
        yield Message(topic=partner, partition=0, offset=offset, value=encode(record, event))


def _events(partner: str, entries: int, members: int) -> Iterator[tuple[str, dict[str, Any]]]:
    random = Random(partner)
    pending: deque[dict[str, Any]] = deque()
    creations = (entries + 1) // 2
    for number in range(entries):
        due = len(pending) > _PENDING_MAX or creations == 0
        if due or (pending and number % 2):
            created = pending.popleft()
            outcome = "reverted" if number % 10 == 1 else "cleared"
            yield f"Cashback{outcome.capitalize()}", resolved(created, outcome)
        else:
            creations -= 1
            member = f"member-{random.randrange(members)}"
            pending.append(created_event(partner, member, f"order-{number}", random.randrange(1, 3_000)))
            yield "CashbackCreated", pending[-1]


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
