"""`cashback budgets`."""

import contextlib
import json
from typing import Annotated, Any

import typer

from connectors.budget_requests import request_in
from connectors.budgets import Budget, BudgetId, Keeper
from ops.commands.listing import mode, print_table
from ops.commands.options import AsJson, Brokers
from ops.partitions.reading import Partition
from ops.reachable import kafka_here
from ops.settings import Settings
from schemas.errors import Rejected
from schemas.topics import BUDGET_REQUESTS


def budgets(
    program: Annotated[str | None, typer.Option(help="Only the budgets of this program")] = None,
    as_json: AsJson = False,
    brokers: Brokers = None,
) -> None:
    """Show every budget: its figure, what is granted (spent or in escrow) and what is left.

    Amounts are minor units or points. Closed: the partitions that were told nothing is left. Exit code 1 if
    the requests of a budget do not fit together: it grants nothing more.
    """
    found = read_budgets(kafka_here(brokers=brokers), program)
    if as_json:
        typer.echo(json.dumps({"budgets": [_form(who, budget) for who, budget in found]}))
    else:
        _show(found)
    if broken := [who for who, budget in found if budget.broken]:
        for who in broken:
            typer.echo(
                f"{who.program_id}, {mode(who.livemode)}, {who.scope}: requests are missing or contradict "
                "each other; it grants nothing more until the topic is whole again",
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


def _show(found: list[tuple[BudgetId, Budget]]) -> None:
    rows = (
        (
            who.program_id,
            mode(who.livemode),
            who.scope,
            *(f"{each:,}" for each in (budget.figure, budget.granted, budget.left, budget.requests)),
            "broken" if budget.broken else ", ".join(map(str, sorted(budget.closed))) or "-",
        )
        for who, budget in found
    )
    numbers = ("figure", "granted", "left", "requests")
    columns = ("program", "mode", "scope", *numbers, "closed")
    print_table(columns, rows, numbers=numbers, title="Budgets (minor units or points)")
