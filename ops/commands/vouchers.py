"""`cashback vouchers`."""

import json
from dataclasses import asdict
from typing import Annotated, Any

import psycopg
import typer

from ops.commands.listing import mode, print_table
from ops.commands.options import ANY_NUMBER, LISTED, Actor, AsJson, Database, Why, one_of, since_ms
from ops.commands.sessions import session_here
from schemas.money import amount_text
from schemas.times import to_iso
from sinks.database import READER_ROLE, WRITER_ROLE
from sinks.vouchers.issuing import Order, issue, void
from sinks.vouchers.records import Voucher, find, latest, wallet_of

app = typer.Typer(no_args_is_help=True)

Id = Annotated[str, typer.Argument(metavar="VOUCHER_ID", help="vch_…, as `list` shows it")]


@app.command("issue")
def issue_command(
    partner: Annotated[str, typer.Option(help="The partner whose member it is")],
    member: Annotated[str, typer.Option(help="Who gets it, and whose wallet pays")],
    asset: Annotated[str, typer.Option(help="Of the wallet: EUR, USD, GBP, CAD, or XXX for points")],
    price: Annotated[int, typer.Option(help="Taken from the wallet (minor units, points); 0: a gift")],
    actor: Actor,
    reason: Why,
    amount: Annotated[
        int | None, typer.Option(help="What it is worth (minor units, points); none: the price")
    ] = None,
    currency: Annotated[str | None, typer.Option(help="Of what it is worth; none: the asset")] = None,
    key: Annotated[
        str | None, typer.Option(help="The same key again gives the same voucher, not another one")
    ] = None,
    live: Annotated[bool, typer.Option("--live/--test", help="A live or a test wallet")] = True,
    as_json: AsJson = False,
    database: Database = None,
) -> None:
    """Issue a voucher for a price from a member's wallet, which is never below 0."""
    order = Order(
        partner, member, asset, price, price if amount is None else amount, currency or asset, live, key
    )
    with session_here(database, "vouchers", role=WRITER_ROLE) as connection:
        issued = issue(connection, order, actor=actor, reason=reason)
        left = _left(connection, issued.voucher)
    if as_json:
        typer.echo(json.dumps({**_form(issued.voucher), "repeated": issued.repeated, "wallet": left}))
        return
    done = "was issued before" if issued.repeated else "is issued"
    holds = f"{amount_text(left, asset)} {asset} in the wallet"
    typer.echo(f"{issued.voucher.voucher_id} {done}: {issued.voucher}; {holds}")


@app.command("void")
def void_command(
    voucher_id: Id, actor: Actor, reason: Why, as_json: AsJson = False, database: Database = None
) -> None:
    """Take a voucher back: its price returns to the wallet by a correcting transfer. Once."""
    with session_here(database, "vouchers", role=WRITER_ROLE) as connection:
        voucher = void(connection, voucher_id, actor=actor, reason=reason)
        left = _left(connection, voucher)
    if as_json:
        typer.echo(json.dumps({**_form(voucher), "wallet": left}))
    else:
        holds = f"{amount_text(left, voucher.asset)} {voucher.asset} in the wallet"
        typer.echo(f"{voucher_id} is void: {voucher}; {holds}")


@app.command("list")
def list_command(
    partner: Annotated[str | None, typer.Option(help="Only those of this partner")] = None,
    member: Annotated[str | None, typer.Option(help="Only those of this member")] = None,
    state: Annotated[str | None, typer.Option(help="Only those that are issued, or void")] = None,
    since: Annotated[str | None, typer.Option(help="Only those issued since then (ISO 8601)")] = None,
    most: Annotated[int, typer.Option(min=1, max=ANY_NUMBER, help="So many at most, the latest")] = LISTED,
    as_json: AsJson = False,
    database: Database = None,
) -> None:
    """List vouchers, the latest first."""
    one_of("--state", state, ("issued", "void"))
    since_us = since_ms(since) * 1_000
    with session_here(database, "vouchers", role=READER_ROLE) as connection:
        found = list(
            latest(
                connection,
                most=most,
                partner_id=partner,
                member_id=member,
                is_void=None if state is None else state == "void",
                since=since_us,
            )
        )
    if as_json:
        typer.echo(json.dumps({"vouchers": [_form(voucher) for voucher in found]}))
        return
    rows = (
        (
            each.voucher_id,
            each.partner_id,
            each.member_id,
            mode(each.livemode),
            f"{amount_text(each.amount, each.currency)} {each.currency}",
            f"{amount_text(each.price, each.asset)} {each.asset}",
            to_iso(each.issued_at),
            _state(each),
        )
        for each in found
    )
    columns = ("voucher", "partner", "member", "mode", "worth", "price", "issued", "state")
    print_table(columns, rows, numbers=("worth", "price"))


@app.command("show")
def show_command(voucher_id: Id, as_json: AsJson = False, database: Database = None) -> None:
    """Show one voucher: who issued it and why, and whether it is void."""
    with session_here(database, "vouchers", role=READER_ROLE) as connection:
        voucher = find(connection, voucher_id)
    if as_json:
        typer.echo(json.dumps(_form(voucher)))
        return
    typer.echo(f"{voucher_id}: {voucher}, {mode(voucher.livemode)}, partner {voucher.partner_id}")
    typer.echo(f"issued {to_iso(voucher.issued_at)} by {voucher.issued_by}: {voucher.reason}")
    typer.echo(f"key {voucher.key}")
    if voucher.voided_at is not None:
        typer.echo(f"voided {to_iso(voucher.voided_at)} by {voucher.voided_by}: {voucher.void_reason}")


def _left(connection: psycopg.Connection, voucher: Voucher) -> int:
    wallet = wallet_of(connection, voucher.owner)
    assert wallet is not None, "a wallet that paid does not vanish"
    return wallet.balance


def _state(voucher: Voucher) -> str:
    return "issued" if voucher.voided_at is None else "void"


def _form(voucher: Voucher) -> dict[str, Any]:
    form = asdict(voucher)
    form["mode"] = mode(form.pop("livemode"))
    form["state"] = _state(voucher)
    for name in ("issued_at", "voided_at"):
        form[name] = None if form[name] is None else to_iso(form[name])
    return form
