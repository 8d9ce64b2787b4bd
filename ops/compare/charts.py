"""Charts as inline SVG: horizontal bars and columns, coloured by the style sheet of the page they stand in.

Each has a title and a description for those who cannot see it; the figures stand in a table beside it.
"""

from collections.abc import Iterator, Sequence
from html import escape
from itertools import count
from typing import NamedTuple

WIDTH = 760
_LABEL_WIDTH = 210
_VALUE_WIDTH = 110
_BAR_HEIGHT = 14
_BAR_GAP = 3
_ROW_GAP = 12
_TOP = 6
_PLOT_HEIGHT = 220
_AXIS_WIDTH = 90
_TICKS = 4
_LABELS_MAX = 13
"""Under columns; of more every second, third, … is written."""

_numbers = count(1)


class Bar(NamedTuple):
    """One bar: its length, what stands beside it, and its class (old, new, gain, loss)."""

    value: int
    text: str
    kind: str


class Group(NamedTuple):
    """Bars that belong together, under one label."""

    label: str
    bars: Sequence[Bar]


def rows(title: str, description: str, groups: Sequence[Group]) -> str:
    """Horizontal bars from one common zero; values must not be negative."""
    longest = max((bar.value for group in groups for bar in group.bars), default=0) or 1
    room = WIDTH - _LABEL_WIDTH - _VALUE_WIDTH
    parts: list[str] = []
    y = _TOP
    for group in groups:
        height = len(group.bars) * (_BAR_HEIGHT + _BAR_GAP) - _BAR_GAP
        parts.append(_text(_LABEL_WIDTH - 10, y + height / 2, _short(group.label), "label end"))
        for bar in group.bars:
            length = max(room * bar.value / longest, 1.5 if bar.value else 0)
            parts.append(_rect(_LABEL_WIDTH, y, length, _BAR_HEIGHT, bar.kind))
            parts.append(_text(_LABEL_WIDTH + length + 6, y + _BAR_HEIGHT / 2, bar.text, "value"))
            y += _BAR_HEIGHT + _BAR_GAP
        y += _ROW_GAP - _BAR_GAP
    parts.append(
        f'<line class="axis" x1="{_LABEL_WIDTH}" x2="{_LABEL_WIDTH}" y1="0" y2="{y - _ROW_GAP + 6}"/>'
    )
    return _svg(title, description, y - _ROW_GAP + _TOP, parts)


def columns(title: str, description: str, groups: Sequence[Group], ticks: Sequence[Bar]) -> str:
    """Columns side by side over their labels, with a line at each tick; the last tick is the top."""
    top = ticks[-1].value or 1
    parts = list(_grid(ticks, top))
    step = (WIDTH - _AXIS_WIDTH) / max(1, len(groups))
    for place, group in enumerate(groups):
        width = min(26.0, step * 0.8 / max(1, len(group.bars)))
        x = _AXIS_WIDTH + step * (place + 0.5) - width * len(group.bars) / 2
        for bar in group.bars:
            height = _PLOT_HEIGHT * bar.value / top
            parts.append(_rect(x, _TOP + _PLOT_HEIGHT - height, width - 1, height, bar.kind))
            x += width
        if place % -(-len(groups) // _LABELS_MAX) == 0:
            middle = _AXIS_WIDTH + step * (place + 0.5)
            parts.append(_text(middle, _TOP + _PLOT_HEIGHT + 16, group.label, "label middle"))
    return _svg(title, description, _TOP + _PLOT_HEIGHT + 28, parts)


def tick_values(largest: int) -> list[int]:
    """About four round values from 0 to just above `largest`."""
    wanted = max(1, -(-largest // _TICKS))
    power = 10 ** (len(str(wanted)) - 1)
    step = next(part * power // 10 for part in (10, 20, 25, 50, 100) if part * power >= 10 * wanted)
    return list(range(0, max(1, largest) + step, max(1, step)))


def _grid(ticks: Sequence[Bar], top: int) -> Iterator[str]:
    for tick in ticks:
        y = _TOP + _PLOT_HEIGHT * (1 - tick.value / top)
        yield f'<line class="grid" x1="{_AXIS_WIDTH}" x2="{WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield _text(_AXIS_WIDTH - 8, y, tick.text, "value end")


def _svg(title: str, description: str, height: float, parts: Sequence[str]) -> str:
    number = next(_numbers)
    names = f"chart-{number}-title chart-{number}-text"
    return (
        f'<svg role="img" aria-labelledby="{names}" viewBox="0 0 {WIDTH} {height:.0f}">'
        f'<title id="chart-{number}-title">{escape(title)}</title>'
        f'<desc id="chart-{number}-text">{escape(description)}</desc>{"".join(parts)}</svg>'
    )


def _rect(x: float, y: float, width: float, height: float, kind: str) -> str:
    return f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="2"/>'


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" dy="0.35em">{escape(text)}</text>'


def _short(text: str, length_max: int = 28) -> str:
    return text if len(text) <= length_max else text[: length_max - 1] + "…"
