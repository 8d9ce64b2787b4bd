"""`cashback revoke`."""

import time
from dataclasses import dataclass
from typing import Annotated

import psycopg
import typer

from connectors.writer import InputsWriter
from ops.running import settings_here
from ops.settings import Settings
from ops.why.amounts import moment, money
from ops.why.log import LogReader
from schemas.clock import clock_of
from schemas.revocations import Revocation, checked, to_datum
from schemas.times import Micros
from schemas.topics import INPUTS, WORKER_GROUP
from sinks.database import READER_ROLE, session
from sinks.places.references import find, reference

BOOKED_S_MAX = 15.0
LOOK_EVERY_S = 0.05

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
    """The cashback is not pending; the message says what it is and what to do instead."""


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


def revoke(
    cashback_id: Annotated[
        str, typer.Argument(metavar="CASHBACK_ID", help="cbtx_…, as `cashback why` shows it")
    ],
    actor: Annotated[str, typer.Option(help="Who decides this")],
    reason: Annotated[str, typer.Option(help="Why, for who reads it later")],
    wait: Annotated[bool, typer.Option(help="Wait until the ledger has booked it")] = True,
    brokers: Annotated[str | None, typer.Option(help="Kafka of the log (host:port,…)")] = None,
    database: Annotated[str | None, typer.Option(help="PostgreSQL of the ledger (URL)")] = None,
) -> None:
    """Take a pending cashback back for good: it is reverted, and not created again.

    Exit code 1 when it is not pending, or not booked within some seconds.
    """
    settings = settings_here(brokers=brokers, database_url=database)
    with session(settings.database_url, "revoke", role=READER_ROLE) as connection:
        found = _pending(connection, cashback_id)
        revocation = _revocation(found, actor, reason, _now(connection, found, settings))
        with InputsWriter(settings) as writer:
            writer.write_revocation(revocation)
        what = f"{money(found.amount, found.asset)} by {found.program_id} for {found.external_id}"
        if not wait:
            typer.echo(f"the revocation of {cashback_id} is written: {what}")
            return
        entry_id = _booked(connection, cashback_id, found)
    typer.echo(f"{cashback_id} is reverted: {what}, ledger entry {entry_id}")


def _pending(connection: psycopg.Connection, cashback_id: str) -> Found:
    """The cashback, if it is pending. Raises `NotRevocable`."""
    row = connection.execute(_FIND, (cashback_id,)).fetchone()
    if row is None:
        raise NotRevocable(
            f"CASHBACK_ID: the ledger has no {cashback_id}; copy it from `cashback why PARTNER EXTERNAL_ID`"
        )
    found = Found(*row)
    since = moment(found.since)
    if found.state == "CLEARED":
        raise NotRevocable(
            f"{cashback_id} cleared {since}, the money is the member's: only an approved reversal case takes "
            f"it back, and a refund or void of {found.external_id} opens one"
        )
    if found.state == "REVERTED":
        raise NotRevocable(f"{cashback_id} was reverted {since}: nothing is left to revoke")
    return found


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


def _now(connection: psycopg.Connection, found: Found, settings: Settings) -> Micros:
    """The present; where history is loaded, that is where the log's clock stands, and it is not moved."""
    if settings.clock == "broker":
        return time.time_ns() // 1_000
    topic = INPUTS.full_name(settings.topic_prefix)
    digest = reference(found.livemode, found.partner_id, found.external_id)
    partitions = {place.partition for place in find(connection, [digest], [topic])}
    with LogReader(settings.brokers, settings.topic_prefix + WORKER_GROUP) as log:
        stamps = [clock_of(headers) for headers in log.last_headers(topic, partitions)]
    return max((stamp for stamp in stamps if stamp is not None), default=found.since)


def _booked(connection: psycopg.Connection, cashback_id: str, found: Found) -> int:
    """The entry that reverted it. Raises `NotRevocable` when it cleared first, or nothing comes in time."""
    until_s = time.monotonic() + BOOKED_S_MAX
    while True:
        row = connection.execute(_RESOLVED, (cashback_id,)).fetchone()
        if row is not None:
            entry_id, transition = row
            if transition == "reverted":
                return int(entry_id)
            raise NotRevocable(f"{cashback_id} cleared before the revocation was read: it stays")
        if time.monotonic() > until_s:
            raise NotRevocable(
                f"the revocation of {cashback_id} is written but not booked after {BOOKED_S_MAX:.0f} s; "
                f"`cashback why {found.partner_id} {found.external_id}` tells what became of it"
            )
        time.sleep(LOOK_EVERY_S)
