"""`cashback parked`."""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from heapq import nsmallest
from typing import Annotated

import typer

from connectors.quarantine import Desk, Words
from ops.commands.listing import age_text, print_table
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
)
from ops.commands.quarantine_text import show_row
from ops.commands.resolving import conclude, done_before, refuse, require_either
from ops.commands.speaking import BOOKED_S_MAX, seen_in_time
from ops.quarantine.answers import Answer, Answers, Refused, Said, SetAside, WaitsAnew
from ops.quarantine.deciding import LookedUp, decision_on, keep_record, look_up, partitions_with, write
from ops.quarantine.parked import Waiting, read_parked
from ops.reachable import kafka_here
from ops.settings import Settings
from ops.why.amounts import money
from schemas.errors import Rejected
from schemas.quarantine import DISCARDED, REQUEUED, Place
from schemas.times import DAY, SECOND, to_iso
from sinks.audit import check_words
from sinks.database import WRITER_ROLE, session

app = typer.Typer(no_args_is_help=True)

AT_ONCE = 500
"""So many are decided on at once, each answered before the command ends."""

Every = Annotated[bool, typer.Option("--all", help="Instead of places: all that wait, oldest first")]


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
    partner: Partner = None,
    most: Annotated[int, typer.Option(min=1, max=ANY_NUMBER, help="So many at most, the oldest")] = LISTED,
    as_json: AsJson = False,
    brokers: Brokers = None,
) -> None:
    """List refunds, voids and declines whose purchase is not known yet, oldest first.

    They join their purchase when it comes. One that waits too long goes to the quarantine.
    """
    settings = kafka_here(brokers=brokers)
    oldest, total = _oldest(settings, partner, most)
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
    parked = read_parked(settings, [wanted.partition])
    found = next((each for each in parked if each.place == wanted), None)
    if found is None:
        raise Rejected(
            "place", f"{place} is not parked", "look with `cashback parked list`: it may have joined"
        )
    said = asdict(_row(found, settings.parked_days))
    show_row(said, found.purchase.member_key, found.event.value, as_json=as_json)


@app.command()
def discard(
    actor: Actor,
    reason: Why,
    places: Places = None,
    every: Every = False,
    partner: Partner = None,
    most: Most = AT_ONCE,
    as_json: AsJson = False,
    brokers: Brokers = None,
    database: Database = None,
) -> None:
    """Give events up that wait for their purchase. Each goes to the quarantine, and is closed there.

    Their purchase will not know of them; sent again, or requeued from there, they are taken as new ones. When
    it was interrupted, run it again with the same places: it does what is left to do.
    """
    words = _words(actor, reason)
    settings = kafka_here(brokers=brokers, database_url=database)
    wanted = _chosen(settings, places, every, partner, most)
    answers, faults = _decided(settings, wanted, DISCARDED, words, nothing_is_done=not every)
    failures = {
        place: _why_not(answer) for place, answer in answers.items() if not isinstance(answer, SetAside)
    }
    closed = [place for place in wanted if place not in faults and place not in failures]
    done = Desk(settings).discard(closed, words)
    done.failures |= failures
    conclude(done, faults, as_json=as_json)


@app.command()
def requeue(
    actor: Actor,
    reason: Why,
    places: Places = None,
    every: Every = False,
    partner: Partner = None,
    most: Most = AT_ONCE,
    as_json: AsJson = False,
    brokers: Brokers = None,
    database: Database = None,
) -> None:
    """Let events wait for their purchase anew, as long from now on as if they had only come.

    They join it by themselves when it comes; this is for those whose time would be over before.
    """
    words = _words(actor, reason)
    settings = kafka_here(brokers=brokers, database_url=database)
    wanted = _chosen(settings, places, every, partner, most)
    answers, faults = _decided(settings, wanted, REQUEUED, words, nothing_is_done=not every)
    until: dict[Place, str] = {}
    failures: dict[Place, str] = {}
    for place, answer in answers.items():
        if isinstance(answer, WaitsAnew):
            until[place] = to_iso(answer.event.waits_since + settings.parked_days * DAY)
        else:
            failures[place] = _why_not(answer)
    _tell_requeued(until, failures, faults, as_json=as_json)


def _oldest(settings: Settings, partner: str | None, most: int) -> tuple[list[Waiting], int]:
    """The `most` oldest parked events, of one partner or of all, and how many there are."""
    total = 0

    def wanted() -> Iterator[Waiting]:
        nonlocal total
        for each in read_parked(settings):
            if partner in (None, each.purchase.partner_id):
                total += 1
                yield each

    oldest = nsmallest(most, wanted(), key=lambda each: (each.event.arrived_at, each.place))
    return oldest, total


def _chosen(
    settings: Settings, places: list[str] | None, every: bool, partner: str | None, most: int
) -> list[Place]:
    """What a command is about: the places it was given, or all that wait."""
    require_either(places, every)
    if places:
        if partner is not None:
            raise typer.BadParameter("--partner chooses among --all")
        return [Place.parse(text) for text in dict.fromkeys(places)]
    oldest, total = _oldest(settings, partner, most)
    if total > len(oldest):
        typer.echo(f"{total - len(oldest)} more are parked: run this again, or give --most", err=True)
    return [each.place for each in oldest]


def _tell_requeued(
    until: dict[Place, str], failures: dict[Place, str], faults: dict[Place, str], *, as_json: bool
) -> None:
    """Tell what waits until when, and what does not (exit code 1). `faults` were told already."""
    if as_json:
        requeued = [{"place": str(place), "waits_until": at} for place, at in until.items()]
        not_done = {str(place): why for place, why in sorted((faults | failures).items())}
        typer.echo(json.dumps({"requeued": requeued, "failures": not_done}))
    else:
        for place, at in until.items():
            typer.echo(f"{place} waits anew, until {at}")
        for place, why in sorted(failures.items()):
            typer.echo(f"{place}: {why}", err=True)
    if failures or faults:
        raise typer.Exit(1)


def _words(actor: str, reason: str) -> Words:
    """Raises `Rejected` unless the input log, the quarantine and the audit log can all keep them."""
    check_words(actor=actor, reason=reason)
    return Words(actor, reason, time.time_ns() // 1_000)


def _decided(
    settings: Settings, wanted: Sequence[Place], action: str, words: Words, *, nothing_is_done: bool
) -> tuple[dict[Place, Answer | None], dict[Place, str]]:
    """The answers about what could be decided on, None where none came in time; why the rest could not be."""
    with Answers(settings, partitions_with(settings, wanted)) as answers:
        found = look_up(settings, wanted)
        faults = _undecidable(wanted, found, action)
        refuse(faults, nothing_is_done=nothing_is_done)
        decided = _decide(settings, found.without(faults), action, words, answers)
    return {said.place: answers.found.get(said.place) for said in decided}, faults


def _undecidable(wanted: Sequence[Place], found: LookedUp, action: str) -> dict[Place, str]:
    """Why nothing can be decided on places where nothing waits."""
    faults = {
        place: "it is not parked; look with `cashback parked list`, it may have joined its purchase"
        for place in wanted
        if place not in found.waiting and place not in found.given_up
    }
    if action == DISCARDED:
        return faults | done_before(dict(found.given_up), found.resolutions, "there is nothing to discard")
    return faults | {
        place: f"it is in the quarantine ({lying.record.refusal.reason}); "
        f"write it back with `cashback quarantine requeue {place}`"
        for place, lying in found.given_up.items()
    }


def _decide(settings: Settings, found: LookedUp, action: str, words: Words, answers: Answers) -> list[Said]:
    """Set down who decides, say it for those that wait, and wait until the worker has answered."""
    decided = [decision_on(settings, each, action, words) for _, each in sorted(found.waiting.items())]
    values = {place: each.event.value for place, each in found.waiting.items()}
    values |= {place: lying.record.value for place, lying in found.given_up.items()}
    act = "discard" if action == DISCARDED else "requeue"
    with session(settings.database_url, f"parked {act}", role=WRITER_ROLE) as connection:
        keep_record(connection, settings, values, act, words)
    if decided:
        write(settings, decided)
        seen_in_time(lambda: answers.look(decided) or None)
    return decided


def _why_not(answer: Answer | None) -> str:
    match answer:
        case Refused(message):
            return f"it was refused: {message}"
        case SetAside(reason):
            return f"it went to the quarantine before ({reason})"
        case WaitsAnew():
            return "somebody let it wait anew meanwhile; look at it again"
        case None:
            return (
                f"it is decided but not answered after {BOOKED_S_MAX:.0f} s, is a worker running? "
                "Run this again to see what became of it"
            )


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
