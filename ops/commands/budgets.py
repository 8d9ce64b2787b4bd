"""`cashback budgets`."""

import contextlib
import json
from typing import Annotated, Any

import typer
from rich import box
from rich.table import Table

from connectors.budget_requests import request_in
from connectors.budgets import Budget, BudgetId, Keeper
from ops.commands.options import AsJson
from ops.partitions.reading import Partition
from ops.plain import print_plain
from ops.reachable import kafka_here
from ops.settings import Settings
from schemas.errors import Rejected
from schemas.topics import BUDGET_REQUESTS


def budgets(
    program: Annotated[str | None, typer.Option(help="Only the budgets of this program")] = None,
    as_json: AsJson = False,
    brokers: Annotated[str | None, typer.Option(help="Kafka (host:port,…)")] = None,
) -> None:
    """Show every budget: its figure, what is granted (spent or in escrow) and what is left.

    Amounts are minor units or points. Closed: the partitions that were told nothing is left. Exit code 1 if
    the requests of a budget do not fit together: it grants nothing more.
    """
    found = read_budgets(kafka_here(brokers=brokers), program)
    if as_json:
        typer.echo(json.dumps({"budgets": [_form(who, budget) for who, budget in found]}))
    else:
        print_plain(_table(found))
    if broken := [who for who, budget in found if budget.broken]:
        for who in broken:
            mode = "live" if who.livemode else "test"
            typer.echo(
                f"{who.program_id}, {mode}, {who.scope}: requests are missing or contradict each other; it "
                "grants nothing more until the topic is whole again",
                err=True,
            )
        raise typer.Exit(1)


def read_budgets(settings: Settings, program: str | None = None) -> list[tuple[BudgetId, Budget]]:
    """All budgets as the topic says now, by program, mode and scope. Raises KafkaException, LogUnreadable."""
    keeper = Keeper()
    log = Partition(settings.brokers, BUDGET_REQUESTS.full_name(settings.topic_prefix), 0)
    try:
        for message in log.read(*log.bounds()):
            with contextlib.suppress(Rejected):  # what is no request; its keeper has logged it
                keeper.fold(request_in(message))
    finally:
        log.close()
    return sorted(
        (who, budget) for who, budget in keeper.budgets.items() if program in (None, who.program_id)
    )


def _form(who: BudgetId, budget: Budget) -> dict[str, Any]:
    return {
        **who._asdict(),
        "figure": budget.figure,
        "granted": budget.granted,
        "left": budget.left,
        "closed": sorted(budget.closed),
        "requests": budget.requests,
        "broken": budget.broken,
        "granted_to": {str(partition): lease.granted for partition, lease in sorted(budget.leases.items())},
    }


def _table(found: list[tuple[BudgetId, Budget]]) -> Table:
    shown = Table(title="Budgets (minor units or points)", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in ("program", "mode", "scope"):
        shown.add_column(name, no_wrap=True)
    for name in ("figure", "granted", "left", "requests"):
        shown.add_column(name, justify="right", no_wrap=True)
    shown.add_column("closed")
    for who, budget in found:
        amounts = (f"{each:,}" for each in (budget.figure, budget.granted, budget.left, budget.requests))
        closed = "broken" if budget.broken else ", ".join(map(str, sorted(budget.closed))) or "-"
        shown.add_row(who.program_id, "live" if who.livemode else "test", who.scope, *amounts, closed)
    return shown
