"""`cashback rates`."""

import json
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer

from ops.commands.listing import mode, print_table
from ops.commands.options import Actor, AsJson, Database, Why
from ops.commands.sessions import session_here
from ops.why.amounts import percent
from schemas.errors import Rejected
from schemas.money import amount_text
from schemas.times import to_iso
from sinks.commission import facts, schedule
from sinks.commission.forms import Form
from sinks.database import READER_ROLE, WRITER_ROLE

app = typer.Typer(no_args_is_help=True)
tiers = typer.Typer(no_args_is_help=True)
app.add_typer(tiers, name="tiers", help="From which volume on which rate")

Merchant = Annotated[str | None, typer.Option(help="Only those of this merchant")]
Partner = Annotated[str | None, typer.Option(help="Only those with this partner")]
MonthOption = Annotated[str | None, typer.Option(metavar="YYYY-MM", help="Only those of this month")]
File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True)]


@app.command("list")
def list_command(
    merchant: Merchant = None,
    partner: Partner = None,
    month: MonthOption = None,
    as_json: AsJson = False,
    database: Database = None,
) -> None:
    """List recorded rates by month, partner, merchant and asset, with the volume of the month before."""
    first = _month(month)
    with session_here(database, "rates", role=READER_ROLE) as connection:
        found = facts.rates(connection, merchant_id=merchant, partner_id=partner, month=first)
    if as_json:
        typer.echo(json.dumps({"rates": [rate.to_json() for rate in found]}))
        return
    rows = (
        (
            f"{rate.month:%Y-%m}",
            rate.partner_id,
            rate.merchant_id,
            mode(rate.livemode),
            rate.asset,
            amount_text(rate.volume, rate.asset),
            percent(rate.rate_bps),
            to_iso(rate.recorded_at),
        )
        for rate in found
    )
    columns = ("month", "partner", "merchant", "mode", "asset", "volume before", "rate", "recorded")
    print_table(columns, rows, numbers=("volume before", "rate"))


@app.command("export")
def export_command(database: Database = None) -> None:
    """Write every recorded rate to stdout, one JSON object a line: an input of a rebuild."""
    with session_here(database, "rates", role=READER_ROLE) as connection:
        for rate in facts.rates(connection):
            typer.echo(json.dumps(rate.to_json(), ensure_ascii=False))


@app.command("import")
def import_command(
    file: File,
    actor: Actor,
    reason: Why,
    as_json: AsJson = False,
    database: Database = None,
) -> None:
    """Record the rates of a file that `export` wrote, before their months are posted; all of them or none."""
    given = list(facts.parse(_text(file).split("\n")))
    with session_here(database, "rates", role=WRITER_ROLE) as connection:
        done = facts.give(connection, given, actor=actor, reason=reason, source=file.name)
    if as_json:
        typer.echo(json.dumps(asdict(done)))
    else:
        typer.echo(f"{done.added} rates recorded, {done.known} were there already")


@tiers.command("set")
def set_command(
    file: File,
    actor: Actor,
    reason: Why,
    as_json: AsJson = False,
    database: Database = None,
) -> None:
    """Put the tiers of a YAML file in force, instead of all before. Rates recorded before stay."""
    schedules = schedule.parse(_text(file))
    with session_here(database, "rates", role=WRITER_ROLE) as connection:
        in_force = schedule.put(connection, schedules, actor=actor, reason=reason)
    _show(in_force, as_json=as_json)


@tiers.command("show")
def show_command(as_json: AsJson = False, database: Database = None) -> None:
    """Show the tiers in force; none means the flat rate `CASHBACK_COMMISSION_BPS`."""
    with session_here(database, "rates", role=READER_ROLE) as connection:
        in_force = schedule.in_force(connection)
    _show(in_force, as_json=as_json)


def _show(in_force: schedule.TierSet, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(_form(in_force)))
        return
    if not in_force.schedules:
        typer.echo("no tiers: the flat rate CASHBACK_COMMISSION_BPS")
        return
    rows = (
        (
            each.merchant_id or "(others)",
            each.asset or "(others)",
            f"{tier.from_volume:,}",
            percent(tier.rate_bps),
        )
        for each in in_force.schedules
        for tier in each.tiers
    )
    print_table(("merchant", "asset", "from volume", "rate"), rows, numbers=("from volume", "rate"))


def _form(in_force: schedule.TierSet) -> dict[str, Any]:
    set_at = None if in_force.set_at is None else to_iso(in_force.set_at)
    return {**asdict(in_force), "set_at": set_at}


def _month(text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return Form({"--month": text}, ("--month",)).month("--month")
    except Rejected as error:
        raise typer.BadParameter(f"{error.problem}; {error.remedy}", param_hint="--month") from None


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise Rejected("file", f"byte {error.start} is not UTF-8", "save it as UTF-8") from None
