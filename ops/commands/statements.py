"""`cashback statements`."""

import json
from collections.abc import Iterable
from typing import Annotated

import typer

from ops.commands.listing import end_json, form, mode, print_table, write_csv, write_json
from ops.commands.options import AsCsv, AsJson, Database, FromDay, ToDay, day, days, one_form
from ops.commands.sessions import database_here, reading_here
from ops.why.amounts import figure
from sinks.books.issuing import Wanted as ToIssue
from sinks.books.issuing import issue
from sinks.books.statements import COLUMNS, Statement, Wanted, statement_and_revisions, statements

app = typer.Typer(no_args_is_help=True)

SHOWN = 200
_CSV = tuple("mode" if name == "livemode" else name for name in COLUMNS)
_TABLE = ("statement", "for", "mode", "asset", "day", "rev", "opening", "closing", "earned", "changed")
_BALANCES = (
    ("pending", (("created", 1), ("cleared", -1), ("reverted", -1))),
    ("earned", (("cleared", 1), ("reversed", -1), ("vouchers", -1))),
    (
        "commission_pending",
        (("commission_created", 1), ("commission_cleared", -1), ("commission_reverted", -1)),
    ),
    ("commission", (("commission_cleared", 1), ("commission_reversed", -1))),
)

Merchant = Annotated[str | None, typer.Option(help="Only this merchant's")]
Publisher = Annotated[str | None, typer.Option(help="Only this publisher's (partner's)")]


@app.command("issue")
def issue_command(
    on: Annotated[str, typer.Option("--day", metavar="DAY", help="The day, YYYY-MM-DD")],
    through: Annotated[
        str | None, typer.Option(metavar="DAY", help="Up to this day, inclusive; else one day")
    ] = None,
    merchant: Merchant = None,
    publisher: Publisher = None,
    as_json: AsJson = False,
    database: Database = None,
) -> None:
    """Issue the statements of a day that is over, and revise all whose figures have changed since.

    An entry that came late changes its own day and the balances of all later days: those that were issued
    get their next revision as well, so that they go on where the day before ends. Unchanged ones stay.
    """
    first = day(on, "--day")
    wanted = ToIssue(first, first if through is None else day(through, "--through"), merchant, publisher)
    issued = issue(database_here(database), wanted)
    if as_json:
        typer.echo(json.dumps({"issued": [form(each) for each in issued]}))
        return
    _print(issued[:SHOWN])
    revised = sum(each.revision > 1 for each in issued)
    typer.echo(f"{len(issued) - revised} issued, {revised} revised")


@app.command("list")
def list_command(
    merchant: Merchant = None,
    publisher: Publisher = None,
    first: FromDay = None,
    last: ToDay = None,
    every: Annotated[bool, typer.Option("--all", help="Also revisions that were overtaken")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="So many at most; else 200 in a table")] = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    database: Database = None,
) -> None:
    """List statements by day, the latest revision of each."""
    one_form(as_json=as_json, as_csv=as_csv)
    wanted = Wanted(merchant, publisher, *days(first, last), every)
    with reading_here(database, "statements") as connection:
        most = limit or (None if as_csv or as_json else SHOWN)
        found = statements(connection, wanted, most)
        if as_csv:
            write_csv(_CSV, map(form, found))
        elif as_json:
            write_json("statements", map(form, found))
            end_json()
        else:
            shown = list(found)
            _print(shown)
            if len(shown) == most:
                typer.echo(f"the first {most}; --limit, --csv and --json show more")


@app.command()
def show(
    statement: Annotated[str, typer.Argument(metavar="ID", help="As `list` shows it")],
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    database: Database = None,
) -> None:
    """Show one statement as it was issued, what it changed, and which other revisions there are."""
    one_form(as_json=as_json, as_csv=as_csv)
    with reading_here(database, "statements") as connection:
        shown, *others = statement_and_revisions(connection, statement)
    if as_csv:
        write_csv(_CSV, [form(shown)])
    elif as_json:
        named = [{"statement_id": each.statement_id, "revision": each.revision} for each in others]
        typer.echo(json.dumps({"statement": form(shown), "other_revisions": named}))
    else:
        _print_one(shown)
        for each in others:
            typer.echo(f"revision {each.revision}: {each.statement_id}")


def _print(found: Iterable[Statement]) -> None:
    rows = [
        (
            each.statement_id,
            f"{each.side} {each.party_id}",
            mode(each.livemode),
            each.asset,
            str(each.day),
            str(each.revision),
            figure(each.opening_pending, each.asset),
            figure(each.closing_pending, each.asset),
            figure(each.closing_earned, each.asset),
            f"{len(each.changed)} figures" if each.changed else "-",
        )
        for each in found
    ]
    print_table(_TABLE, rows, numbers=("rev", "opening", "closing", "earned"))


def _print_one(shown: Statement) -> None:
    said = form(shown)
    typer.echo(
        f"{shown.statement_id}: {shown.side} {shown.party_id}, {said['mode']}, {shown.asset}, {shown.day}\n"
        f"revision {shown.revision}, issued {said['issued_at']}, of what was posted by {said['known_at']}\n"
        f"{shown.entries} entries"
    )
    rows = []
    for name, moves in _BALANCES:
        rows.append((name.replace("_", " "), "opening", figure(said[f"opening_{name}"], shown.asset)))
        rows += [("", each, figure(sign * said[each], shown.asset)) for each, sign in moves]
        rows.append(("", "closing", figure(said[f"closing_{name}"], shown.asset)))
    print_table(("balance", "", shown.asset), rows, numbers=(shown.asset,))
    for name, (before, now) in sorted((shown.changed or {}).items()):
        typer.echo(f"changed: {name} was {before}, is {now}")
    if shown.late_events:
        typer.echo("came late: " + ", ".join(shown.late_events))
