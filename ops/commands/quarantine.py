"""`cashback quarantine`."""

import json
import time
from dataclasses import asdict
from typing import Annotated

import psycopg
import typer

from connectors.quarantine import Desk, Words
from ops.commands.options import (
    ANY_NUMBER,
    LISTED,
    Actor,
    AsJson,
    Brokers,
    Database,
    Most,
    Partner,
    Places,
    Why,
    one_of,
    since_ms,
)
from ops.commands.quarantine_text import show_row, show_rows
from ops.commands.resolving import Found, conclude, done_before, refuse, require_either
from ops.metrics import LEDGER_REFUSALS, QUARANTINE_REASONS
from ops.quarantine.listing import Row, Wanted, row_of, select
from ops.quarantine.reading import Resolutions, read_quarantine, read_resolutions, require_topics
from ops.quarantine.refusals import PREFIX, read_refusals
from ops.reachable import kafka_here
from ops.settings import Settings
from schemas.errors import Rejected
from schemas.quarantine import Place
from schemas.times import to_iso

app = typer.Typer(no_args_is_help=True)

AT_ONCE = 500
"""Half of the bad inputs in a row at which a worker pauses, should all be refused again."""

Since = Annotated[str | None, typer.Option(help="Only those set aside since then (ISO 8601)")]
Every = Annotated[bool, typer.Option("--all", help="Instead of places: all open ones, oldest first")]
ReasonIs = Annotated[str | None, typer.Option(help="With --all: only those set aside for this reason")]


@app.command("list")
def list_command(
    reason: Annotated[str | None, typer.Option(help="Only those set aside for this reason")] = None,
    since: Since = None,
    partner: Partner = None,
    only_open: Annotated[
        bool, typer.Option("--open/--all", help="Only what nobody did anything about, or everything")
    ] = True,
    source: Annotated[
        str, typer.Option(help="stream (set aside by workers), ledger (refused by the ledger) or both")
    ] = "both",
    most: Annotated[int, typer.Option(min=1, max=ANY_NUMBER, help="So many at most, the oldest")] = LISTED,
    as_json: AsJson = False,
    brokers: Brokers = None,
    database: Database = None,
) -> None:
    """List quarantined records, oldest first: what is wrong with each, and how long it waits."""
    one_of("--source", source, ("both", "stream", "ledger"))
    one_of("--reason", reason, (*QUARANTINE_REASONS, *LEDGER_REFUSALS))
    settings = kafka_here(brokers=brokers, database_url=database)
    wanted = Wanted(reason, partner, since_ms(since), only_open)
    rows: list[Row] = []
    total = 0
    is_whole = True
    if source != "ledger":
        found, total = _of_stream(settings, wanted, most)
        rows += found
    if source != "stream":
        try:
            refused = [row for row, *_ in read_refusals(settings.database_url, wanted, now_ms=_now_ms())]
        except psycopg.OperationalError as error:
            if source == "ledger":
                raise
            # What the stream set aside is worth showing when the database is what is broken.
            typer.echo(f"not shown, what the ledger refused: {' '.join(str(error).split())}", err=True)
            refused, is_whole = [], False
        rows += refused
        total += len(refused)
    rows = sorted(rows, key=lambda row: row.first_seen)[:most]
    if as_json:
        typer.echo(json.dumps({"quarantined": [asdict(row) for row in rows], "total": total}))
    else:
        show_rows(rows, total)
    if not is_whole:
        raise typer.Exit(1)


@app.command()
def show(
    place: Annotated[str, typer.Argument(metavar="PLACE", help="As `list` shows it")],
    as_json: AsJson = False,
    brokers: Brokers = None,
    database: Database = None,
) -> None:
    """Show one quarantined record: every header, what its bytes say, and what was done about it."""
    settings = kafka_here(brokers=brokers, database_url=database)
    if place.startswith(PREFIX):
        _show_refusal(settings, place, as_json=as_json)
        return
    resolutions, found = _find(settings, [Place.parse(place)])
    (lying,) = found.values()
    record = lying.record
    said = {
        **asdict(row_of(lying, resolutions, now_ms=_now_ms())),
        "came_from": f"{record.refusal.topic}[{record.place.partition}]@{record.place.offset}",
        "set_aside": to_iso(lying.since_ms * 1_000),
        "headers": [
            [name, (content or b"").decode("utf-8", "backslashreplace")] for name, content in record.headers
        ],
        "resolutions": [
            asdict(done) | {"place": str(done.place), "resolved_at": to_iso(done.resolved_at)}
            for done in resolutions.get(lying.place, [])
        ],
    }
    show_row(said, record.key, record.value, as_json=as_json)


@app.command()
def requeue(
    actor: Actor,
    reason: Why,
    places: Places = None,
    every: Every = False,
    reason_is: ReasonIs = None,
    partner: Partner = None,
    since: Since = None,
    most: Most = AT_ONCE,
    again: Annotated[
        bool, typer.Option("--again", help="Also what was requeued or discarded before")
    ] = False,
    as_json: AsJson = False,
    brokers: Brokers = None,
) -> None:
    """Write records back to the input log as they came, once what was wrong is put right.

    Each keeps when it was first seen. One that is refused again is in the quarantine anew, at a new place.
    Try one before you requeue many: after a thousand bad inputs in a row a worker pauses.
    """
    words = Words(actor, reason, _now_ms() * 1_000)
    settings = kafka_here(brokers=brokers)
    resolutions, found = _chosen(settings, places, every, Wanted(reason_is, partner, since_ms(since)), most)
    desk = Desk(settings)
    faults = {place: why for place, each in found.items() if (why := desk.why_it_stays(each.record))}
    if not again:
        faults |= done_before(found, resolutions, "give --again to requeue it all the same")
    refuse(faults, nothing_is_done=not every)
    wanted = [lying.record for place, lying in found.items() if place not in faults]
    conclude(desk.requeue(wanted, words), faults, as_json=as_json)


@app.command()
def discard(
    actor: Actor,
    reason: Why,
    places: Places = None,
    every: Every = False,
    reason_is: ReasonIs = None,
    partner: Partner = None,
    since: Since = None,
    most: Most = AT_ONCE,
    as_json: AsJson = False,
    brokers: Brokers = None,
) -> None:
    """Set down that nothing more is done about records. They stay in the quarantine, and are open no more."""
    words = Words(actor, reason, _now_ms() * 1_000)
    settings = kafka_here(brokers=brokers)
    resolutions, found = _chosen(settings, places, every, Wanted(reason_is, partner, since_ms(since)), most)
    refuse(done_before(found, resolutions, "there is nothing to discard"), nothing_is_done=True)
    conclude(Desk(settings).discard(list(found), words), {}, as_json=as_json)


def _of_stream(settings: Settings, wanted: Wanted, most: int) -> tuple[list[Row], int]:
    require_topics(settings)
    resolutions = read_resolutions(settings)
    selected = select(read_quarantine(settings, since_ms=wanted.since_ms), resolutions, wanted, most=most)
    rows = [row_of(lying, resolutions, now_ms=_now_ms()) for lying in selected.oldest]
    return rows, selected.by_reason.total()


def _chosen(
    settings: Settings, places: list[str] | None, every: bool, wanted: Wanted, most: int
) -> tuple[Resolutions, Found]:
    """What a command is about: the places it was given, or all that is wanted."""
    require_either(places, every)
    if places:
        if wanted != Wanted():
            raise typer.BadParameter("--reason-is, --partner and --since choose among --all")
        return _find(settings, [_own_place(text) for text in dict.fromkeys(places)])
    one_of("--reason-is", wanted.reason, QUARANTINE_REASONS)
    require_topics(settings)
    resolutions = read_resolutions(settings)
    records = read_quarantine(settings, since_ms=wanted.since_ms)
    selected = select(records, resolutions, wanted, most=most)
    if (left := selected.by_reason.total() - len(selected.oldest)) > 0:
        typer.echo(f"{left} more are open: run this again, or give --most", err=True)
    return resolutions, {lying.place: lying for lying in selected.oldest}


def _own_place(text: str) -> Place:
    if text.startswith(PREFIX):
        raise Rejected(
            "place",
            f"{text} was refused by the ledger, whose tables are append-only",
            "it would be refused again: correct it at its sender",
        )
    return Place.parse(text)


def _find(settings: Settings, places: list[Place]) -> tuple[Resolutions, Found]:
    """The records of these places. Raises `Rejected` when one is not in the quarantine."""
    require_topics(settings)
    wanted = set(places)
    found = {lying.place: lying for lying in read_quarantine(settings) if lying.place in wanted}
    for place in places:
        if place not in found:
            remedy = "look for its place with `cashback quarantine list --all`"
            raise Rejected("place", f"{place} is not in the quarantine", remedy)
    return read_resolutions(settings), found


def _show_refusal(settings: Settings, place: str, *, as_json: bool) -> None:
    rows = read_refusals(settings.database_url, Wanted(), now_ms=_now_ms())
    found = next(((row, key, value) for row, key, value in rows if row.place == place), None)
    if found is None:
        raise Rejected("place", f"{place} is not among the refusals", "look with `cashback quarantine list`")
    row, key, value = found
    show_row(asdict(row), key, value, as_json=as_json)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
