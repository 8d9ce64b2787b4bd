"""Steps of what the ledger booked, what it would not book, and who was told."""

from collections.abc import Iterator
from typing import Any

from ops.why.amounts import figure, moment, money, percent, second
from ops.why.facts import Case, Cashback, Delivery, Entry, Facts, Unbooked
from ops.why.steps import Detail, Step
from schemas.times import to_iso

_REASONS = {
    "REFUNDED": "a refund left less",
    "VOIDED": "the purchase was voided",
    "DECLINED": "the purchase was declined",
    "RECOMPUTED": "the amount changed",
    "AUTH_EXPIRED": "not settled in time",
    "REVOKED": "taken back by an operator",
    "REVERSED": "an approved reversal",
}
_STEPS = {"created": 1, "cleared": 2, "reverted": 2, "reversed": 3}


def ledger_steps(facts: Facts) -> Iterator[Step]:
    """Every entry of the member's cashbacks, every revision of their cases, and what was refused."""
    for cashback in facts.cashbacks:
        for entry in cashback.entries:
            yield _entry(cashback, entry)
        for case in cashback.cases:
            yield _case(cashback, case)
    for number, each in enumerate(facts.unbooked):
        yield _refused(each, number)


def _entry(cashback: Cashback, entry: Entry) -> Step:
    amount = money(cashback.amount, cashback.asset)
    said = f"cashback {entry.transition}: {amount} by {cashback.program_id}, no. {cashback.sequence}"
    if entry.reason is not None:
        why = _REASONS.get(entry.reason)
        said += f" ({entry.reason}: {why})" if why else f" ({entry.reason})"
    if entry.actor is not None:
        who = entry.actor if entry.second_actor is None else f"{entry.actor} and {entry.second_actor}"
        said += f" by {who}: {entry.note}"
    return Step(
        at=entry.event_at,
        rank=2,
        number=(cashback.program_id, cashback.sequence, _STEPS[entry.transition]),
        what=entry.transition,
        said=said,
        details=tuple(_about_entry(cashback, entry)),
        figures=_figures(cashback, entry),
    )


def _about_entry(cashback: Cashback, entry: Entry) -> Iterator[Detail]:
    yield Detail("cashback", cashback.cashback_id)
    if entry.transition == "created":
        clear_at = cashback.clear_at
        yield Detail("hold", f"until {moment(clear_at)}" if clear_at is not None else "begins when settled")
    yield Detail("ledger", f"entry {entry.entry_id}, booked {second(entry.posted_at)}")
    for transfer in entry.transfers:
        rate = ""
        if "commission" in f"{transfer.debit}{transfer.credit}":
            rate = f" ({percent(cashback.commission_bps)} of {figure(cashback.amount, cashback.asset)})"
        moved = f"{transfer.debit} → {transfer.credit} {money(transfer.amount, cashback.asset)}{rate}"
        yield Detail("", moved)
    if not entry.deliveries:
        yield Detail("webhook", _untold(entry))
    for delivery in entry.deliveries:
        yield Detail("webhook", f"{delivery.url} {_delivery(delivery)}")


def _untold(entry: Entry) -> str:
    if entry.is_told:
        return "no endpoint of the partner wants this event"
    return "none: loaded as history" if entry.silent else "none: the partner had no endpoint"


def _delivery(delivery: Delivery) -> str:
    attempts = delivery.attempts
    failures = ", ".join(_answer(each.status, each.error) for each in attempts if each.outcome == "failed")
    if delivery.due_at is not None:
        waits = f"is due {second(delivery.due_at)}"
        if delivery.disabled_reason is not None:
            waits = f"waits: the endpoint is disabled ({delivery.disabled_reason})"
        return f"{waits}; failed before: {failures}" if failures else waits
    for each in attempts:
        if each.outcome == "delivered":
            nth = f" at attempt {each.attempt} (before: {failures})" if failures else ""
            again = sum(more.outcome == "repeated" for more in attempts)
            repeated = f"; sent again since: {again}" if again else ""
            return f"delivered {second(each.started_at)}{nth}{repeated}"
    last = attempts[-1]
    return f"given up after attempt {last.attempt}: {_answer(last.status, last.error)}"


def _answer(status: int | None, error: str | None) -> str:
    return f"HTTP {status}" if status is not None else error or "no answer"


def _figures(cashback: Cashback, entry: Entry) -> dict[str, Any]:
    return {
        "cashback_transaction_id": cashback.cashback_id,
        "program_id": cashback.program_id,
        "program_version": cashback.program_version,
        "sequence": cashback.sequence,
        "amount": cashback.amount,
        "currency": cashback.asset,
        "commission": cashback.commission,
        "commission_bps": cashback.commission_bps,
        "clear_at": None if cashback.clear_at is None else to_iso(cashback.clear_at),
        "reason": entry.reason,
        "actor": entry.actor,
        "second_actor": entry.second_actor,
        "note": entry.note,
        "event_id": entry.event_id,
        "entry_id": entry.entry_id,
        "posted_at": to_iso(entry.posted_at),
        "transfers": [
            {"debit": moved.debit, "credit": moved.credit, "amount": moved.amount}
            for moved in entry.transfers
        ],
        "webhooks": [_delivery_figures(delivery) for delivery in entry.deliveries],
    }


def _delivery_figures(delivery: Delivery) -> dict[str, Any]:
    return {
        "url": delivery.url,
        "due_at": None if delivery.due_at is None else to_iso(delivery.due_at),
        "disabled_reason": delivery.disabled_reason,
        "attempts": [
            {
                "attempt": each.attempt,
                "started_at": to_iso(each.started_at),
                "status": each.status,
                "outcome": each.outcome,
                "error": each.error,
            }
            for each in delivery.attempts
        ],
    }


def _case(cashback: Cashback, case: Case) -> Step:
    figures = {"case_id": case.case_id, "revision": case.revision, "shortfall": case.shortfall}
    figures |= {"state": case.state, "actor": case.actor, "second_actor": case.second_actor}
    figures["note"] = case.note
    return Step(
        at=case.updated_at,
        rank=3,
        number=(cashback.program_id, cashback.sequence, case.revision),
        what="case",
        said=_of_case(cashback, case),
        details=(Detail("case", f"{case.case_id}, revision {case.revision}, cause {case.cause}"),),
        figures={**figures, "amount": case.amount, "net_minor": case.net_minor, "cause": case.cause},
    )


def _of_case(cashback: Cashback, case: Case) -> str:
    too_much, cleared = (figure(each, cashback.asset) for each in (case.shortfall, case.amount))
    if case.state != "OPEN":
        return f"reversal case {case.state.lower()} by {case.by}: {case.note}"
    if case.cause == "REVOKED":
        return f"reversal case opened: {case.by} wants all of the {cleared} cleared back: {case.note}"
    if not case.shortfall:
        return "reversal case settled by itself: a later capture made it good"
    verb = "opened" if case.revision == 1 else "updated"
    return f"reversal case {verb}: {too_much} of the {cleared} cleared is no longer earned"


def _refused(unbooked: Unbooked, number: int) -> Step:
    datum = unbooked.datum
    at = datum["updated_at"] if unbooked.record == "ReversalCase" else datum["timestamp"]
    about = f"no. {datum['sequence']} of {datum['program_id']}"
    amount = f", {money(datum['amount'], datum['currency'])}" if "amount" in datum else ""
    return Step(
        at=at,
        rank=2,
        number=("", number, 0),
        what="refused",
        said=f"not booked: {unbooked.record} {about}{amount}",
        details=(Detail("ledger", f"{unbooked.reason}: {unbooked.detail}"),),
        figures={"record": unbooked.record, "reason": unbooked.reason, "detail": unbooked.detail},
    )
