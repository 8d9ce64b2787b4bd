"""What partners said, one fact a line, each with its place in the log and the clock when it was read."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from schemas.money import AMOUNT_MAX, ISO_4217
from schemas.times import EARLIEST, LATEST

DAY = 86_400_000_000
"""Microseconds of 24 hours."""

OPENING_KINDS = frozenset({"AUTHORIZED", "SETTLED"})
"""Kinds that make a purchase known."""

TAKING_KINDS = frozenset({"REFUNDED", "VOIDED", "DECLINED"})
"""Kinds that take back, and wait for their purchase when they come first."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OPTIONAL_IDS = ("part_id", "store_id", "mcc", "employee_id", "receipt_id", "webhook_id")
_IDS = ("partner_id", "external_id", "member_id", "merchant_id", *_OPTIONAL_IDS)


class BadLineError(ValueError):
    """A line that says nothing the system accepts; the text names the field."""


class Purchase(NamedTuple):
    """The identity of a purchase."""

    livemode: bool
    partner_id: str
    member_id: str
    external_id: str


class Fact(NamedTuple):
    """One line, normalised (null = missing, defaults filled in): equal facts are the same content."""

    livemode: bool
    partner_id: str
    member_id: str
    external_id: str
    kind: str
    part_id: str | None
    merchant_id: str
    amount_minor: int | None
    currency: str
    occurred_at: int
    channel: str
    store_id: str | None
    mcc: str | None
    employee_id: str | None
    receipt_id: str | None
    webhook_id: str | None

    @property
    def purchase(self) -> Purchase:
        """Which purchase it speaks of."""
        return Purchase(*self[:4])

    @property
    def identity(self) -> tuple[str, str | None]:
        """What tells it apart from the purchase's other facts."""
        return self.kind, self.part_id


_FIELDS = frozenset(Fact._fields)


class Arrival(NamedTuple):
    """A fact as it lies in the log; the clock (µs) already stands at this record."""

    place: int
    clock: int
    fact: Fact


def micros(value: object) -> int:
    """Microseconds since 1970 of an ISO 8601 string with a zone, or of an int that already is that."""
    if type(value) is int:
        return value
    if not isinstance(value, str):
        raise BadLineError(f"time {value!r} is neither text nor an integer")
    try:
        moment = datetime.fromisoformat(value)
    except ValueError as error:
        raise BadLineError(f"time {value!r} is not ISO 8601") from error
    if moment.tzinfo is None:
        raise BadLineError(f"time {value!r} has no zone")
    return (moment - _EPOCH) // timedelta(microseconds=1)


def read_fact(line: Mapping[str, Any]) -> Fact:
    """The fact in one JSON object of contract.md §2. Raises `BadLineError`."""
    if not line.keys() <= _FIELDS:
        raise BadLineError(f"unknown field {min(line.keys() - _FIELDS)}")
    get = line.get
    for field in _IDS:
        value = get(field)
        if type(value) is not str or not 1 <= len(value) <= 128 or not value.isprintable():
            check_id(field, value, optional=field in _OPTIONAL_IDS)
    if ":" in line["partner_id"]:
        raise BadLineError("partner_id has a colon")
    kind = get("kind")
    if kind not in OPENING_KINDS and kind not in TAKING_KINDS:
        raise BadLineError(f"kind {kind!r}")
    _check_amount(kind, get("amount_minor"))
    if line.get("currency") not in ISO_4217:
        raise BadLineError(f"currency {line.get('currency')!r}")
    if line.get("channel") not in ("ONLINE", "IN_STORE"):
        raise BadLineError(f"channel {line.get('channel')!r}")
    occurred_at = instant(line, "occurred_at")
    return Fact(
        livemode_of(line),
        line["partner_id"],
        line["member_id"],
        line["external_id"],
        kind,
        get("part_id"),
        line["merchant_id"],
        get("amount_minor"),
        line["currency"],
        occurred_at,
        line["channel"],
        get("store_id"),
        get("mcc"),
        get("employee_id"),
        get("receipt_id"),
        get("webhook_id"),
    )


def _check_amount(kind: str, amount: object) -> None:
    if amount is None:
        if kind in ("SETTLED", "REFUNDED"):
            raise BadLineError(f"amount_minor missing on {kind}")
    elif type(amount) is not int or not 0 <= amount <= AMOUNT_MAX:
        raise BadLineError(f"amount_minor {amount!r}")


def check_id(field: str, value: object, *, optional: bool = False) -> None:
    """Raises `BadLineError` unless the value is an id (or missing, where that is allowed)."""
    if value is None and optional:
        return
    if not isinstance(value, str) or not 1 <= len(value) <= 128:
        raise BadLineError(f"{field} {value!r} is not 1 to 128 characters")
    # isprintable() is false of controls, and of rare signs that are allowed
    if any(c < " " or c == "\x7f" or "\ud800" <= c <= "\udfff" for c in value):
        raise BadLineError(f"{field} {value!r} has a control character")


def livemode_of(line: Mapping[str, Any]) -> bool:
    """The field `livemode`, true where it is missing. Raises `BadLineError`."""
    livemode = line.get("livemode")
    if livemode is None:
        return True
    if type(livemode) is not bool:
        raise BadLineError(f"livemode {livemode!r}")
    return livemode


def instant(line: Mapping[str, Any], field: str) -> int:
    """The time in a field (µs), within the years that are accepted. Raises `BadLineError`."""
    at = micros(line.get(field))
    if not EARLIEST <= at < LATEST:
        raise BadLineError(f"{field} {line[field]!r} is out of range")
    return at
