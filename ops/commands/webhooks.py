"""`cashback webhooks`."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from ops.commands.listing import json_form, print_table
from ops.commands.options import Actor, AsJson, Database, Why, moment_of
from ops.commands.sessions import database_here
from schemas.times import from_datetime, to_iso
from sinks.webhooks.log import LISTED_MAX, Attempt, attempts
from sinks.webhooks.pruning import KEPT_DAYS_MIN, prune
from sinks.webhooks.replay import MESSAGES_MAX, Booked, Choice, FailedSince, OneEvent, replay

app = typer.Typer(no_args_is_help=True)

LISTED = 100
REPLAYED = 10_000


@app.command("log")
def log_command(
    endpoint: Annotated[int | None, typer.Option(help="Only attempts to this endpoint")] = None,
    event: Annotated[str | None, typer.Option(help="Only those of this event (evt_…)")] = None,
    cashback: Annotated[str | None, typer.Option(help="Only those of this cashback (cbtx_…)")] = None,
    since: Annotated[str | None, typer.Option(help="Only those since then (ISO 8601)")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only those that failed")] = False,
    limit: Annotated[int, typer.Option(min=1, max=LISTED_MAX, help="So many at most, the latest")] = LISTED,
    as_json: AsJson = False,
    database: Database = None,
) -> None:
    """Show attempts to deliver webhooks, latest first; with --json also what was answered."""
    found = attempts(
        database_here(database),
        endpoint_id=endpoint,
        event_id=event,
        cashback_id=cashback,
        since=moment_of(since, "--since") if since else None,
        only_failed=failed,
        most=limit,
    )
    if as_json:
        typer.echo(json.dumps({"attempts": [json_form(each) for each in found]}))
        return
    columns = ("at", "to", "event", "type", "try", "replay", "outcome", "status", "ms", "error")
    print_table(columns, map(_cells, found), folded="error")


@app.command("replay")
def replay_command(
    endpoint: Annotated[int, typer.Option(help="Where to send it")],
    actor: Actor,
    reason: Why,
    event: Annotated[str | None, typer.Option(help="This event (evt_…)")] = None,
    begin: Annotated[
        str | None, typer.Option("--from", help="What was booked from then on (ISO 8601)")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="With --from: and before then")] = None,
    failed_since: Annotated[
        str | None, typer.Option(help="What failed since then and was not delivered after it (ISO 8601)")
    ] = None,
    limit: Annotated[
        int, typer.Option(min=1, max=MESSAGES_MAX, help="Refuse when more messages than that fit")
    ] = REPLAYED,
    as_json: AsJson = False,
    database: Database = None,
) -> None:
    """Send messages to an endpoint again, with the ids and bodies they had; cleared never before created.

    Receivers drop an id they know. What was booked as history with --silent is never sent.
    """
    choice = _choice(event, begin, end, failed_since)
    url = database_here(database)
    replayed = replay(url, endpoint, choice, most=limit, actor=actor, reason=reason)
    if as_json:
        typer.echo(json.dumps({**asdict(replayed), "waiting": replayed.waiting}))
        return
    on_their_way = f"; {replayed.waiting} others were on their way" if replayed.waiting else ""
    typer.echo(f"replay {replayed.replay}: {replayed.queued} messages are queued{on_their_way}")


@app.command("prune")
def prune_command(
    kept_days: Annotated[int, typer.Option(help=f"Keep so many days of the log, {KEPT_DAYS_MIN} at least")],
    actor: Actor,
    reason: Why,
    as_json: AsJson = False,
    database: Database = None,
) -> None:
    """Remove old attempts from the delivery log. What was sent can still be sent again."""
    removed = prune(database_here(database), kept_days=kept_days, actor=actor, reason=reason)
    typer.echo(json.dumps({"removed": removed}) if as_json else f"{removed} attempts removed")


def _choice(event: str | None, begin: str | None, end: str | None, failed_since: str | None) -> Choice:
    match (event, begin, end, failed_since):
        case (str(), None, None, None):
            return OneEvent(event)
        case (None, str(), str(), None):
            return Booked(moment_of(begin, "--from"), moment_of(end, "--to"))
        case (None, None, None, str()):
            return FailedSince(moment_of(failed_since, "--failed-since"))
        case _:
            raise typer.BadParameter("give either --event, or --from and --to, or --failed-since")


def _cells(each: Attempt) -> tuple[str, ...]:
    return (
        to_iso(from_datetime(each.started_at))[:23],
        str(each.endpoint_id),
        each.event_id,
        each.type.removeprefix("cashback."),
        str(each.attempt),
        str(each.replay or ""),
        each.outcome,
        str(each.status or ""),
        f"{each.latency_us / 1_000:.1f}",
        each.error or "",
    )
