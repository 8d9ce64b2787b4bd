"""`cashback reconcile`."""

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from ops.running import settings_here
from sinks.reconcile import Line, reconcile

_PIPE_WIDTH = 140
_AMOUNTS = ("created", "cleared", "reverted", "reversed", "pending", "commission", "proof")


def reconcile_command(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table")] = False,
    database: Annotated[str | None, typer.Option(help="PostgreSQL of the ledger (URL)")] = None,
) -> None:
    """Show each merchant's days: created, cleared, reverted, pending, commission, and a proof that must be 0.

    Amounts are minor units of the asset (XXX: points). Exit code 1 if a proof is not 0.
    """
    lines = reconcile(settings_here(database_url=database).database_url)
    proof = sum(line.proof for line in lines)
    if as_json:
        typer.echo(json.dumps({"lines": [asdict(line) for line in lines], "proof": proof}, default=str))
    else:
        console = Console()
        # A pipe has no width of its own; a table cut to 80 columns would hide figures.
        Console(width=None if console.is_terminal else _PIPE_WIDTH).print(table(lines))
    if proof:
        typer.echo(f"the proof is {proof}, not 0: entries, transfers and balances do not agree", err=True)
        raise typer.Exit(1)


def table(lines: list[Line]) -> Table:
    """The lines for a terminal, one row a day."""
    shown = Table(
        title="Reconciliation (minor units; XXX: points)", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0)
    )
    amounts_shown = [name for name in _AMOUNTS if name != "reversed" or any(line.reversed for line in lines)]
    for name in ("merchant", "mode", "asset", "day"):
        shown.add_column(name, no_wrap=True)
    for name in amounts_shown:
        shown.add_column(name, justify="right", no_wrap=True)
    for line in lines:
        amounts = (f"{getattr(line, name):,}" for name in amounts_shown)
        mode = "live" if line.livemode else "test"
        shown.add_row(line.merchant_id, mode, line.asset, str(line.day or "-"), *amounts)
    return shown
