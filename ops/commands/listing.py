"""How the commands about the books ask and answer: days, moments, CSV, JSON written row by row."""

import csv
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime
from typing import Annotated, Any

import typer

from schemas.errors import Rejected
from schemas.times import EARLIEST, LATEST, Micros, from_iso, to_datetime, to_iso

AsCsv = Annotated[bool, typer.Option("--csv", help="CSV (RFC 4180) with a line of names")]
Database = Annotated[str | None, typer.Option(help="PostgreSQL of the ledger (URL)")]
FromDay = Annotated[
    str | None, typer.Option("--from", metavar="DAY", help="First day, YYYY-MM-DD, where the merchant is")
]
ToDay = Annotated[
    str | None, typer.Option("--to", metavar="DAY", help="Last day, inclusive, where the merchant is")
]

_DAY = re.compile(r"\d{4}-\d\d-\d\d")
# What a spreadsheet would take for a formula, when a cell begins with it.
_FORMULA = tuple("=+-@\t\r\n＝＋－＠")


def day(text: str, option: str) -> date:
    """The day an option names. Raises `Rejected`."""
    try:
        if not _DAY.fullmatch(text):
            raise ValueError
        found = date.fromisoformat(text)
    except ValueError:
        raise Rejected(option, f"{text!r} is not a day", "write YYYY-MM-DD such as 2024-01-31") from None
    if not to_datetime(EARLIEST).date() <= found < to_datetime(LATEST).date():
        raise Rejected(option, f"{text} lies outside the years 2000-2099", "write YYYY-MM-DD")
    return found


def days(first: str | None, last: str | None) -> tuple[date | None, date | None]:
    """What --from and --to name, both inclusive. Raises `Rejected`."""
    since = None if first is None else day(first, "--from")
    until = None if last is None else day(last, "--to")
    if since and until and until < since:
        raise Rejected("--to", f"{until} lies before --from {since}", "swap them")
    return since, until


def moment(text: str, option: str) -> Micros | date:
    """An instant with a zone in microseconds, or a whole day. Raises `Rejected`."""
    if _DAY.fullmatch(text):
        return day(text, option)
    return from_iso(text, option)


def one_form(*, as_json: bool, as_csv: bool) -> None:
    """Raises `Rejected` when both are wanted."""
    if as_json and as_csv:
        raise Rejected("--csv", "--json is given as well", "choose one of them")


def mode(livemode: bool) -> str:
    """`live` or `test`."""
    return "live" if livemode else "test"


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


def print_rows(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Sequence[str], title: str | None = None
) -> None:
    """A table in which nothing is cut; columns in `numbers` are flush right."""
    from rich import box
    from rich.table import Table

    from ops.plain import print_plain, printable

    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in columns:
        table.add_column(column, justify="right" if column in numbers else "left", no_wrap=True)
    for row in rows:
        table.add_row(*map(printable, row))
    print_plain(table)


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, str) and value.startswith(_FORMULA):
        return "'" + value
    return json.dumps(value) if isinstance(value, list | dict | bool) else value
