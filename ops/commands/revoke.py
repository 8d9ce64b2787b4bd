"""`cashback revoke`."""

from dataclasses import dataclass
from typing import Annotated

import psycopg
import typer

from connectors.writer import InputsWriter
from ops.commands.options import Actor, Brokers, Database, Why
from ops.commands.speaking import BOOKED_S_MAX, now_of_log, seen_in_time
from ops.running import settings_here
from ops.why.amounts import moment, money
from schemas import ids
from schemas.revocations import Revocation, checked, to_datum
from schemas.times import Micros
from sinks.audit import record
from sinks.database import WRITER_ROLE, session
from sinks.reversals import Case, find

_FIND = """
SELECT partner_id, member_id, transaction_ref, livemode, program_id, sequence, amount, asset, state,
       (extract(epoch FROM state_since) * 1000000)::bigint
FROM cashback_states WHERE cashback_id = %s
"""
_RESOLVED = """
SELECT entry_id, transition::text FROM entries JOIN cashbacks USING (cashback_no)
WHERE cashback_id = %s AND step = 2
"""


class NotRevocable(Exception):
    """The cashback cannot be taken back; the message says what it is and what to do instead."""


@dataclass(frozen=True)
class Found:
    """A cashback as the ledger has it, and since when it is in its state."""

    partner_id: str
    member_id: str
    external_id: str
    livemode: bool
    program_id: str
    sequence: int
    amount: int
    asset: str
    state: str
    since: Micros

    @property
    def what(self) -> str:
        """In words."""
        return f"{money(self.amount, self.asset)} by {self.program_id} for {self.external_id}"


def revoke(
    cashback_id: Annotated[
        str, typer.Argument(metavar="CASHBACK_ID", help="cbtx_…, as `cashback why` shows it")
    ],
    actor: Actor,
    reason: Why,
    wait: Annotated[bool, typer.Option(help="Wait until the ledger has booked it")] = True,
    brokers: Brokers = None,
    database: Database = None,
) -> None:
    """Take a cashback back for good: a pending one is reverted, a cleared one gets a reversal case.

    Nothing is created again. Exit code 1 when it was taken back before, or not booked within some seconds.
    """
    settings = settings_here(brokers=brokers, database_url=database)
    with session(settings.database_url, "revoke", role=WRITER_ROLE) as connection:
        found, case = _revocable(connection, cashback_id)
        at = now_of_log(
            connection,
            settings,
            livemode=found.livemode,
            partner_id=found.partner_id,
            external_id=found.external_id,
            otherwise=found.since,
        )
        revocation = _revocation(found, actor, reason, at)
        with connection.transaction():
            details = {"amount": found.amount, "asset": found.asset, "state": found.state}
            record(
                connection,
                actor=actor,
                action="cashback.revoke",
                subject=cashback_id,
                reason=reason,
                details=details,
            )
        with InputsWriter(settings) as writer:
            writer.write_revocation(revocation)
        if not wait:
            typer.echo(f"the revocation of {cashback_id} is written: {found.what}")
        elif found.state == "CLEARED":
            typer.echo(_opened(connection, cashback_id, found, case))
        else:
            entry_id = _booked(connection, cashback_id, found)
            typer.echo(f"{cashback_id} is reverted: {found.what}, ledger entry {entry_id}")


def _revocable(connection: psycopg.Connection, cashback_id: str) -> tuple[Found, Case | None]:
    """The cashback and its reversal case, if it may be taken back. Raises `NotRevocable`."""
    row = connection.execute(_FIND, (cashback_id,)).fetchone()
    if row is None:
        raise NotRevocable(
            f"CASHBACK_ID: the ledger has no {cashback_id}; copy it from `cashback why PARTNER EXTERNAL_ID`"
        )
    found = Found(*row)
    if found.state == "REVERTED":
        raise NotRevocable(f"{cashback_id} was reverted {moment(found.since)}: nothing is left to revoke")
    case = find(connection, ids.reversal_case_id(cashback_id))
    if case is not None and case.state == "OPEN" and case.shortfall == case.amount:
        raise NotRevocable(
            f"{cashback_id} cleared {moment(found.since)}, and its case over all of it is open: "
            f"decide it with `cashback reversals approve {case.case_id}`"
        )
    return found, case


def _revocation(found: Found, actor: str, reason: str, at: Micros) -> Revocation:
    """Raises `Rejected` when actor or reason are not fit to be kept."""
    return checked(
        to_datum(
            Revocation(
                found.partner_id,
                found.member_id,
                found.external_id,
                found.program_id,
                found.sequence,
                actor,
                reason,
                at,
                found.livemode,
            )
        )
    )


def _opened(connection: psycopg.Connection, cashback_id: str, found: Found, before: Case | None) -> str:
    """The case that a revocation of a cleared cashback opened, in words. Raises `NotRevocable`."""
    case_id = ids.reversal_case_id(cashback_id)
    known = 0 if before is None else before.revision

    def opened() -> Case | None:
        case = find(connection, case_id)
        return case if case is not None and case.revision > known else None

    if seen_in_time(opened) is None:
        raise NotRevocable(_unbooked(cashback_id, found))
    return (
        f"{cashback_id} has cleared: {found.what}; its reversal case is open, take it back with "
        f"`cashback reversals approve {case_id}`"
    )


def _booked(connection: psycopg.Connection, cashback_id: str, found: Found) -> int:
    """The entry that reverted it. Raises `NotRevocable` when it cleared first, or nothing comes in time."""
    row = seen_in_time(lambda: connection.execute(_RESOLVED, (cashback_id,)).fetchone())
    if row is None:
        raise NotRevocable(_unbooked(cashback_id, found))
    entry_id, transition = row
    if transition != "reverted":
        raise NotRevocable(
            f"{cashback_id} cleared before the revocation was read: its reversal case is open, take it back "
            f"with `cashback reversals approve {ids.reversal_case_id(cashback_id)}`"
        )
    return int(entry_id)


def _unbooked(cashback_id: str, found: Found) -> str:
    return (
        f"the revocation of {cashback_id} is written but not booked after {BOOKED_S_MAX:.0f} s; "
        f"`cashback why {found.partner_id} {found.external_id}` tells what became of it"
    )
