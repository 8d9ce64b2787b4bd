"""`cashback balance`."""

import json
from collections.abc import Mapping
from datetime import date
from typing import Annotated

import psycopg
import typer

from ops.commands.listing import form, mode, print_table
from ops.commands.options import AsJson, Database, moment
from ops.commands.sessions import reading_here
from ops.why.amounts import figure
from schemas.times import Micros, to_iso
from sinks.books.balances import Holder, balances_of, end_of_day


def balance(
    partner: Annotated[str | None, typer.Option(help="Whose member, or only this partner's part")] = None,
    member: Annotated[str | None, typer.Option(help="The member; needs --partner")] = None,
    merchant: Annotated[str | None, typer.Option(help="The merchant, instead of a member")] = None,
    asset: Annotated[str | None, typer.Option(help="Only this asset (EUR, …, XXX for points)")] = None,
    on: Annotated[
        str | None, typer.Option(metavar="TIME", help="What had happened by then: ISO 8601, or a whole day")
    ] = None,
    known_at: Annotated[
        str | None, typer.Option(metavar="TIME", help="As far as it was posted by then: ISO 8601, or a day")
    ] = None,
    as_json: AsJson = False,
    database: Database = None,
) -> None:
    """Show what a member or a merchant has, or had, in each account: now, on a day, as known at a time.

    --on goes by when things happened, --known-at by when the ledger learned of them; both inclusive. A day is
    that of the merchant, of members UTC. Amounts are what the account holds; a merchant's funding is what it
    has put in, and therefore negative.
    """
    holder = Holder(partner, member, merchant)
    with reading_here(database, "balance") as connection:
        at = {
            "on": _instant(connection, on, "--on", merchant),
            "known_at": _instant(connection, known_at, "--known-at", merchant),
        }
        found = balances_of(connection, holder, asset=asset, **at)
    if as_json:
        typer.echo(json.dumps({**_shown(at), "balances": [form(each) for each in found]}))
        return
    rows = [
        (mode(each.livemode), each.account, each.asset, figure(each.balance, each.asset)) for each in found
    ]
    print_table(("mode", "account", "asset", "balance"), rows, numbers=("balance",))


def _instant(
    connection: psycopg.Connection, text: str | None, option: str, merchant: str | None
) -> Micros | None:
    if text is None:
        return None
    said = moment(text, option)
    return end_of_day(connection, said, merchant) if isinstance(said, date) else said


def _shown(at: Mapping[str, Micros | None]) -> dict[str, str | None]:
    return {name: None if value is None else to_iso(value) for name, value in at.items()}
