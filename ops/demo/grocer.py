"""The demo's inputs: real baskets, campaigns and coupons of a year, with made-up payment events around them.

Made up, seeded: when a payment settles, refunds (5 % of the baskets), what arrives late, what arrives twice.
All is drawn from a hash of seed and basket: a household's year does not depend on who else is in the run.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import merge
from pathlib import Path
from struct import unpack

from ops.demo.offers import entitlements
from ops.demo.source import CURRENCY, MERCHANT, PARTNER, Basket, Year, digest, member_of
from schemas.entitlements import Entitlement
from schemas.times import MINUTE, Micros, from_iso
from schemas.transactions import AUTHORIZED, REFUNDED, SETTLED, Transaction

PROGRAMS_FILE = Path(__file__).with_name("programs.yaml")
UNTIL: Micros = from_iso("2018-02-01T00:00:00Z", "until")
"""When the demo's clock stops: every hold of the year is over."""

HOUSEHOLDS_DEFAULT = 200

REFUNDED_SHARE = 0.05
FULL_SHARE = 0.3
"""Of the refunded baskets: refunded in full."""
OVERTAKING_SHARE = 0.1
"""Of the refunded baskets: the refund arrives before its purchase."""
LATE_SHARE = 0.02
REPEATED_SHARE = 0.02

_Arrival = tuple[Micros, Transaction | Entitlement]

_HOUR: Micros = 60 * MINUTE
# Returns come within twenty days: most while the reward is held, some after it cleared.
_RETURNED_AFTER = (_HOUR, 20 * 24 * _HOUR)
_RETURNED_AT_ONCE = (10 * MINUTE, 6 * _HOUR)
_SETTLED_AFTER = (2 * _HOUR, 44 * _HOUR)
_LATE_BY = (6 * _HOUR, 72 * _HOUR)


@dataclass
class Payments:
    """All events of a year in the order in which they arrive; how many of them are made up, and how.

    `entitlements` arrive when they are granted.
    """

    transactions: list[Transaction] = field(default_factory=list)
    arrived_at: list[Micros] = field(default_factory=list)
    """When each of `transactions` arrives."""
    entitlements: list[Entitlement] = field(default_factory=list)
    refunds: int = 0
    overtaking: int = 0
    """Refunds that arrive before their purchase."""
    late: int = 0
    repeated: int = 0

    def in_order(self) -> Iterator[Transaction | Entitlement]:
        """Everything as it arrives; at one moment what entitles comes before what is bought."""
        granted: Iterator[_Arrival] = ((said.granted_at or 0, said) for said in self.entitlements)
        bought: Iterator[_Arrival] = zip(self.arrived_at, self.transactions, strict=True)
        # Of equals `merge` takes those of its first source first.
        return (arrival for _, arrival in merge(granted, bought, key=lambda each: each[0]))


def payments(year: Year) -> Payments:
    """What the demo loads: deterministic by the year's baskets and seed."""
    made = Payments(entitlements=entitlements(year))
    arrivals = [arrival for basket in year.baskets for arrival in _events(basket, year.seed, made)]
    arrivals.sort(key=lambda arrival: arrival[0])
    made.arrived_at = [at for at, _ in arrivals]
    made.transactions = [transaction for _, transaction in arrivals]
    return made


class _Draws:
    """Uniform numbers that belong to one basket."""

    def __init__(self, seed: int, basket_id: int) -> None:
        self._left: list[int] = list(unpack(">32H", digest(seed, basket_id)))

    def chance(self, share: float) -> bool:
        return self._left.pop() < share * 2**16

    def between(self, span: tuple[int, int], unit: int = 1) -> int:
        """A multiple of `unit`, from the first of `span` up to the second, which is not reached."""
        low, high = span
        return (low + ((high - low) * self._left.pop() >> 16)) // unit * unit


def _events(basket: Basket, seed: int, made: Payments) -> list[tuple[Micros, Transaction]]:
    """What happens to one basket, as (arrival, event)."""
    draws = _Draws(seed, basket.basket_id)
    bought_at = basket.bought_at
    settled_at = bought_at + draws.between(_SETTLED_AFTER, MINUTE)
    late = [draws.between(_LATE_BY) if draws.chance(LATE_SHARE) else 0 for _ in range(2)]
    made.late += sum(delay > 0 for delay in late)
    events = [
        (bought_at + late[0], _payment(basket, AUTHORIZED, basket.total_minor, bought_at)),
        (settled_at + late[1], _payment(basket, SETTLED, basket.total_minor, settled_at)),
    ]
    if draws.chance(REFUNDED_SHARE) and basket.total_minor > 0:
        events = _with_return(basket, draws, made, events)
    repeats = [(at + draws.between(_LATE_BY), event) for at, event in events if draws.chance(REPEATED_SHARE)]
    made.repeated += len(repeats)
    return events + repeats


def _with_return(
    basket: Basket, draws: _Draws, made: Payments, events: list[tuple[Micros, Transaction]]
) -> list[tuple[Micros, Transaction]]:
    is_full, overtakes = draws.chance(FULL_SHARE), draws.chance(OVERTAKING_SHARE)
    amount = basket.total_minor if is_full else draws.between((1, basket.total_minor + 1))
    returned_at = basket.bought_at + draws.between(
        _RETURNED_AT_ONCE if overtakes else _RETURNED_AFTER, MINUTE
    )
    refund = (returned_at, _payment(basket, REFUNDED, amount, returned_at))
    if overtakes:
        # The terminal's payments were held up and come an hour behind the refund.
        events = [(max(at, returned_at + _HOUR), event) for at, event in events]
    made.refunds += 1
    made.overtaking += returned_at < min(at for at, _ in events)
    return [*events, refund]


def _payment(basket: Basket, kind: str, amount_minor: int, at: Micros) -> Transaction:
    return Transaction(
        partner_id=PARTNER,
        external_id=f"basket-{basket.basket_id}",
        member_id=member_of(basket.household_id),
        merchant_id=MERCHANT,
        kind=kind,
        part_id="return-1" if kind == REFUNDED else None,
        amount_minor=amount_minor,
        currency=CURRENCY,
        occurred_at=at,
        channel="IN_STORE",
        store_id=f"store-{basket.store_id}",
        receipt_id=str(basket.basket_id),
    )
