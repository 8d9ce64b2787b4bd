"""`cashback audit`."""

import json
import re
from dataclasses import asdict
from typing import Annotated, Any

import typer

from ops.commands.listing import print_table
from ops.commands.options import ANY_NUMBER, LISTED, AsJson, Database, since_ms
from ops.commands.sessions import session_here
from schemas.times import to_iso
from sinks.audit import Act, head, latest, verify
from sinks.database import READER_ROLE

app = typer.Typer(no_args_is_help=True)

_HASH = re.compile("[0-9a-f]{64}")


@app.command("list")
def list_command(
    subject: Annotated[str | None, typer.Option(help="Only what was done to this")] = None,
    actor: Annotated[str | None, typer.Option(help="Only what this person did")] = None,
    since: Annotated[str | None, typer.Option(help="Only what was done since then (ISO 8601)")] = None,
    most: Annotated[int, typer.Option(min=1, max=ANY_NUMBER, help="So many at most, the latest")] = LISTED,
    as_json: AsJson = False,
    database: Database = None,
) -> None:
    """List manual acts, oldest first, and the head.

    The hash of the head, kept elsewhere, proves later that nothing is gone.
    """
    since_us = since_ms(since) * 1_000
    with session_here(database, "audit list", role=READER_ROLE) as connection:
        acts = latest(connection, most=most, actor=actor, subject=subject, since=since_us)
        mark = head(connection)
    if as_json:
        typer.echo(json.dumps({"acts": [_form(act) for act in acts], "head": asdict(mark)}))
        return
    rows = ((str(a.audit_no), to_iso(a.at), a.actor, a.action, a.subject, a.reason) for a in acts)
    print_table(("no", "at", "actor", "action", "subject", "reason"), rows, folded="reason")
    typer.echo(f"head: {mark.audit_no} {mark.hash}")


@app.command("verify")
def verify_command(
    expect: Annotated[
        str | None, typer.Option(metavar="HASH", help="A head kept elsewhere: it must still be in the log")
    ] = None,
    as_json: AsJson = False,
    database: Database = None,
) -> None:
    """Compute every hash of the audit log anew. Exit code 1 naming the first row that does not fit."""
    if expect is not None and not _HASH.fullmatch(expect):
        raise typer.BadParameter("is not a hash: 64 digits 0-9a-f, as `list` shows", param_hint="--expect")
    with session_here(database, "audit verify", role=READER_ROLE) as connection:
        verified = verify(connection, expect=expect)
    broken = verified.broken
    if as_json:
        typer.echo(json.dumps(asdict(verified)))
    elif broken is None:
        typer.echo(f"{verified.rows} rows, each bound to the one before it; head: {verified.head.hash}")
    if broken is not None:
        typer.echo(f"row {broken.audit_no}: {broken.problem}", err=True)
        raise typer.Exit(1)


def _form(act: Act) -> dict[str, Any]:
    return {
        "audit_no": act.audit_no,
        "at": to_iso(act.at),
        "actor": act.actor,
        "action": act.action,
        "subject": act.subject,
        "reason": act.reason,
        "details": json.loads(act.details),
        "previous_hash": act.previous_hash.hex(),
        "hash": act.hash.hex(),
    }
