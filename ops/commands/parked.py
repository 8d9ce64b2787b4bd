"""`cashback parked`."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from heapq import nsmallest
from typing import Annotated

import typer

from ops.commands.listing import age_text, print_table
from ops.commands.options import LISTED, AsJson, Brokers
from ops.commands.quarantine_text import show_row
from ops.quarantine.parked import Waiting, read_parked
from ops.reachable import kafka_here
from ops.why.amounts import money
from schemas.errors import Rejected
from schemas.quarantine import Place
from schemas.times import SECOND, to_iso

app = typer.Typer(no_args_is_help=True)


@dataclass(frozen=True)
class Row:
    """A parked event; `amount_minor` null on a void or decline, `age_s` by the clock of the log."""

    place: str
    partner_id: str
    member_id: str
    external_id: str
    livemode: bool
    kind: str
    part_id: str | None
    merchant_id: str
    amount_minor: int | None
    currency: str
    arrived_at: str
    age_s: int
    waits_until: str


@app.command("list")
def list_command(
    partner: Annotated[str | None, typer.Option(help="Only those of this partner")] = None,
    most: Annotated[int, typer.Option(min=1, max=100_000, help="So many at most, the oldest")] = LISTED,
    as_json: AsJson = False,
    brokers: Brokers = None,
) -> None:
    """List refunds, voids and declines whose purchase is not known yet, oldest first.

    They join their purchase when it comes. One that waits too long goes to the quarantine.
    """
    settings = kafka_here(brokers=brokers)
    total = 0

    def wanted() -> Iterator[Waiting]:
        nonlocal total
        for each in read_parked(settings):
            if partner in (None, each.purchase.partner_id):
                total += 1
                yield each

    oldest = nsmallest(most, wanted(), key=lambda each: (each.event.arrived_at, each.place))
    rows = [_row(each, settings.parked_days) for each in oldest]
    if as_json:
        typer.echo(json.dumps({"parked": [asdict(row) for row in rows], "total": total}))
        return
    if not rows:
        typer.echo("nothing is parked")
        return
    columns = ("place", "partner", "member", "purchase", "kind", "amount", "age", "waits until")
    print_table(columns, [_cells(row) for row in rows], folded="purchase")
    shown = f"{len(rows)} of {total}" if total > len(rows) else str(total)
    typer.echo(f"{shown} parked; the oldest waits for {age_text(max(row.age_s for row in rows))}")


@app.command()
def show(
    place: Annotated[str, typer.Argument(metavar="PLACE", help="partition:offset, as `list` shows it")],
    as_json: AsJson = False,
    brokers: Brokers = None,
) -> None:
    """Show one parked event with everything its sender said."""
    settings = kafka_here(brokers=brokers)
    wanted = Place.parse(place)
    found = next((each for each in read_parked(settings) if each.place == wanted), None)
    if found is None:
        raise Rejected(
            "place", f"{place} is not parked", "look with `cashback parked list`: it may have joined"
        )
    said = asdict(_row(found, settings.parked_days))
    show_row(said, found.purchase.member_key, found.event.value, as_json=as_json)


def _row(waiting: Waiting, parked_days: int) -> Row:
    purchase, event = waiting.purchase, waiting.event
    return Row(
        place=str(waiting.place),
        partner_id=purchase.partner_id,
        member_id=purchase.member_id,
        external_id=purchase.external_id,
        livemode=purchase.livemode,
        kind=waiting.kind,
        part_id=event.part_id,
        merchant_id=event.merchant_id,
        amount_minor=event.amount or None,
        currency=event.currency,
        arrived_at=to_iso(event.arrived_at),
        age_s=waiting.age // SECOND,
        waits_until=to_iso(waiting.until(parked_days)),
    )


def _cells(row: Row) -> tuple[str, ...]:
    amount = "" if row.amount_minor is None else money(row.amount_minor, row.currency)
    who = (row.partner_id, row.member_id, row.external_id)
    return (row.place, *who, row.kind, amount, age_text(row.age_s), row.waits_until)
