"""From a Kafka record to what is to be posted of it, or to the reason why it is refused."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Any, NamedTuple, TypeAlias

from confluent_kafka import Message

from schemas.codec import decode, decode_fields
from schemas.errors import Undecodable
from schemas.money import AMOUNT_MAX, CURRENCIES, POINTS
from schemas.times import EARLIEST, LATEST, Micros
from schemas.webhooks import creation_body, resolution_body
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
_SAID = 12  # fields that CashbackCleared and CashbackReverted begin with alike
_LATER_IN_CASES = {"state": "OPEN", "actor": None, "second_actor": None, "note": None}
"""Fields that cases got later, with what says nothing: cases posted before keep their hash."""


def read(message: Message) -> Reading:
    """What `message` means to the ledger."""
    value = message.value()
    try:
        record, fields, plain = decode_fields(value)
    except Undecodable as error:
        return Refused("undecodable", str(error))
    match record:
        case "CashbackCreated":
            return _created(fields, plain)
        case "CashbackCleared":
            return _resolved(record, "cleared", fields[:_SAID], None, fields[_SAID], plain)
        case "CashbackReverted":
            reason, silent, *by = fields[_SAID:]
            if reason == _REVERSED:
                return _reversed(fields[:_SAID], silent, _By(*by))
            return _resolved(record, "reverted", fields[:_SAID], reason, silent, plain)
        case "ReversalCase":
            return _case(decode(value)[1])
    return Refused("unexpected_record", f"{record} is not a record of this topic")


def _created(fields: tuple[Any, ...], plain: bool) -> Created | Refused:
    """`plain`: as `decode_fields` says; then little is left to look at."""
    (
        event_id, at, cashback_id, amount, asset, transaction_id, reference, source, partner, member,
        merchant, program, version, sequence, live, clear_at, basket, employee, receipt, webhook, silent,
    ) = fields  # fmt: skip
    if not (plain and EARLIEST <= at < LATEST and 0 < amount <= AMOUNT_MAX and asset in ASSETS):
        extras = (partner, member, merchant, program, employee or "", receipt or "", webhook or "")
        texts = (event_id, cashback_id, transaction_id, reference, *extras)
        if fault := _fault(at, texts) or _fault_of_money(amount, asset):
            return fault
    body = creation_body(
        event_id=event_id,
        at=at,
        cashback_id=cashback_id,
        amount=amount,
        currency=asset,
        transaction_id=transaction_id,
        reference=reference,
        source=source,
    )
    payload_hash = _digest(
        body,
        f"{partner}\x1f{member}\x1f{merchant}\x1f{program}\x1f{employee or ''}\x1f{receipt or ''}"
        f"\x1f{webhook or ''}\x1f{version}\x1f{sequence}\x1f{live}\x1f{clear_at}\x1f{basket}",
        silent,
    )
    event = text(event_id)
    bound = boolean(live) + repeated_text(partner) + text(reference) + text(transaction_id) + text(member)
    earned = text(cashback_id) + repeated_text(program) + int8(version) + int4(sequence)
    credit = int8(basket) + repeated_text(employee) + text(receipt) + text(webhook)
    return Created(
        cashback_id,
        transaction_id,
        member,
        (live, partner, reference),
        (live, partner, merchant, member, asset),
        at,
        amount,
        payload_hash,
        silent,
        bound + repeated_text(merchant),
        earned + repeated_text(asset) + int8(amount) + instant(clear_at),
        _entry("created", event, at, payload_hash, silent) + NULL + credit,
        event + blob(body),
    )


def _resolved(
    record: str, transition: str, said: tuple[Any, ...], reason: str | None, silent: bool, plain: bool
) -> Resolved | Refused:
    (
        event_id, at, cashback_id, transaction_id, reference, partner, member, merchant, program,
        version, sequence, live,
    ) = said  # fmt: skip
    if not (plain and EARLIEST <= at < LATEST):
        texts = (event_id, cashback_id, transaction_id, reference, partner, member, merchant, program)
        if fault := _fault(at, texts):
            return fault
    body = resolution_body(
        record,
        event_id=event_id,
        at=at,
        cashback_id=cashback_id,
        transaction_id=transaction_id,
        reference=reference,
    )
    payload_hash = _digest(
        body,
        f"{partner}\x1f{member}\x1f{merchant}\x1f{program}\x1f{reason or ''}"
        f"\x1f{version}\x1f{sequence}\x1f{live}",
        silent,
    )
    event = text(event_id)
    entry = _entry(transition, event, at, payload_hash, silent) + repeated_text(reason) + _WITHOUT_CREDIT
    return Resolved(
        transition,
        cashback_id,
        transaction_id,
        partner,
        live,
        at,
        payload_hash,
        silent,
        entry,
        event + blob(body),
    )


class _By(NamedTuple):
    """Whose word a reversal is."""

    case_id: str | None
    actor: str | None
    second_actor: str | None
    note: str | None


def _reversed(said: tuple[Any, ...], silent: bool, by: _By) -> Reversed | Refused:
    """A reversal names its case, who approved it and why, or it is none."""
    for name in ("case_id", "actor", "note"):
        if not getattr(by, name):
            return Refused("invalid", f"{name}: missing on a reversal")
    case_id, actor, second, note = by
    (
        event_id, at, cashback_id, transaction_id, reference, partner, member, merchant, program,
        version, sequence, live,
    ) = said  # fmt: skip
    names = (partner, member, merchant, program, case_id or "", actor or "", second or "")
    fault = _fault(at, (event_id, cashback_id, transaction_id, reference, *names))
    if fault is None and "\0" in (note or ""):
        fault = Refused("invalid", "a text holds U+0000, which the database cannot keep")
    if fault is not None:
        return fault
    body = resolution_body(
        "CashbackReverted",
        event_id=event_id,
        at=at,
        cashback_id=cashback_id,
        transaction_id=transaction_id,
        reference=reference,
    )
    payload_hash = _digest(
        body,
        f"{partner}\x1f{member}\x1f{merchant}\x1f{program}\x1f{_REVERSED}"
        f"\x1f{version}\x1f{sequence}\x1f{live}"
        f"\x1f{case_id}\x1f{actor}\x1f{second or ''}\x1f{note}",
        silent,
    )
    event = text(event_id)
    who = text(case_id) + text(actor) + text(second) + text(note)
    entry = _entry("reversed", event, at, payload_hash, silent) + repeated_text(_REVERSED) + who
    return Reversed(
        cashback_id, transaction_id, partner, live, payload_hash, silent, entry, event + blob(body)
    )


def _entry(transition: str, event: bytes, at: Micros, payload_hash: bytes, silent: bool) -> bytes:
    """What all entries say first, as far as the event knows it. `event`: its id, laid out."""
    return _STEPS[transition] + event + instant(at) + blob(payload_hash) + boolean(silent)


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


def _fault_of_money(amount: int, asset: str) -> Refused | None:
    if not 0 < amount <= AMOUNT_MAX:
        return Refused("invalid", f"amount: {amount} is not between 1 and {AMOUNT_MAX}")
    if asset not in ASSETS:
        return Refused("invalid", f"currency: {asset!r} is not one of {', '.join(sorted(ASSETS))}")
    return None


def _fault(at: Micros, texts: tuple[str, ...]) -> Refused | None:
    if not EARLIEST <= at < LATEST:
        return Refused("invalid", f"timestamp: {at} µs lies outside the years 2000-2099")
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
