"""The records that say what was decided, as Avro data. Source: contract of the system, "Out"."""

from typing import Any, Protocol

from schemas import ids
from schemas.times import Micros
from streams.pending import By, ClearedNow, Created, Reverted, Transition, clears_at
from streams.program import Program
from streams.purchase import CaseState, Cleared, Pair, Purchase, PurchaseId, Reason

Datum = dict[str, Any]

_NAMES = {reason: reason.name for reason in Reason}
_STATES = {state: state.name for state in CaseState}


class Cause(Protocol):
    """The event that led to something: a transaction, or what is kept of one."""

    @property
    def kind(self) -> str: ...
    @property
    def occurred_at(self) -> Micros: ...
    @property
    def employee_id(self) -> str | None: ...
    @property
    def receipt_id(self) -> str | None: ...
    @property
    def webhook_id(self) -> str | None: ...


def cashback_id(who: PurchaseId, program_id: str, sequence: int) -> str:
    """Id of one cashback of a purchase."""
    return ids.cashback_id(who.livemode, who.partner_id, who.member_id, who.external_id, program_id, sequence)


def transition(
    who: PurchaseId,
    purchase: Purchase,
    pair: Pair,
    program: Program,
    change: Transition,
    cause: Cause | None,
) -> tuple[str, Datum]:
    """Record name and datum of a transition; `cause` is the event that led to it, None when time did."""
    match change:
        case Created():
            return "CashbackCreated", _created(who, purchase, pair, program, change, cause)
        case ClearedNow():
            return "CashbackCleared", _about(who, purchase, pair, change, "cleared")
        case Reverted():
            return "CashbackReverted", _reverted(who, purchase, pair, change)


def _created(
    who: PurchaseId,
    purchase: Purchase,
    pair: Pair,
    program: Program,
    change: Created,
    cause: Cause | None,
) -> Datum:
    datum = _about(who, purchase, pair, change, "created")
    datum["amount"] = change.amount
    datum["currency"] = program.asset
    datum["source"] = _source(who, pair, program)
    datum["clear_at"] = change.clear_at
    if change.clear_at is None and purchase.settled_at:
        datum["clear_at"] = clears_at(purchase, pair, program)
    datum["basket_minor"] = purchase.gross
    if cause is not None:
        datum["employee_id"] = cause.employee_id
        datum["receipt_id"] = cause.receipt_id
        datum["webhook_id"] = cause.webhook_id
    return datum


def _reverted(who: PurchaseId, purchase: Purchase, pair: Pair, change: Reverted) -> Datum:
    datum = _about(who, purchase, pair, change, "reverted")
    datum["reason"] = change.reason
    if change.by is not None:
        datum["case_id"] = ids.reversal_case_id(datum["cashback_transaction_id"])
        datum |= _by(change.by)
    return datum


def _by(by: By) -> Datum:
    return {"actor": by.actor, "second_actor": by.second_actor, "note": by.note}


def _source(who: PurchaseId, pair: Pair, program: Program) -> Datum:
    stake = pair.stake
    if program.is_loyalty:
        redemption = (who.livemode, who.partner_id, who.member_id, who.external_id, program.program_id)
        return {
            "type": "loyalty_program_redemption",
            "loyalty_program_id": program.program_id,
            "redemption_id": ids.redemption_id(*redemption),
            "external_id": program.external_id,
        }
    if stake is None or not stake.entitlement_id:
        return {"type": "campaign", "campaign_id": program.program_id}
    if program.by_clip:
        return {"type": "clip", "clip_id": stake.entitlement_id}
    return {
        "type": "airdrop",
        "airdrop_id": stake.entitlement_id,
        "variant_id": stake.variant_id,
        "creative_id": stake.creative_id,
    }


def _about(who: PurchaseId, purchase: Purchase, pair: Pair, change: Transition, name: str) -> Datum:
    cashback = cashback_id(who, pair.program_id, change.sequence)
    return {
        "event_id": ids.event_id(cashback, name),
        "timestamp": change.at,
        "cashback_transaction_id": cashback,
        "transaction_id": who.transaction_id,
        "transaction_ref": who.external_id,
        "partner_id": who.partner_id,
        "member_id": who.member_id,
        "merchant_id": purchase.merchant_id,
        "program_id": pair.program_id,
        "program_version": pair.version,
        "sequence": change.sequence,
        "livemode": who.livemode,
        "silent": purchase.silent,
    }


def decision(who: PurchaseId, purchase: Purchase, at: Micros, figures: dict[str, Any]) -> Datum:
    """What all programs said to a purchase; one NO_PROGRAM when none names it.

    `figures`: by program_id, what stands behind its word.
    """
    return {
        "occurred_at": at,
        "partner_id": who.partner_id,
        "member_id": who.member_id,
        "merchant_id": purchase.merchant_id,
        "transaction_id": who.transaction_id,
        "transaction_ref": who.external_id,
        "decisions": [_word(pair, figures) for pair in purchase.pairs] or [{"decision": "NO_PROGRAM"}],
        "livemode": who.livemode,
        "gross_minor": purchase.gross,
        "net_minor": purchase.net,
    }


def _word(pair: Pair, figures: dict[str, Any]) -> Datum:
    word = {
        "program_id": pair.program_id,
        "program_version": pair.version,
        "decision": _NAMES[pair.reason],
        "amount": pair.amount if pair.reason is Reason.REWARDED else None,
        "outranked_by": pair.outranked_by,
    }
    return word | figures[pair.program_id] if pair.program_id in figures else word


def reversal_case(
    who: PurchaseId,
    purchase: Purchase,
    pair: Pair,
    program: Program,
    cleared: Cleared,
    cause: Cause,
    by: By | None = None,
) -> Datum:
    """A reversal case as it stands after `cause`; `by`: whose word it was."""
    cashback = cashback_id(who, pair.program_id, cleared.sequence)
    datum = {
        "case_id": ids.reversal_case_id(cashback),
        "revision": cleared.revision,
        "opened_at": cleared.opened_at,
        "updated_at": cause.occurred_at,
        "cashback_transaction_id": cashback,
        "transaction_id": who.transaction_id,
        "transaction_ref": who.external_id,
        "partner_id": who.partner_id,
        "member_id": who.member_id,
        "merchant_id": purchase.merchant_id,
        "program_id": pair.program_id,
        "program_version": pair.version,
        "sequence": cleared.sequence,
        "livemode": who.livemode,
        "amount": cleared.amount,
        "currency": program.asset,
        "shortfall": cleared.too_much,
        "net_minor": purchase.net,
        "cause": cause.kind,
        "state": _STATES[cleared.state],
    }
    return datum if by is None else datum | _by(by)
