"""A decision on a reversal case: whether the case may be decided, and what came of it."""

import psycopg

from ops.commands.speaking import BOOKED_S_MAX, now_of_log, seen_in_time
from ops.settings import Settings
from ops.why.amounts import money, second
from schemas.reversals import APPROVED, ReversalDecision, checked, to_datum
from sinks.reversals import Case, find, revisions

_STATE = "SELECT state FROM cashback_states WHERE cashback_id = %s"
_REVERSED = """
SELECT entry_id FROM entries JOIN cashbacks USING (cashback_no) WHERE cashback_id = %s AND step = 3
"""


class ReversalRefused(Exception):
    """The case cannot be decided, or was not; the message says why and what to do."""


def open_case(connection: psycopg.Connection, case_id: str) -> Case:
    """The case, if there is something to decide. Raises `ReversalRefused`."""
    case = find(connection, case_id)
    if case is None:
        raise ReversalRefused(
            f"CASE_ID: there is no {case_id}; `cashback reversals list` shows the open ones"
        )
    if case.state in ("APPROVED", "DECLINED"):
        raise ReversalRefused(
            f"{case_id} was {case.state.lower()} by {case.actor} {second(case.updated_at)}: "
            "what was decided first stands"
        )
    if case.state != "OPEN":
        raise ReversalRefused(f"{case_id}: a later capture made it good; nothing is left to decide")
    row = connection.execute(_STATE, (case.cashback_id,)).fetchone()
    if row is None or row[0] != "CLEARED":
        state = "unknown to the ledger" if row is None else row[0].lower()
        raise ReversalRefused(
            f"{case_id}: its cashback {case.cashback_id} is {state}, not cleared; "
            f"look at `cashback why {case.partner_id} {case.transaction_ref}`"
        )
    return case


def decision_on(
    connection: psycopg.Connection,
    settings: Settings,
    case: Case,
    verdict: str,
    *,
    actor: str,
    reason: str,
    second: str | None = None,
) -> ReversalDecision:
    """What is to be said. Raises `Rejected` when actor or reason are not fit to be kept."""
    at = now_of_log(
        connection,
        settings,
        livemode=case.livemode,
        partner_id=case.partner_id,
        external_id=case.transaction_ref,
        otherwise=case.updated_at,
    )
    return checked(
        to_datum(
            ReversalDecision(
                case.partner_id,
                case.member_id,
                case.transaction_ref,
                case.program_id,
                case.sequence,
                case.revision,
                verdict,
                actor,
                reason,
                at,
                second,
                case.livemode,
            )
        )
    )


def decided(connection: psycopg.Connection, case: Case, decision: ReversalDecision) -> str:
    """What came of a decision that was written, in words. Raises `ReversalRefused`."""
    after = seen_in_time(lambda: _next(connection, case))
    if after is None:
        raise ReversalRefused(_unbooked(case))
    said = (decision.decision, decision.actor, decision.second_actor)
    if (after.state, after.actor, after.second_actor) != said:
        raise ReversalRefused(
            f"{case.case_id} changed before the decision was read: it is {after.state.lower()} now, "
            f"{money(after.shortfall, after.asset)} too much; look at `cashback reversals show "
            f"{case.case_id}` and decide again"
        )
    if decision.decision != APPROVED:
        return f"{case.case_id} is declined: the member keeps {money(case.amount, case.asset)}"
    row = seen_in_time(lambda: connection.execute(_REVERSED, (case.cashback_id,)).fetchone())
    if row is None:
        raise ReversalRefused(_unbooked(case))
    left = case.amount - case.shortfall
    again = f", {money(left, case.asset)} of it was credited anew" if left else ""
    return f"{case.cashback_id} is reversed: {money(case.amount, case.asset)}{again}; ledger entry {row[0]}"


def _next(connection: psycopg.Connection, case: Case) -> Case | None:
    """What the case became first of all."""
    later = (each for each in revisions(connection, case.case_id) if each.revision > case.revision)
    return next(later, None)


def _unbooked(case: Case) -> str:
    return (
        f"the decision on {case.case_id} is written but not booked after {BOOKED_S_MAX:.0f} s; `cashback "
        f"reversals show {case.case_id}` and `cashback quarantine list` tell what became of it"
    )
