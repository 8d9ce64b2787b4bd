"""Inputs that nobody may accept, each with the reason for which it must be set aside."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from schemas.codec import encode
from schemas.transactions import Transaction, to_datum

HEADER = "torture-poison"
"""Record header with the reason a poisoned input must be refused for; the judge believes it, nobody else."""
HUGE_BYTES = 300_000

_PLACE = "here-comes-nonsense"


@dataclass(frozen=True, slots=True)
class Poison:
    """A record as it is written; `reason` is undecodable or rejected."""

    key: bytes
    value: bytes | None
    reason: str


def poison(rng: Random, number: int) -> Poison:
    """One of the kinds there are; a reader that accepted it would reward a purchase nobody knows."""
    payment = Transaction(
        partner_id="bank",
        external_id=f"{_PLACE}-{number}",
        member_id=f"m{rng.randrange(1_000)}",
        merchant_id="grocer",
        kind="SETTLED",
        currency="EUR",
        occurred_at=1_740_000_000_000_000,
        channel="ONLINE",
        amount_minor=5_000,
    )
    return rng.choice(_KINDS)(payment, rng)


def _bytes(payment: Transaction) -> bytes:
    return encode("Transaction", to_datum(payment))


def _truncated(payment: Transaction, rng: Random) -> Poison:
    whole = _bytes(payment)
    return Poison(payment.key, whole[: rng.randrange(1, len(whole) - 1)], "undecodable")


def _unknown_schema(payment: Transaction, rng: Random) -> Poison:
    whole = _bytes(payment)
    return Poison(
        payment.key, whole[:1] + rng.randrange(900_000, 999_999).to_bytes(4, "big") + whole[5:], "undecodable"
    )


def _huge(payment: Transaction, rng: Random) -> Poison:
    return Poison(payment.key, _bytes(payment)[:40] + rng.randbytes(HUGE_BYTES), "undecodable")


def _invalid_text(payment: Transaction, _: Random) -> Poison:
    whole = _bytes(payment)
    return Poison(
        payment.key, whole.replace(_PLACE.encode(), b"\xff\xfe" + _PLACE.encode()[2:]), "undecodable"
    )


def _foreign_key(payment: Transaction, _: Random) -> Poison:
    return Poison(b"wallet:" + payment.member_id.encode(), _bytes(payment), "rejected")


def _nothing(payment: Transaction, _: Random) -> Poison:
    return Poison(payment.key, None, "undecodable")


_KINDS: tuple[Callable[[Transaction, Random], Poison], ...] = (
    _truncated,
    _unknown_schema,
    _huge,
    _invalid_text,
    _foreign_key,
    _nothing,
)
