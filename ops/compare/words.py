"""What a comparison says in words, the same in the terminal and on the page."""

from datetime import UTC, datetime

from ops.compare.judged import Judged
from ops.compare.movement import Bucket, Moved, Movement, Spread
from schemas.money import POINTS, amount_text
from schemas.times import to_datetime


def asset_name(asset: str) -> str:
    """An asset as people call it."""
    return "points" if asset == POINTS else asset


def heading(asset: str) -> str:
    """An asset as a heading."""
    return "Points" if asset == POINTS else asset


def amount(value: int, asset: str) -> str:
    """An amount with its code."""
    return f"{amount_text(value, asset)} {asset_name(asset)}"


def change(value: int, asset: str) -> str:
    """A difference, with its sign."""
    return amount_text(value, asset, sign=True)


def percent(old: int, new: int) -> str:
    """How much more or less, in percent of the old; empty when there is no old."""
    if not old:
        return ""
    per_mille = round(1000 * abs(new - old) / old)
    mark = "" if not per_mille else "+" if new > old else "-"
    return f"{mark}{per_mille // 10}.{per_mille % 10} %"


def count_of(number: int, one: str) -> str:
    """A number of things, in the plural where it is one."""
    return f"{number:,} {one}" if number == 1 else f"{number:,} {one}s"


def month(name: str) -> str:
    """A month YYYY-MM in short."""
    return datetime.strptime(name, "%Y-%m").replace(tzinfo=UTC).strftime("%b %y")


def history(judged: Judged) -> str:
    """What was judged."""
    if not judged.purchases:
        return "No purchase was judged."
    first, last = (to_datetime(at).strftime("%-d %B %Y") for at in (judged.first_at, judged.last_at))
    return (
        f"{count_of(judged.purchases, 'purchase')} of {count_of(judged.members, 'member')}, "
        f"{first} to {last}, judged under both."
    )


def sentence(total: Moved) -> str:
    """The main thing about one asset."""
    now, before = amount(total.new_reward, total.asset), amount(total.old_reward, total.asset)
    if not total.difference:
        return f"Members would have earned {now}, as much as before."
    more = "more" if total.difference > 0 else "less"
    by = percent(total.old_reward, total.new_reward)
    return (
        f"Members would have earned {now} instead of {before}: "
        f"{amount(abs(total.difference), total.asset)} {more}{f' ({by})' if by else ''}."
    )


def commission(total: Moved) -> str:
    """What the commission does."""
    new, old = total.new_commission, total.old_commission
    if new == old:
        return f"Commission would stay at {amount(new, total.asset)}."
    return f"Commission would be {amount(new, total.asset)} instead of {amount(old, total.asset)}."


def purchases(total: Moved) -> str:
    """Purchases that begin or cease to earn."""
    begin, cease = count_of(total.beginning, "purchase"), count_of(total.ceasing, "purchase")
    return f"{begin} would begin to earn, {cease} would no longer earn."


def members(spread: Spread, asset: str) -> str:
    """How the difference falls on members."""
    gain = (
        f"{count_of(spread.gaining, 'member')} would gain{_half(spread.gaining, spread.median_gain, asset)}"
    )
    loss = f"{spread.losing:,} would lose{_half(spread.losing, spread.median_loss, asset)}"
    return f"{gain}, {loss}, {spread.unchanged:,} would see no change."


def _half(number: int, median: int, asset: str) -> str:
    if number < 2:
        return f" {amount(median, asset)}" if number else ""
    return f" (half of them at most {amount(median, asset)})"


def bucket(of: Bucket, asset: str) -> str:
    """The bounds of a bucket."""
    if of.low is None:
        return f"lose over {amount_text(-(of.high or 0), asset)}"
    if of.high is None:
        return f"gain over {amount_text(of.low - 1, asset)}"
    if of.low < 0:
        return f"lose {amount_text(1 - of.high, asset)} to {amount_text(-of.low, asset)}"
    return f"gain {amount_text(of.low, asset)} to {amount_text(of.high - 1, asset)}"


def is_empty(moved: Movement) -> bool:
    """Whether nothing was earned under either."""
    return not moved.totals
