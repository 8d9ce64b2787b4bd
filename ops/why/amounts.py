"""Amounts and times as people read them. Integers only."""

from schemas.money import CURRENCIES, POINTS
from schemas.times import SECOND, Micros, to_iso


def money(amount: int, asset: str) -> str:
    """`28.00 EUR`, `200 points`; other currencies as they came, in minor units."""
    if asset == POINTS:
        return f"{amount:,} point" if amount == 1 else f"{amount:,} points"
    if asset in CURRENCIES:
        return f"{figure(amount, asset)} {asset}"
    return f"{amount:,} minor units of {asset}"


def figure(amount: int, asset: str) -> str:
    """As `money`, without the asset."""
    if asset not in CURRENCIES:
        return f"{amount:,}"
    whole, cents = divmod(abs(amount), 100)
    return f"{'-' if amount < 0 else ''}{whole:,}.{cents:02}"


def percent(bps: int) -> str:
    """`1.5 %` of hundredths of a percent."""
    whole, rest = divmod(bps, 100)
    return f"{whole}.{rest:02}".rstrip("0").rstrip(".") + " %" if rest else f"{whole} %"


def moment(at: Micros) -> str:
    """`2025-03-01 12:00:00`, in UTC."""
    return to_iso(at).replace("T", " ").removesuffix("Z")


def second(at: Micros) -> str:
    """As `moment`, without a fraction: for times of machines."""
    return moment(at - at % SECOND)
