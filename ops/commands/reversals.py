"""`cashback reversals`."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any

import psycopg
import typer

from connectors.writer import InputsWriter
from ops.commands.deciding import ReversalRefused, decided, decision_on, open_case
from ops.commands.listing import print_table
from ops.commands.options import ANY_NUMBER, LISTED, Actor, AsJson, Brokers, Database, Why, one_of
from ops.commands.sessions import session_here
from ops.running import settings_here
from ops.settings import Settings
from ops.why.amounts import money, second
from schemas.reversals import APPROVED, DECLINED, ReversalDecision
from schemas.times import to_iso
from sinks.audit import record
from sinks.database import READER_ROLE, WRITER_ROLE, session
from sinks.reversals import STATES, Approval, Case, approve_first, cases, revisions, waiting

app = typer.Typer(no_args_is_help=True)

Id = Annotated[str, typer.Argument(metavar="CASE_ID", help="rvc_…, as `list` shows it")]
Wait = Annotated[bool, typer.Option(help="Wait until the ledger has booked it")]

_COLUMNS = ("case", "state", "opened", "too much", "of", "cause", "partner", "member", "purchase", "program")


@app.command("list")
def list_command(
    state: Annotated[str, typer.Option(help=f"One of {', '.join(STATES)}")] = "open",
    partner: Annotated[str | None, typer.Option(help="Only cases of this partner")] = None,
    most: Annotated[int, typer.Option(min=1, max=ANY_NUMBER, help="So many at most, the oldest")] = LISTED,
    as_json: AsJson = False,
    database: Database = None,
) -> None:
    """List reversal cases, the one that waits longest first, and which of them wait for a second person."""
    one_of("--state", state, STATES)
    with session_here(database, "reversals list", role=READER_ROLE) as connection:
        found = cases(connection, state=state, partner=partner, most=most)
        firsts = waiting(connection, found)
    if as_json:
        typer.echo(json.dumps({"cases": [_form(case, firsts.get(case.case_id)) for case in found]}))
        return
    print_table(_COLUMNS, (_row(case, firsts) for case in found), folded="purchase")


@app.command("show")
def show_command(case_id: Id, as_json: AsJson = False, database: Database = None) -> None:
    """Show a reversal case: what it is about, and all that became of it."""
    with session_here(database, "reversals show", role=READER_ROLE) as connection:
        found = revisions(connection, case_id)
        if not found:
            raise ReversalRefused(f"CASE_ID: there is no {case_id}; `cashback reversals list` shows them")
        first = waiting(connection, found[-1:]).get(case_id)
    if as_json:
        typer.echo(
            json.dumps({**_form(found[-1], first), "revisions": [_form(case, None) for case in found]})
        )
        return
    case = found[-1]
    typer.echo(
        f"{case_id}: {money(case.amount, case.asset)} of {case.program_id} no. {case.sequence} "
        f"({case.cashback_id}) for {case.partner_id} {case.transaction_ref}, member {case.member_id}"
    )
    for each in found:
        typer.echo(f"{second(each.updated_at)}  {_told(each)}")
    if first is not None:
        typer.echo(f"approved by {first.actor} ({first.reason}); waits for a second person")


@app.command("approve")
def approve_command(
    case_id: Id,
    actor: Actor,
    reason: Why,
    wait: Wait = True,
    brokers: Brokers = None,
    database: Database = None,
) -> None:
    """Take a cleared cashback back: all of it, and what is still earned is credited anew at once.

    Where two must approve (CASHBACK_REVERSAL_APPROVALS=2), the first approval waits for another person's.
    Exit code 1 when the case is not open, or not booked within some seconds.
    """
    settings = settings_here(brokers=brokers, database_url=database)
    needs_two = settings.reversal_approvals > 1
    with session(settings.database_url, "reversals approve", role=WRITER_ROLE) as connection:
        case = open_case(connection, case_id)
        decision = decision_on(connection, settings, case, APPROVED, actor=actor, reason=reason)
        first = _keep_approval(connection, case, actor=actor, reason=reason, needs_two=needs_two)
        if needs_two and first is None:
            typer.echo(f"{case_id} is approved by {actor}: it waits for a second person")
            return
        if first is not None:
            decision = decision_on(
                connection, settings, case, APPROVED, actor=first.actor, reason=first.reason, second=actor
            )
        typer.echo(_written(connection, settings, case, decision, wait=wait))


@app.command("decline")
def decline_command(
    case_id: Id,
    actor: Actor,
    reason: Why,
    wait: Wait = True,
    brokers: Brokers = None,
    database: Database = None,
) -> None:
    """Leave the member what was credited. A later refund that makes more of it too much opens the case again.

    Exit code 1 when the case is not open, or not closed within some seconds.
    """
    settings = settings_here(brokers=brokers, database_url=database)
    with session(settings.database_url, "reversals decline", role=WRITER_ROLE) as connection:
        case = open_case(connection, case_id)
        decision = decision_on(connection, settings, case, DECLINED, actor=actor, reason=reason)
        with connection.transaction():
            _record(connection, case, "reversal.decline", actor=actor, reason=reason)
        typer.echo(_written(connection, settings, case, decision, wait=wait))


def _written(
    connection: psycopg.Connection, settings: Settings, case: Case, decision: ReversalDecision, *, wait: bool
) -> str:
    """Write a decision to the inputs; what to say of it, with `wait` what came of it."""
    with InputsWriter(settings) as writer:
        writer.write_reversal_decision(decision)
    if wait:
        return decided(connection, case, decision)
    act = "approval" if decision.decision == APPROVED else "decline"
    return f"the {act} of {case.case_id} is written"


def _keep_approval(
    connection: psycopg.Connection, case: Case, *, actor: str, reason: str, needs_two: bool
) -> Approval | None:
    """Keep who approves; returns the first approval where this is the second.

    Raises `ReversalRefused` when both would be one person's.
    """
    with connection.transaction():
        first = approve_first(connection, case, actor=actor, reason=reason) if needs_two else None
        if first is not None and first.is_by(actor):
            raise ReversalRefused(
                f"{case.case_id} was approved by {first.actor} {second(first.approved_at)}: it waits for "
                "another person to approve it"
            )
        _record(connection, case, "reversal.approve", actor=actor, reason=reason, first=first)
    return first


def _record(
    connection: psycopg.Connection,
    case: Case,
    action: str,
    *,
    actor: str,
    reason: str,
    first: Approval | None = None,
) -> None:
    details: dict[str, object] = {"revision": case.revision, "too_much": case.shortfall, "asset": case.asset}
    details |= {"first": first.actor} if first else {}
    record(connection, actor=actor, action=action, subject=case.case_id, reason=reason, details=details)


def _form(case: Case, first: Approval | None) -> dict[str, Any]:
    form = asdict(case)
    for name in ("opened_at", "updated_at"):
        form[name] = to_iso(form[name])
    if first is not None:
        form["waits_for_second"] = {
            "actor": first.actor,
            "reason": first.reason,
            "approved_at": to_iso(first.approved_at),
        }
    return form


def _row(case: Case, firsts: Mapping[str, Approval]) -> tuple[str, ...]:
    first = firsts.get(case.case_id)
    state = case.state.lower().replace("_", " ")
    return (
        case.case_id,
        state if first is None else f"{state}, approved by {first.actor}",
        second(case.opened_at),
        money(case.shortfall, case.asset),
        money(case.amount, case.asset),
        case.cause.lower(),
        case.partner_id if case.livemode else f"{case.partner_id} (test)",
        case.member_id,
        case.transaction_ref,
        f"{case.program_id} no. {case.sequence}",
    )


def _told(case: Case) -> str:
    who = " and ".join(name for name in (case.actor, case.second_actor) if name)
    by = f" by {who} ({case.note})" if who else ""
    left = "" if case.state != "OPEN" else f", {money(case.shortfall, case.asset)} too much"
    return f"{case.revision}. {case.state.lower()}{left}, {case.cause.lower()}{by}"
