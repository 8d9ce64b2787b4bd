"""From a Kafka record to what is to be posted of it, or to the reason why it is refused."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Any, NamedTuple, TypeAlias

from confluent_kafka import Message

from schemas.codec import decode
from schemas.errors import Undecodable
from schemas.money import AMOUNT_MAX, CURRENCIES, POINTS
from schemas.times import EARLIEST, LATEST, Micros
from schemas.webhooks import webhook_body
from sinks.ledger.known import Reference
from sinks.ledger.rows import NULL, blob, boolean, instant, int2, int4, int8, repeated_text, text

ASSETS = CURRENCIES | {POINTS}
TEXT_BYTES_MAX = 512

Owners: TypeAlias = tuple[bool, str, str, str, str]
"""livemode, partner_id, merchant_id, member_id, asset: whose accounts a cashback moves between."""

CREATED, RESOLVED, REVERSED = 1, 2, 3
_STEPS = {
    transition: text(transition) + int2(step)
    for transition, step in (
        *(("created", CREATED), ("cleared", RESOLVED), ("reverted", RESOLVED)),
        ("reversed", REVERSED),
    )
}
_WITHOUT_CREDIT = NULL * 4  # basket, employee, receipt and webhook are said once, by the creation


class Created(NamedTuple):
    """A CashbackCreated. The last four are the tails of its rows, see `rows`."""

    cashback_id: str
    transaction_id: str
    member_id: str
    reference: Reference
    owners: Owners
    at: Micros
    amount: int
    payload_hash: bytes
    silent: bool
    purchase: bytes
    cashback: bytes
    entry: bytes
    message: bytes


class Resolved(NamedTuple):
    """A CashbackCleared or CashbackReverted. The last two are the tails of its rows."""

    transition: str
    cashback_id: str
    transaction_id: str
    partner_id: str
    livemode: bool
    at: Micros
    payload_hash: bytes
    silent: bool
    entry: bytes
    message: bytes


class Reversed(NamedTuple):
    """A CashbackReverted of what had cleared. The last two are the tails of its rows."""

    cashback_id: str
    transaction_id: str
    partner_id: str
    livemode: bool
    payload_hash: bytes
    silent: bool
    entry: bytes
    message: bytes


@dataclass(frozen=True, slots=True)
class Case:
    """One revision of a reversal case, in the columns of `reversal_cases`."""

    row: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Refused:
    """A record the ledger will not post. `reason` is one of a closed set, `detail` a sentence."""

    reason: str
    detail: str


Reading: TypeAlias = Created | Resolved | Reversed | Case | Refused

_REVERSED = "REVERSED"
_LATER_IN_CASES = {"state": "OPEN", "actor": None, "second_actor": None, "note": None}
"""Fields that cases got later, with what says nothing: cases posted before keep their hash."""


def read(message: Message) -> Reading:
    """What `message` means to the ledger."""
    try:
        record, datum = decode(message.value())
    except Undecodable as error:
        return Refused("undecodable", str(error))
    match record:
        case "CashbackCreated":
            return _created(datum)
        case "CashbackCleared":
            return _resolved(record, "cleared", datum)
        case "CashbackReverted" if datum["reason"] == _REVERSED:
            return _reversed(record, datum)
        case "CashbackReverted":
            return _resolved(record, "reverted", datum)
        case "ReversalCase":
            return _case(datum)
    return Refused("unexpected_record", f"{record} is not a record of this topic")


def _created(event: dict[str, Any]) -> Created | Refused:
    fault = _fault_of_creation(event)
    if fault is not None:
        return fault
    live, partner, member = event["livemode"], event["partner_id"], event["member_id"]
    merchant, asset, amount = event["merchant_id"], event["currency"], event["amount"]
    cashback_id, transaction_id = event["cashback_transaction_id"], event["transaction_id"]
    reference, clear_at, basket = event["transaction_ref"], event["clear_at"], event["basket_minor"]
    employee, receipt, webhook = event["employee_id"], event["receipt_id"], event["webhook_id"]
    program, version, sequence = event["program_id"], event["program_version"], event["sequence"]
    body = webhook_body("CashbackCreated", event)
    payload_hash = _digest(
        body,
        f"{partner}\x1f{member}\x1f{merchant}\x1f{program}\x1f{employee or ''}\x1f{receipt or ''}"
        f"\x1f{webhook or ''}\x1f{version}\x1f{sequence}\x1f{live}\x1f{clear_at}\x1f{basket}",
        event["silent"],
    )
    bound = boolean(live) + repeated_text(partner) + text(reference) + text(transaction_id) + text(member)
    earned = text(cashback_id) + repeated_text(program) + int8(version) + int4(sequence)
    credit = int8(basket) + repeated_text(employee) + text(receipt) + text(webhook)
    return Created(
        cashback_id,
        transaction_id,
        member,
        (live, partner, reference),
        (live, partner, merchant, member, asset),
        event["timestamp"],
        amount,
        payload_hash,
        event["silent"],
        bound + repeated_text(merchant),
        earned + repeated_text(asset) + int8(amount) + instant(clear_at),
        _entry("created", event, payload_hash) + NULL + credit,
        text(event["event_id"]) + blob(body),
    )


def _resolved(record: str, transition: str, event: dict[str, Any]) -> Resolved | Refused:
    partner, member, merchant = event["partner_id"], event["member_id"], event["merchant_id"]
    program, reason, live = event["program_id"], event.get("reason"), event["livemode"]
    fault = _fault(event, (partner, member, merchant, program, reason or ""))
    if fault is not None:
        return fault
    body = webhook_body(record, event)
    payload_hash = _digest(
        body,
        f"{partner}\x1f{member}\x1f{merchant}\x1f{program}\x1f{reason or ''}"
        f"\x1f{event['program_version']}\x1f{event['sequence']}\x1f{live}",
        event["silent"],
    )
    return Resolved(
        transition,
        event["cashback_transaction_id"],
        event["transaction_id"],
        partner,
        live,
        event["timestamp"],
        payload_hash,
        event["silent"],
        _entry(transition, event, payload_hash) + repeated_text(reason) + _WITHOUT_CREDIT,
        text(event["event_id"]) + blob(body),
    )


def _reversed(record: str, event: dict[str, Any]) -> Reversed | Refused:
    """A reversal names its case, who approved it and why, or it is none."""
    case_id, actor, second, note = (event[name] for name in ("case_id", "actor", "second_actor", "note"))
    for name in ("case_id", "actor", "note"):
        if not event[name]:
            return Refused("invalid", f"{name}: missing on a reversal")
    partner, member, merchant = event["partner_id"], event["member_id"], event["merchant_id"]
    program, reason, live = event["program_id"], event["reason"], event["livemode"]
    fault = _fault(event, (partner, member, merchant, program, reason, case_id, actor, second or ""))
    if fault is None and "\0" in note:
        fault = Refused("invalid", "a text holds U+0000, which the database cannot keep")
    if fault is not None:
        return fault
    body = webhook_body(record, event)
    payload_hash = _digest(
        body,
        f"{partner}\x1f{member}\x1f{merchant}\x1f{program}\x1f{reason}"
        f"\x1f{event['program_version']}\x1f{event['sequence']}\x1f{live}"
        f"\x1f{case_id}\x1f{actor}\x1f{second or ''}\x1f{note}",
        event["silent"],
    )
    who = text(case_id) + text(actor) + text(second) + text(note)
    return Reversed(
        event["cashback_transaction_id"],
        event["transaction_id"],
        partner,
        live,
        payload_hash,
        event["silent"],
        _entry("reversed", event, payload_hash) + repeated_text(reason) + who,
        text(event["event_id"]) + blob(body),
    )


def _entry(transition: str, event: dict[str, Any], payload_hash: bytes) -> bytes:
    """What all entries say first, as far as the event knows it."""
    said = _STEPS[transition] + text(event["event_id"]) + instant(event["timestamp"])
    return said + blob(payload_hash) + boolean(event["silent"])


def _case(event: dict[str, Any]) -> Case | Refused:
    texts = [value for value in event.values() if isinstance(value, str)]
    if "\0" in "".join(texts):
        return Refused("invalid", "a text holds U+0000, which the database cannot keep")
    for name in ("opened_at", "updated_at"):
        if not EARLIEST <= event[name] < LATEST:
            return Refused("invalid", f"{name}: {event[name]} µs lies outside the years 2000-2099")
    said = {
        name: value
        for name, value in event.items()
        if name not in _LATER_IN_CASES or value != _LATER_IN_CASES[name]
    }
    texts = [value for value in said.values() if isinstance(value, str)]
    rest = "\x1f".join((*texts, *(str(said[name]) for name in sorted(said))))
    return Case(event | {"payload_hash": _digest(b"", rest, False)})


def _fault_of_creation(event: dict[str, Any]) -> Refused | None:
    amount, asset = event["amount"], event["currency"]
    extras = (
        event["partner_id"],
        event["member_id"],
        event["merchant_id"],
        event["program_id"],
        event["employee_id"] or "",
        event["receipt_id"] or "",
        event["webhook_id"] or "",
    )
    if fault := _fault(event, extras):
        return fault
    if not 0 < amount <= AMOUNT_MAX:
        return Refused("invalid", f"amount: {amount} is not between 1 and {AMOUNT_MAX}")
    if asset not in ASSETS:
        return Refused("invalid", f"currency: {asset!r} is not one of {', '.join(sorted(ASSETS))}")
    return None


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
    longest = max(map(len, texts))
    if longest > TEXT_BYTES_MAX // 4 and max(len(text.encode()) for text in texts) > TEXT_BYTES_MAX:
        return Refused("invalid", f"a text is longer than {TEXT_BYTES_MAX} bytes")
    return None


def _digest(body: bytes, rest: str, silent: bool) -> bytes:
    # Over the meaning, not the Avro bytes: a later schema version may encode the same event otherwise.
    # Silence adds to it and its absence nothing, so that events posted before there was any keep theirs.
    return sha256(
        body + f"\x1f{rest}\x1fsilent".encode() if silent else body + f"\x1f{rest}".encode()
    ).digest()[:16]
