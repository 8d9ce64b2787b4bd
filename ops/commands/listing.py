"""How commands answer: tables, CSV, JSON written row by row."""

import csv
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from schemas.times import from_datetime, to_iso

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
# What a spreadsheet would take for a formula, when a cell begins with it.
_FORMULA = tuple("=+-@\t\r\n＝＋－＠")


def mode(livemode: bool) -> str:
    """`live` or `test`."""
    return "live" if livemode else "test"


def counted(number: int, thing: str) -> str:
    """`1 payment`, `2,000 payments`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def age_text(seconds: int) -> str:
    """An age in its two largest units: 3 d 4 h."""
    for (unit, size), (smaller, part) in pairwise(_UNITS):
        if seconds >= size:
            left = seconds % size // part
            return f"{seconds // size} {unit}" + (f" {left} {smaller}" if left else "")
    return f"{seconds} s"


def form(row: Any, times: Sequence[str] = ()) -> dict[str, Any]:
    """A row for JSON or CSV: `mode` in place of `livemode`, times and days in ISO 8601."""
    shown: dict[str, Any] = {}
    for name, value in asdict(row).items():
        if name == "livemode":
            shown["mode"] = mode(value)
        elif name in times:
            shown[name] = to_iso(value)
        elif isinstance(value, datetime):
            shown[name] = value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        else:
            shown[name] = str(value) if isinstance(value, date) else value
    return shown


def json_form(row: "DataclassInstance") -> dict[str, Any]:
    """A row as JSON takes it: times in ISO 8601, bytes as text, what is not UTF-8 in them as \\x…."""
    return {name: _json_value(value) for name, value in asdict(row).items()}


def write_csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Lines end with CR LF; a text that a spreadsheet would run as a formula gets an apostrophe before it."""
    lines = csv.writer(sys.stdout, lineterminator="\r\n")
    lines.writerow(columns)
    for row in rows:
        lines.writerow([_cell(row[column]) for column in columns])


def write_json(name: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Begin one JSON object with the list `name`, row by row; `end_json` writes the rest."""
    sys.stdout.write(f'{{"{name}": [')
    for number, row in enumerate(rows):
        sys.stdout.write((", " if number else "") + json.dumps(row))
    sys.stdout.write("]")


def end_json(**rest: Any) -> None:
    """The other members of the object, and its end."""
    for name, value in rest.items():
        sys.stdout.write(f', "{name}": {json.dumps(value)}')
    sys.stdout.write("}\n")


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    numbers: Sequence[str] = (),
    folded: str | None = None,
    title: str | None = None,
) -> None:
    """A table in which nothing is cut; `none` when it has no rows.

    Columns in `numbers` are flush right; only the column `folded` takes as many lines as it needs.
    """
    from rich import box
    from rich.table import Table

    from ops.plain import print_plain, printable

    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in columns:
        if column == folded:
            table.add_column(column, overflow="fold", min_width=30)
        else:
            table.add_column(column, justify="right" if column in numbers else "left", no_wrap=True)
    for row in rows:
        table.add_row(*map(printable, row))
    if not table.row_count:
        sys.stdout.write("none\n")
        return
    print_plain(table)


def _json_value(value: object) -> object:
    match value:
        case datetime():
            return to_iso(from_datetime(value))
        case bytes():
            return value.decode("utf-8", "backslashreplace")
        case _:
            return value


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, str) and value.startswith(_FORMULA):
        return "'" + value
    return json.dumps(value) if isinstance(value, list | dict | bool) else value
