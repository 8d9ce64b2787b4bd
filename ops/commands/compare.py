"""`cashback compare`."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from connectors.files import open_entitlements, open_transactions
from ops.cli import EXIT_BAD_LINES
from ops.commands.options import AsJson
from ops.commands.output import tell_if_none, write_text
from ops.compare.judged import Files, RealYear, judge_both
from ops.compare.movement import Movement, movement
from ops.compare.page import page
from ops.compare.table import as_json as figures_of
from ops.compare.table import show
from ops.demo.grocer import PROGRAMS_FILE
from ops.settings import get_settings
from schemas.errors import Rejected
from schemas.program_files import read_programs
from schemas.programs import ProgramSpec
from schemas.times import Micros, from_iso

WIDTH_PLAIN = 130


def compare(
    programs: Annotated[
        Path, typer.Option(help="The new programs: YAML list or JSON Lines", exists=True, dir_okay=False)
    ],
    against: Annotated[
        Path | None,
        typer.Option(
            help="The old programs; with --real-year those of the demo", exists=True, dir_okay=False
        ),
    ] = None,
    transactions: Annotated[
        Path | None,
        typer.Option(help="Payments: JSON Lines or Parquet, in order", exists=True, dir_okay=False),
    ] = None,
    entitlements: Annotated[
        Path | None, typer.Option(help="Entitlements: JSON Lines", exists=True, dir_okay=False)
    ] = None,
    real_year: Annotated[
        bool, typer.Option("--real-year", help="Take the grocery year of the demo, all households")
    ] = False,
    households: Annotated[
        int | None, typer.Option(min=1, help="Of the real year: so many households only")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Move the clock here at the end (ISO 8601, UTC)")] = None,
    html: Annotated[
        Path | None, typer.Option(help="Also write it as a page with charts", dir_okay=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Try programs on history before you switch them on: who would earn how much more or less.

    Both sets of programs judge the same payments with the code of the
    stream. Nothing is written to Kafka or the ledger.

    Commission: at the rate set. Bad lines are named and left out, with
    exit code 3.
    """
    old_file = against or (PROGRAMS_FILE if real_year else None)
    if old_file is None:
        raise typer.BadParameter("name the programs to compare with", param_hint="--against")
    history = _history(transactions, entitlements, until, real_year=real_year, households=households)
    old, new = _programs(old_file), _programs(programs)
    console = Console(stderr=as_json, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = max(console.width, WIDTH_PLAIN)
    with console.status("Judging the payments under both"):
        judged = judge_both(history, old, new, get_settings())
    moved = movement(*judged)
    if as_json:
        typer.echo(json.dumps(figures_of(moved)))
    else:
        with console.capture() as shown:
            show(console, moved)
        # Tables are padded to their width: nobody needs blanks at the end of a line.
        typer.echo("\n".join(line.rstrip() for line in shown.get().splitlines()))
    if html is not None:
        write_text(html, page(moved, old_name=old_file.name, new_name=programs.name))
        if not as_json:
            console.print(f"\nAs a page with charts: {html}", highlight=False, soft_wrap=True)
    _complain(moved)


def _history(
    transactions: Path | None,
    entitlements: Path | None,
    until: str | None,
    *,
    real_year: bool,
    households: int | None,
) -> Files | RealYear:
    if real_year:
        if transactions or entitlements or until:
            raise typer.BadParameter("has its own payments, entitlements and end", param_hint="--real-year")
        return RealYear(households)
    if transactions is None:
        raise typer.BadParameter("name a file of payments, or take --real-year", param_hint="--transactions")
    if households is not None:
        raise typer.BadParameter("goes with --real-year", param_hint="--households")
    open_transactions(transactions)
    if entitlements is not None:
        open_entitlements(entitlements)
    return Files(transactions, entitlements, _micros(until))


def _micros(until: str | None) -> Micros | None:
    try:
        return None if until is None else from_iso(until, "--until")
    except Rejected as error:
        raise typer.BadParameter(str(error)) from None


def _programs(path: Path) -> list[ProgramSpec]:
    found = read_programs(path)
    for fault in found.faults:
        typer.echo(str(fault), err=True)
    if found.faults:
        typer.echo(f"nothing was compared: correct the programs in {path} first", err=True)
        raise typer.Exit(EXIT_BAD_LINES)
    tell_if_none(path, found.programs)
    return found.programs


def _complain(moved: Movement) -> None:
    for sentence in moved.new.complaints:
        typer.echo(sentence, err=True)
    if moved.new.conflicts:
        typer.echo(f"conflicts: {moved.new.conflicts}; what came first stands", err=True)
    if moved.new.unmatched:
        typer.echo(f"without a purchase: {moved.new.unmatched}; they changed nothing", err=True)
    left_out = moved.old.test_cashbacks + moved.new.test_cashbacks
    if left_out:
        typer.echo(f"{left_out} cashbacks of payments that are not live are left out", err=True)
    if moved.new.complaints:
        raise typer.Exit(EXIT_BAD_LINES)
