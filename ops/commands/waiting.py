"""What the commands about waiting records share: options, ages, tables."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any

import typer

from schemas.errors import Rejected
from schemas.times import from_datetime, from_iso, to_datetime, to_iso

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object instead of text")]
BrokersOption = Annotated[str | None, typer.Option("--brokers", help="Kafka (host:port,…)")]

_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def age_text(seconds: int) -> str:
    """An age in its two largest units: 3 d 4 h."""
    for (unit, size), (smaller, part) in pairwise(_UNITS):
        if seconds >= size:
            left = seconds % size // part
            return f"{seconds // size} {unit}" + (f" {left} {smaller}" if left else "")
    return f"{seconds} s"


def since_ms(text: str | None) -> int:
    """An ISO 8601 option in milliseconds since 1970 UTC; 0 when it was not given."""
    if text is None:
        return 0
    try:
        return from_iso(text, "--since") // 1_000
    except Rejected as error:
        raise typer.BadParameter(str(error), param_hint="--since") from None


def moment_of(text: str, option: str) -> datetime:
    """The instant that an option names in ISO 8601."""
    try:
        return to_datetime(from_iso(text, option))
    except Rejected as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def json_form(row: "DataclassInstance") -> dict[str, Any]:
    """A row as JSON takes it: times in ISO 8601, bytes as text, what is not UTF-8 in them as \\x…."""
    return {name: _json_value(value) for name, value in asdict(row).items()}


def _json_value(value: object) -> object:
    match value:
        case datetime():
            return to_iso(from_datetime(value))
        case bytes():
            return value.decode("utf-8", "backslashreplace")
        case _:
            return value


def one_of(option: str, said: str | None, known: Sequence[str]) -> None:
    """Refuses a word that an option does not know."""
    if said is not None and said not in known:
        raise typer.BadParameter(f"{said!r} is not one of {', '.join(known)}", param_hint=option)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, folded: str) -> None:
    """A table; the column `folded` takes as many lines as it needs, the others are not broken."""
    from rich import box
    from rich.table import Table

    from ops.plain import print_plain, printable

    table = Table(box=box.SIMPLE_HEAD)
    for column in columns:
        if column == folded:
            table.add_column(column, overflow="fold", min_width=30)
        else:
            table.add_column(column, no_wrap=True)
    for row in rows:
        table.add_row(*map(printable, row))
    print_plain(table)
