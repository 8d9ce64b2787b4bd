"""`cashback reconcile`."""

from collections.abc import Iterator
from itertools import islice
from typing import Annotated, Any

import typer

from ops.commands.listing import end_json, form, mode, print_table, write_csv, write_json
from ops.commands.options import AsCsv, AsJson, Database, FromDay, ToDay, days, one_form
from ops.commands.sessions import reading_here
from sinks.reconcile import Line, Reconciliation, Total, Wanted

SHOWN_MAX = 5_000
_AMOUNTS = ("created", "cleared", "reverted", "reversed", "pending", "commission", "proof")
_CSV = ("line", "merchant_id", "mode", "asset", "day", *_AMOUNTS)


def reconcile_command(
    merchant: Annotated[str | None, typer.Option(help="Only this merchant")] = None,
    partner: Annotated[str | None, typer.Option(help="Only what this partner's members earned")] = None,
    first: FromDay = None,
    last: ToDay = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    database: Database = None,
) -> None:
    """Show each merchant's days: created, cleared, reverted, reversed, pending, commission, and a proof.

    Amounts are minor units of the asset (XXX: points); days are those of each merchant's time zone, --from
    and --to inclusive. A total follows for each asset, live and test apart; pending is what is pending at the
    end. The proof must be 0: exit code 1 if it is not in any line.
    """
    one_form(as_json=as_json, as_csv=as_csv)
    wanted = Wanted(merchant, partner, *days(first, last))
    with reading_here(database, "reconcile") as connection:
        found = Reconciliation(connection, wanted)
        if as_json:
            write_json("lines", (_form(line) for line in found.lines()))
            end_json(totals=[form(total) for total in found.totals()], proof=_proof(found))
        elif as_csv:
            write_csv(_CSV, _with_totals(found))
        else:
            _print(found)
    if proof := _proof(found):
        typer.echo(f"the proof is {proof}, not 0: entries, transfers and balances do not agree", err=True)
        raise typer.Exit(1)


def _proof(found: Reconciliation) -> int:
    return sum(total.proof for total in found.totals())


def _form(line: Line) -> dict[str, Any]:
    # Programs read `livemode` here; `mode` is for people.
    return {**form(line), "livemode": line.livemode}


def _with_totals(found: Reconciliation) -> Iterator[dict[str, Any]]:
    for line in found.lines():
        yield {"line": "day", **form(line)}
    for total in found.totals():
        yield {"line": "total", "merchant_id": None, "day": None, **form(total)}


def _print(found: Reconciliation) -> None:
    lines = found.lines()
    shown = list(islice(lines, SHOWN_MAX))
    left_out = sum(1 for _ in lines)
    totals = found.totals()
    has_reversals = any(total.reversed for total in totals)
    amounts = [name for name in _AMOUNTS if name != "reversed" or has_reversals]
    rows = [(*_names(line), *_figures(line, amounts)) for line in shown]
    rows += [("total", mode(each.livemode), each.asset, "", *_figures(each, amounts)) for each in totals]
    columns = ("merchant", "mode", "asset", "day", *amounts)
    print_table(columns, rows, numbers=amounts, title="Reconciliation (minor units; XXX: points)")
    if left_out:
        typer.echo(f"{left_out} more days are in the totals and not shown; --csv and --json have all")


def _names(line: Line) -> tuple[str, ...]:
    return line.merchant_id, mode(line.livemode), line.asset, str(line.day or "-")


def _figures(line: Line | Total, amounts: list[str]) -> Iterator[str]:
    return (f"{getattr(line, name):,}" for name in amounts)
