"""From a Kafka record to the row that is staged for posting, or to the reason why it is refused."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Any, TypeAlias

from confluent_kafka import Message

from schemas.codec import decode
from schemas.errors import Undecodable
from schemas.money import AMOUNT_MAX, CURRENCIES, POINTS
from schemas.times import EARLIEST, LATEST
from schemas.webhooks import webhook_body

ASSETS = CURRENCIES | {POINTS}
TEXT_BYTES_MAX = 512
_PG_EPOCH_MICROS = 946_684_800_000_000  # PostgreSQL counts microseconds from 2000-01-01

Row: TypeAlias = tuple[Any, ...]
Owners: TypeAlias = tuple[bool, str, str, str, str]
"""livemode, partner_id, merchant_id, member_id, asset: whose accounts a cashback moves between."""

CREATED, RESOLVED = 1, 2

# Columns of the staging table in the order of `Row`, with the type that is written. Times are written as
# the integer PostgreSQL keeps: the binary form of a timestamp is just that.
COLUMNS: tuple[tuple[str, str], ...] = (
    ("line", "int4"),
    ("step", "int2"),
    ("transition", "text"),
    ("cashback_id", "text"),
    ("event_id", "text"),
    ("event_at", "int8"),
    ("payload_hash", "bytea"),
    ("livemode", "bool"),
    ("silent", "bool"),
    ("partner_id", "text"),
    ("member_id", "text"),
    ("transaction_id", "text"),
    ("body", "bytea"),
    ("reason", "text"),
    ("merchant_id", "text"),
    ("transaction_ref", "text"),
    ("program_id", "text"),
    ("program_version", "int8"),
    ("sequence", "int4"),
    ("asset", "text"),
    ("amount", "int8"),
    ("commission_bps", "int4"),
    ("commission", "int8"),
    ("clear_at", "int8"),
    ("basket_minor", "int8"),
    ("employee_id", "text"),
    ("receipt_id", "text"),
    ("webhook_id", "text"),
)
_RESOLVED_PADDING = (None,) * 14


@dataclass(frozen=True, slots=True)
class Staged:
    """One event as a row of the staging table; `owners` only where accounts are needed (created)."""

    row: Row
    owners: Owners | None


@dataclass(frozen=True, slots=True)
class Case:
    """One revision of a reversal case, in the columns of `reversal_cases`."""

    row: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Refused:
    """A record the ledger will not post. `reason` is one of a closed set, `detail` a sentence."""

    reason: str
    detail: str


Reading: TypeAlias = Staged | Case | Refused


def read(message: Message, line: int, commission_bps: int) -> Reading:
    """What `message` means to the ledger; `line` is its place in the batch."""
    try:
        record, datum = decode(message.value())
    except Undecodable as error:
        return Refused("undecodable", str(error))
    match record:
        case "CashbackCreated":
            return _created(datum, line, commission_bps)
        case "CashbackCleared":
            return _resolved(record, "cleared", datum, line)
        case "CashbackReverted":
            return _resolved(record, "reverted", datum, line)
        case "ReversalCase":
            return _case(datum)
    return Refused("unexpected_record", f"{record} is not a record of this topic")


def _created(event: dict[str, Any], line: int, commission_bps: int) -> Staged | Refused:
    amount, asset, clear_at = event["amount"], event["currency"], event["clear_at"]
    extras = (
        event["partner_id"],
        event["member_id"],
        event["merchant_id"],
        event["program_id"],
        event["employee_id"] or "",
        event["receipt_id"] or "",
        event["webhook_id"] or "",
    )
    fault = _fault(event, extras)
    if fault is None and not 0 < amount <= AMOUNT_MAX:
        fault = Refused("invalid", f"amount: {amount} is not between 1 and {AMOUNT_MAX}")
    if fault is None and asset not in ASSETS:
        fault = Refused("invalid", f"currency: {asset!r} is not one of {', '.join(sorted(ASSETS))}")
    if fault is not None:
        return fault
    body = webhook_body("CashbackCreated", event)
    figures = (
        event["program_version"],
        event["sequence"],
        event["livemode"],
        clear_at,
        event["basket_minor"],
        *_silence(event),
    )
    row = (
        line,
        CREATED,
        "created",
        event["cashback_transaction_id"],
        event["event_id"],
        event["timestamp"] - _PG_EPOCH_MICROS,
        _digest(body, extras, figures),
        event["livemode"],
        event["silent"],
        event["partner_id"],
        event["member_id"],
        event["transaction_id"],
        body,
        None,
        event["merchant_id"],
        event["transaction_ref"],
        event["program_id"],
        event["program_version"],
        event["sequence"],
        asset,
        amount,
        commission_bps,
        amount * commission_bps // 10_000,
        None if clear_at is None else clear_at - _PG_EPOCH_MICROS,
        event["basket_minor"],
        event["employee_id"],
        event["receipt_id"],
        event["webhook_id"],
    )
    owners = (event["livemode"], event["partner_id"], event["merchant_id"], event["member_id"], asset)
    return Staged(row, owners)


def _resolved(record: str, transition: str, event: dict[str, Any], line: int) -> Staged | Refused:
    reason = event.get("reason")
    extras = (
        event["partner_id"],
        event["member_id"],
        event["merchant_id"],
        event["program_id"],
        reason or "",
    )
    fault = _fault(event, extras)
    if fault is not None:
        return fault
    body = webhook_body(record, event)
    figures = (event["program_version"], event["sequence"], event["livemode"], *_silence(event))
    head = (
        line,
        RESOLVED,
        transition,
        event["cashback_transaction_id"],
        event["event_id"],
        event["timestamp"] - _PG_EPOCH_MICROS,
        _digest(body, extras, figures),
        event["livemode"],
        event["silent"],
        event["partner_id"],
        event["member_id"],
        event["transaction_id"],
        body,
        reason,
    )
    return Staged(head + _RESOLVED_PADDING, None)


def _case(event: dict[str, Any]) -> Case | Refused:
    texts = [value for value in event.values() if isinstance(value, str)]
    if "\0" in "".join(texts):
        return Refused("invalid", "a text holds U+0000, which the database cannot keep")
    for name in ("opened_at", "updated_at"):
        if not EARLIEST <= event[name] < LATEST:
            return Refused("invalid", f"{name}: {event[name]} µs lies outside the years 2000-2099")
    return Case(event | {"payload_hash": _digest(b"", texts, [event[name] for name in sorted(event)])})


def _fault(event: dict[str, Any], extras: tuple[str, ...]) -> Refused | None:
    if not EARLIEST <= event["timestamp"] < LATEST:
        return Refused("invalid", f"timestamp: {event['timestamp']} µs lies outside the years 2000-2099")
    texts = (
        event["event_id"],
        event["cashback_transaction_id"],
        event["transaction_id"],
        event["transaction_ref"],
        *extras,
    )
    joined = "".join(texts)
    if "\0" in joined:
        return Refused("invalid", "a text holds U+0000, which the database cannot keep")
    # Index rows have a size limit in PostgreSQL; ids have 128 characters of at most four bytes.
    if len(joined) > TEXT_BYTES_MAX // 4 and max(len(text.encode()) for text in texts) > TEXT_BYTES_MAX:
        return Refused("invalid", f"a text is longer than {TEXT_BYTES_MAX} bytes")
    return None


def _silence(event: dict[str, Any]) -> tuple[str, ...]:
    """What silence adds to a digest; else nothing, so that events posted before keep theirs."""
    return ("silent",) if event["silent"] else ()


def _digest(body: bytes, texts: Any, figures: Any) -> bytes:
    # Over the meaning, not the Avro bytes: a later schema version may encode the same event otherwise.
    rest = "\x1f".join((*texts, *map(str, figures)))
    return sha256(body + b"\x1f" + rest.encode()).digest()[:16]
