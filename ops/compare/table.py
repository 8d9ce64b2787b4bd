"""The comparison for a terminal, and as one JSON object."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ops.compare import words
from ops.compare.movement import Bucket, Moved, Movement
from ops.plain import printable
from schemas.money import amount_text

TOP_MEMBERS = 20
LINES_MAX = 40
"""Programs or merchants in a table; the rest is counted."""
_BAR_MAX = 40


def show(console: Console, moved: Movement) -> None:
    """Everything that moves, asset by asset."""
    console.print(words.history(moved.new), highlight=False)
    if words.is_empty(moved):
        console.print("Nothing is earned under either.", highlight=False)
    for total in moved.totals:
        asset = total.asset
        console.print()
        console.print(Text(words.heading(asset), "bold underline"))
        for said in (
            words.sentence(total),
            words.commission(total),
            words.purchases(total),
            words.members(moved.spreads[asset], asset),
        ):
            console.print(said, highlight=False, soft_wrap=True)
        for name, lines in (("program", moved.programs), ("merchant", moved.merchants)):
            console.print(_table(name, moved.of(lines, asset), LINES_MAX))
        changed = [line for line in moved.of(moved.members, asset) if line.difference]
        if changed:
            console.print(_table("member", changed, TOP_MEMBERS))
        if buckets := moved.spreads[asset].buckets:
            console.print(_bars(buckets, asset))


def as_json(moved: Movement) -> dict[str, Any]:
    """The comparison as one object; amounts in minor units or points (asset XXX)."""
    changed = [line for line in moved.members if line.difference]
    return {
        "purchases": moved.new.purchases,
        "members": moved.new.members,
        "totals": [_fields(line, name=False) for line in moved.totals],
        "programs": [_fields(line) for line in moved.programs],
        "merchants": [_fields(line) for line in moved.merchants],
        "months": [_fields(line) for line in moved.months],
        "top_members": [
            _fields(line) for asset in moved.assets for line in moved.of(changed, asset)[:TOP_MEMBERS]
        ],
        "spreads": {asset: asdict(spread) for asset, spread in moved.spreads.items()},
    }


def _fields(line: Moved, *, name: bool = True) -> dict[str, Any]:
    fields = asdict(line) | {"difference": line.difference}
    if not name:
        del fields["name"]
    return fields


def _table(name: str, lines: list[Moved], most: int) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column(name, no_wrap=True, overflow="ellipsis", max_width=40)
    for heading in ("old", "new", "change", "", "commission ±", "cashbacks", "begin", "cease"):
        table.add_column(heading, justify="right", no_wrap=True)
    changed = [line for line in lines if not line.is_unchanged]
    unchanged = [line for line in lines if line.is_unchanged]
    for line in changed[:most]:
        table.add_row(printable(line.name), *_cells(line))
    for rest, said in ((changed[most:], "more"), (unchanged, "without change")):
        if rest:
            table.add_row(Text(f"and {len(rest):,} {said}", "dim"), *_cells(_sum(rest)))
    return table


def _cells(line: Moved) -> Iterable[str | Text]:
    colour = "green" if line.difference > 0 else "yellow" if line.difference < 0 else "dim"
    return (
        amount_text(line.old_reward, line.asset),
        amount_text(line.new_reward, line.asset),
        Text(words.change(line.difference, line.asset), colour),
        words.percent(line.old_reward, line.new_reward),
        words.change(line.commission_difference, line.asset),
        f"{line.old_cashbacks:,} → {line.new_cashbacks:,}",
        f"{line.beginning:,}",
        f"{line.ceasing:,}",
    )


def _sum(lines: list[Moved]) -> Moved:
    total = Moved(lines[0].asset, "")
    for line in lines:
        for field in Moved.__dataclass_fields__:
            if field not in ("asset", "name"):
                setattr(total, field, getattr(total, field) + getattr(line, field))
    return total


def _bars(buckets: list[Bucket], asset: str) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), show_header=False)
    most = max(bucket.members for bucket in buckets)
    for bucket in buckets:
        bar = "█" * round(_BAR_MAX * bucket.members / most)
        table.add_row(words.bucket(bucket, asset), f"{bucket.members:>7,}", bar)
    return table
