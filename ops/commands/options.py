"""Options that several commands have, and what is said by them."""

import re
from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated

import typer

from schemas.errors import Rejected
from schemas.times import EARLIEST, LATEST, Micros, from_iso, to_datetime

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object instead of text")]
AsJsonAtEnd = Annotated[bool, typer.Option("--json", help="End with one JSON object on standard output")]
AsCsv = Annotated[bool, typer.Option("--csv", help="CSV (RFC 4180) with a line of names")]
Brokers = Annotated[str | None, typer.Option("--brokers", help="Kafka (host:port,…)")]
Database = Annotated[str | None, typer.Option(help="PostgreSQL of the ledger (URL)")]
Actor = Annotated[str, typer.Option(help="Who decides this")]
Why = Annotated[str, typer.Option("--reason", help="Why, for who reads it later")]
FromDay = Annotated[
    str | None, typer.Option("--from", metavar="DAY", help="First day, YYYY-MM-DD, where the merchant is")
]
ToDay = Annotated[
    str | None, typer.Option("--to", metavar="DAY", help="Last day, inclusive, where the merchant is")
]

LISTED = 200
"""Rows of a list, unless more are asked for."""
ANY_NUMBER = 100_000
"""Rows that may be asked for."""

Partner = Annotated[str | None, typer.Option(help="Only those of this partner")]
Places = Annotated[
    list[str] | None, typer.Argument(metavar="PLACE", help="partition:offset, as `list` shows it")
]
Most = Annotated[int, typer.Option(min=1, max=ANY_NUMBER, help="With --all: so many at most, the oldest")]

_DAY = re.compile(r"\d{4}-\d\d-\d\d")


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


def one_of(option: str, said: str | None, known: Sequence[str]) -> None:
    """Refuses a word that an option does not know."""
    if said is not None and said not in known:
        raise typer.BadParameter(f"{said!r} is not one of {', '.join(known)}", param_hint=option)
