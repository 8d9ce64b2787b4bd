"""The comparison as one HTML page that needs nothing else: no network, no script; light or dark."""

from html import escape
from pathlib import Path

from ops.compare import charts, words
from ops.compare.charts import Bar, Group
from ops.compare.movement import Moved, Movement, Spread
from ops.compare.table import TOP_MEMBERS
from schemas.money import amount_text

CHARTED_MAX = 12
"""Programs in the chart; the table has more."""
LISTED_MAX = 200
"""Programs or merchants in a table."""
_STYLE = Path(__file__).with_name("page.css")
_KEY = ' <span class="keys"><span class="key old"></span>old<span class="key new"></span>new</span>'


def page(moved: Movement, *, old_name: str, new_name: str) -> str:
    """The whole document; the names say what is compared."""
    sections = "".join(_section(moved, total) for total in moved.totals)
    if words.is_empty(moved):
        sections = "<p>Nothing is earned under either.</p>"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>What {escape(new_name)} would change</title>
<style>
{_STYLE.read_text(encoding="utf-8")}</style>
</head>
<body>
<main>
<h1>What the new programs would change</h1>
<p>New: <code>{escape(new_name)}</code>. Old: <code>{escape(old_name)}</code>.</p>
<p class="soft">{escape(words.history(moved.new))} What members earn is what stands at the end: pending or
cleared, not what was taken back.</p>
{sections}
</main>
</body>
</html>
"""


def _section(moved: Movement, total: Moved) -> str:
    asset, spread = total.asset, moved.spreads[total.asset]
    changed = [line for line in moved.of(moved.members, asset) if line.difference]
    return f"""
<section aria-labelledby="{asset}">
<h2 id="{asset}">{escape(words.heading(asset))}</h2>
<p class="main">{escape(words.sentence(total))}</p>
<p>{escape(words.members(spread, asset))}</p>
{_cards(total)}
{_programs(moved.of(moved.programs, asset))}
{_months(moved.of(moved.months, asset))}
{_members(spread, changed, asset)}
<h3>By merchant</h3>
{_table("merchant", "Largest change first", moved.of(moved.merchants, asset), LISTED_MAX)}
</section>"""


def _cards(total: Moved) -> str:
    asset = total.asset
    cards = [
        (
            "Members earn",
            words.change(total.difference, asset),
            _from_to(total.old_reward, total.new_reward, asset),
        ),
        (
            "Commission",
            words.change(total.commission_difference, asset),
            _from_to(total.old_commission, total.new_commission, asset),
        ),
        (
            "Cashbacks",
            f"{total.new_cashbacks - total.old_cashbacks:+,}",
            f"{total.old_cashbacks:,} → {total.new_cashbacks:,}",
        ),
        (
            "Purchases that earn",
            f"{total.beginning - total.ceasing:+,}",
            f"{total.beginning:,} begin, {total.ceasing:,} cease",
        ),
    ]
    return f'<dl class="cards">{"".join(_card(*card) for card in cards)}</dl>'


def _card(name: str, figure: str, below: str) -> str:
    return (
        f'<div class="card"><dt>{escape(name)}</dt>'
        f'<dd>{escape(figure)}<span class="soft">{escape(below)}</span></dd></div>'
    )


def _from_to(old: int, new: int, asset: str) -> str:
    return f"{amount_text(old, asset)} → {amount_text(new, asset)}"


def _programs(lines: list[Moved]) -> str:
    changed = [line for line in lines if line.difference]
    shown = changed[:CHARTED_MAX]
    groups = [Group(line.name, _pair(line)) for line in shown]
    described = "; ".join(
        f"{line.name}: {_from_to(line.old_reward, line.new_reward, line.asset)}" for line in shown
    )
    which = "" if len(changed) <= CHARTED_MAX else f" The {CHARTED_MAX} largest changes."
    chart = charts.rows("What members earn by program, old and new", described, groups)
    figure = f"<figure><figcaption>What members earn by each program that changes.{which}{_KEY}</figcaption>"
    return f"""
<h3>By program</h3>
{f"{figure}{chart}</figure>" if shown else ""}
{_table("program", "Largest change first", lines, LISTED_MAX)}"""


def _months(lines: list[Moved]) -> str:
    if len(lines) < 2:
        return ""
    asset = lines[0].asset
    values = charts.tick_values(max(max(line.old_reward, line.new_reward) for line in lines))
    ticks = [Bar(value, amount_text(value, asset).removesuffix(".00"), "") for value in values]
    groups = [Group(words.month(line.name), _pair(line)) for line in lines]
    described = "; ".join(
        f"{words.month(line.name)}: {_from_to(line.old_reward, line.new_reward, asset)}" for line in lines
    )
    chart = charts.columns("What members earn by month, old and new", described, groups, ticks)
    caption = f"What members earn, by the month in which it was created.{_KEY}"
    return f"""
<h3>By month</h3>
<figure><figcaption>{caption}</figcaption>{chart}</figure>"""


def _members(spread: Spread, changed: list[Moved], asset: str) -> str:
    if not changed:
        return ""
    groups = [
        Group(
            words.bucket(bucket, asset),
            [Bar(bucket.members, f"{bucket.members:,}", "loss" if (bucket.low or -1) < 0 else "gain")],
        )
        for bucket in spread.buckets
    ]
    described = "; ".join(f"{group.label}: {group.bars[0].text}" for group in groups)
    chart = charts.rows("How many members gain or lose how much", described, groups)
    shown = changed[:TOP_MEMBERS]
    table = _table("member", f"The {len(shown)} largest changes", shown, TOP_MEMBERS)
    caption = (
        f"How many members gain or lose how much over the whole time. {spread.unchanged:,} see no change."
    )
    figure = f"<figure><figcaption>{caption}</figcaption>{chart}</figure>" if groups else ""
    return f"""
<h3>By member</h3>
{figure}
{table}"""


def _pair(line: Moved) -> list[Bar]:
    return [
        Bar(line.old_reward, amount_text(line.old_reward, line.asset), "old"),
        Bar(line.new_reward, amount_text(line.new_reward, line.asset), "new"),
    ]


def _table(name: str, caption: str, lines: list[Moved], most: int) -> str:
    headings = ("old", "new", "change", "", "commission ±", "cashbacks", "begin", "cease")
    head = "".join(f'<th scope="col">{heading}</th>' for heading in (name, *headings))
    body = "".join(_row(line) for line in lines[:most])
    rest = f" {len(lines) - most:,} more are not shown." if len(lines) > most else ""
    legend = "Begin, cease: purchases that begin or cease to earn by it."
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="By {name}"><table>'
        f"<caption>{escape(caption)}.{rest} {legend}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _row(line: Moved) -> str:
    direction = "up" if line.difference > 0 else "down" if line.difference < 0 else ""
    kind = ' class="same"' if line.is_unchanged else ""
    cells = (
        ("", amount_text(line.old_reward, line.asset)),
        ("", amount_text(line.new_reward, line.asset)),
        (direction, words.change(line.difference, line.asset)),
        ("", words.percent(line.old_reward, line.new_reward)),
        ("", words.change(line.commission_difference, line.asset)),
        ("", f"{line.old_cashbacks:,} → {line.new_cashbacks:,}"),
        ("", f"{line.beginning:,}"),
        ("", f"{line.ceasing:,}"),
    )
    row = "".join(f'<td class="{way}">{escape(text)}</td>' for way, text in cells)
    return f'<tr{kind}><th scope="row">{escape(line.name)}</th>{row}</tr>'
