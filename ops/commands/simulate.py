"""`cashback simulate`: judge a history of payments without a broker."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from ops.cli import EXIT_BAD_LINES
from ops.commands.output import tell_if_none, write_text
from ops.histories import FileHistory
from schemas.program_files import read_programs
from schemas.times import from_iso
from streams.simulate import simulate


def simulate_command(
    programs: Annotated[
        Path, typer.Option(help="Programs: YAML list or JSON Lines", exists=True, dir_okay=False)
    ],
    transactions: Annotated[
        Path, typer.Option(help="Transactions: JSON Lines or Parquet, in order", exists=True, dir_okay=False)
    ],
    events: Annotated[
        Path, typer.Option(help="Where the cashback events go, JSON Lines; - for standard output")
    ],
    entitlements: Annotated[
        Path | None, typer.Option(help="Entitlements: JSON Lines", exists=True, dir_okay=False)
    ] = None,
    decisions: Annotated[Path | None, typer.Option(help="Where the decisions go, JSON Lines")] = None,
    until: Annotated[str | None, typer.Option(help="Move the clock here at the end (ISO 8601, UTC)")] = None,
) -> None:
    """Judge a whole history with the code of the stream.

    The clock is the largest occurred_at so far. Bad lines are named and left out, with exit code 3.
    """
    found = read_programs(programs)
    history = FileHistory(transactions, entitlements)
    result = simulate(
        programs=found.programs,
        entitlements=history.entitlements(),
        transactions=history.transactions(),
        until=None if until is None else from_iso(until, "until"),
    )
    _write(events, result.events)
    if decisions is not None:
        _write(decisions, result.decisions)
    for fault in found.faults:
        typer.echo(str(fault), err=True)
    if not found.faults:
        tell_if_none(programs, found.programs)
    for bad in result.bad:
        typer.echo(history.told(bad), err=True)
    for conflict in result.conflicts:
        typer.echo(f"conflict: {history.told(conflict)}", err=True)
    if result.conflicts:
        typer.echo(f"conflicts: {len(result.conflicts)}; what came first stands", err=True)
    for parked in result.unmatched:
        typer.echo(f"without a purchase: {history.told(parked)}", err=True)
    if found.faults or result.bad:
        raise typer.Exit(EXIT_BAD_LINES)


def _write(path: Path, lines: Iterable[dict[str, Any]]) -> None:
    text = "".join(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n" for line in lines)
    if str(path) == "-":
        typer.echo(text, nl=False)
        return
    write_text(path, text)
