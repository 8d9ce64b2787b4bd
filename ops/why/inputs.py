"""What became of each input of a purchase, by the rules of dedup and parking, and what they come to. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from ops.why.facts import Input
from schemas.quarantine import DISCARDED
from schemas.transactions import AUTHORIZED, SETTLED, Transaction, payload_hash
from streams.purchase import Purchase, record_fact


class Fate(Enum):
    """What became of an input."""

    TAKEN = "taken"
    JOINED = "came before its purchase, and was taken when that came"
    PARKED = "waits for its purchase"
    REPEATED = "a repetition, changes nothing"
    REFUSED = "set aside"


@dataclass(frozen=True, slots=True)
class Told:
    """An input and what became of it."""

    input: Input
    fate: Fate

    @property
    def counts(self) -> bool:
        """Whether it changed its purchase."""
        return self.fate in (Fate.TAKEN, Fate.JOINED)


def fates(inputs: Iterable[Input]) -> list[Told]:
    """Every input of one purchase with what became of it, in the order of the log."""
    ordered = sorted(inputs, key=lambda each: each.place)
    opener = next((each for each in ordered if _opens(each)), None)
    seen: dict[Any, bytes] = {}
    return [Told(each, _fate(each, opener, seen)) for each in ordered]


def opening(told: Sequence[Told]) -> Input | None:
    """The input that bound the purchase to its merchant and currency."""
    return next((each.input for each in told if each.counts and _opens(each.input)), None)


def standing(told: Iterable[Told]) -> Purchase:
    """Gross, net and so on after all that counted."""
    purchase = Purchase()
    for each in told:
        datum = each.input.datum
        if not each.counts or each.input.record != "Transaction":
            continue
        record_fact(purchase, datum["kind"], datum["amount_minor"] or 0, datum["occurred_at"])
        if not purchase.purchased_at and _opens(each.input) and datum["amount_minor"] is not None:
            purchase.purchased_at = datum["occurred_at"]
    return purchase


def _fate(each: Input, opener: Input | None, seen: dict[Any, bytes]) -> Fate:
    datum = each.datum
    if each.record == "Transaction":
        # What was discarded and comes again may be discarded again.
        seen.pop(_discarded(datum), None)
    if each.refusal is not None:
        return Fate.REFUSED
    identity: tuple[Any, ...]
    if each.record == "Revocation":
        identity, digest = (datum["program_id"], datum["sequence"]), b""
    elif each.record == "ReversalDecision":
        identity, digest = tuple(datum.values()), b""
        # What was wanted back and is decided may be wanted back again.
        seen.pop((datum["program_id"], datum["sequence"]), None)
    elif each.record == "ParkedDecision":
        is_discard = datum["action"] == DISCARDED
        identity, digest = _discarded(datum) if is_discard else tuple(datum.values()), b""
    else:
        identity = (datum["kind"], datum["part_id"])
        digest = payload_hash(Transaction(**datum))
    if identity in seen:
        return Fate.REPEATED if seen[identity] == digest else Fate.REFUSED
    seen[identity] = digest
    if each.record != "Transaction":
        return Fate.TAKEN
    if opener is None:
        return Fate.PARKED
    return Fate.JOINED if each.place < opener.place else Fate.TAKEN


def _discarded(datum: Mapping[str, Any]) -> tuple[Any, ...]:
    """Under what it is noted that an event was discarded while it waited."""
    return DISCARDED, datum["kind"], datum["part_id"]


def _opens(each: Input) -> bool:
    return (
        each.record == "Transaction" and each.refusal is None and each.datum["kind"] in (AUTHORIZED, SETTLED)
    )
