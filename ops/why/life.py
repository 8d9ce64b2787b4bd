"""The life of one purchase: what came of it in a sentence or two, and its steps in time order. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ops.why.amounts import moment, money
from ops.why.booked import ledger_steps
from ops.why.facts import Cashback, Facts
from ops.why.inputs import Fate, Told, fates, opening, standing
from ops.why.sent import decision_steps, input_steps
from ops.why.steps import Step
from schemas import ids
from schemas.times import to_iso
from streams.pending import resolves_at
from streams.program import compiled
from streams.purchase import Pair, Reason

_STATES = {"created": "pending", "cleared": "cleared", "reverted": "reverted", "reversed": "reversed"}


@dataclass(frozen=True, slots=True)
class Life:
    """What happened to one member's purchase.

    `heading` says whose it is, `purchase` what was bought, `outcome` what came of it, a sentence a line.
    """

    heading: str
    transaction_id: str
    purchase: str | None
    outcome: tuple[str, ...]
    steps: tuple[Step, ...]
    figures: dict[str, Any]


def life_of(facts: Facts) -> Life:
    """The life of what one member bought under one reference."""
    told = fates(facts.inputs)
    steps = [*input_steps(told), *decision_steps(facts, told), *ledger_steps(facts)]
    transaction_id = ids.transaction_id(facts.livemode, facts.partner_id, facts.member_id, facts.external_id)
    mode = "" if facts.livemode else ", test"
    return Life(
        heading=f"Payment {facts.external_id} of {facts.partner_id}, member {facts.member_id}{mode}",
        transaction_id=transaction_id,
        purchase=_purchase(told),
        outcome=tuple(_outcome(facts, told)),
        steps=tuple(sorted(steps, key=lambda step: step.order)),
        figures=_figures(facts, told, transaction_id),
    )


def state_of(cashback: Cashback) -> str:
    """pending, cleared, reverted, or reversed after it cleared; a ledger that lost entries shows it."""
    return _STATES[cashback.entries[-1].transition] if cashback.entries else "without entries"


def _purchase(told: Sequence[Told]) -> str | None:
    opener = opening(told)
    if opener is None:
        return None
    now, currency = standing(told), opener.datum["currency"]
    state = "void" if now.void else f"settled {moment(now.settled_at)}" if now.settled_at else "not settled"
    gross, net = money(now.gross, currency), money(now.net, currency)
    return f"at {opener.datum['merchant_id']}: gross {gross}, net {net}, {state}"


def _outcome(facts: Facts, told: Sequence[Told]) -> Iterator[str]:
    opener = opening(told)
    if facts.cashbacks:
        yield from _balance(facts.cashbacks)
        yield from _pending(facts, told)
    elif opener is None:
        yield from _unopened(told)
    elif not facts.decisions:
        yield _undecided(facts)
    elif is_rewarded(facts) and not facts.unbooked:
        yield f"Rewarded, but not in the ledger yet{_late(facts.behind.ledger, 'the ledger')}"
    elif not is_rewarded(facts):
        words = max(facts.decisions, key=lambda each: each.place).datum["decisions"]
        yield f"Earned nothing: {', '.join(_short(word) for word in words)}"
    if facts.holder is not None and facts.holder != facts.member_id:
        yield (
            f"The ledger keeps {facts.external_id} for member {facts.holder}, who came first; "
            "what this member earned by it is set aside, not booked"
        )


def is_rewarded(facts: Facts) -> bool:
    """Whether any decision rewarded the purchase."""
    return any(word["decision"] == "REWARDED" for each in facts.decisions for word in each.datum["decisions"])


def _balance(cashbacks: Sequence[Cashback]) -> Iterator[str]:
    sums: dict[tuple[str, str], int] = {}
    for cashback in cashbacks:
        of = state_of(cashback), cashback.asset
        sums[of] = sums.get(of, 0) + cashback.amount
    alive = [f"{money(amount, asset)} {state}" for (state, asset), amount in sums.items() if _is_alive(state)]
    gone = [
        f"{money(amount, asset)} {state}" for (state, asset), amount in sums.items() if not _is_alive(state)
    ]
    yield f"Earned: {', '.join(alive)}" if alive else f"Earned nothing in the end: {', '.join(gone)}"
    for cashback in cashbacks:
        case = cashback.cases[-1] if cashback.cases else None
        if case and case.shortfall and case.state == "OPEN" and state_of(cashback) == "cleared":
            too_much = money(case.shortfall, cashback.asset)
            yield f"A reversal case is open for no. {cashback.sequence} of {cashback.program_id}: {too_much}"


def _pending(facts: Facts, told: Sequence[Told]) -> Iterator[str]:
    """When what is pending resolves by itself, where the terms are known."""
    purchase = standing(told)
    for cashback in facts.cashbacks:
        spec = facts.programs.get((cashback.program_id, cashback.program_version))
        if spec is None or state_of(cashback) != "pending" or not purchase.purchased_at:
            continue
        created_at = cashback.entries[0].event_at
        pair = Pair(cashback.program_id, cashback.program_version, Reason.REWARDED, created_at=created_at)
        at = moment(resolves_at(purchase, pair, compiled(spec)))
        which = f"No. {cashback.sequence} of {cashback.program_id}"
        if purchase.settled_at:
            yield f"{which} clears {at}, if nothing is refunded before"
        else:
            yield f"{which} is taken back {at}, if the purchase is not settled before"


def _is_alive(state: str) -> bool:
    return state in ("pending", "cleared")


def _unopened(told: Sequence[Told]) -> Iterator[str]:
    if any(each.fate is Fate.PARKED for each in told):
        yield "Parked: refunds or voids wait here for a purchase that has not come"
    elif any(each.input.refusal is not None and each.input.refusal.reason == "discarded" for each in told):
        yield "Discarded: refunds or voids waited here for a purchase that has not come"
    elif told:
        yield "Nothing of it was accepted: every input is in the quarantine"


def _undecided(facts: Facts) -> str:
    behind = facts.behind
    if behind.worker:
        return f"Not decided yet{_late(behind.worker, 'the worker')}"
    if behind.places:
        return f"The decision is not indexed yet{_late(behind.places, 'the index of places')}"
    return "No decision is kept: it waits for a lease of a budget, or is past the retention of decisions"


def _late(records: int, who: str) -> str:
    return f": {who} has {records:,} records to read before" if records else ""


def _short(word: Any) -> str:
    if word["program_id"] is None:
        return str(word["decision"])
    return f"{word['decision']} ({word['program_id']})"


def _figures(facts: Facts, told: Sequence[Told], transaction_id: str) -> dict[str, Any]:
    now, opener = standing(told), opening(told)
    return {
        "partner_id": facts.partner_id,
        "member_id": facts.member_id,
        "external_id": facts.external_id,
        "livemode": facts.livemode,
        "transaction_id": transaction_id,
        "merchant_id": opener and opener.datum["merchant_id"],
        "currency": opener and opener.datum["currency"],
        "gross_minor": now.gross,
        "net_minor": now.net,
        "void": now.void,
        "settled_at": to_iso(now.settled_at) if now.settled_at else None,
        "held_for": facts.holder,
        "cashbacks": [
            {
                "cashback_transaction_id": each.cashback_id,
                "program_id": each.program_id,
                "sequence": each.sequence,
                "amount": each.amount,
                "currency": each.asset,
                "state": state_of(each).upper(),
            }
            for each in facts.cashbacks
        ],
    }
