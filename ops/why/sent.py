"""Steps of what came in and what was decided about it."""

from collections.abc import Iterator, Sequence
from typing import Any

from ops.why.amounts import figure, moment, money
from ops.why.facts import Decision, Facts
from ops.why.inputs import Fate, Told, opening
from ops.why.judged import Judgement, Word
from ops.why.steps import Detail, Step
from schemas.times import MINUTE, to_iso

LATE = 60 * MINUTE
"""What arrives later than that after it happened is told when."""
_REFERENCES = (
    ("part_id", "part"), ("mcc", "category"), ("employee_id", "employee"), ("receipt_id", "receipt"),
    ("webhook_id", "webhook"),
)  # fmt: skip


def input_steps(told: Sequence[Told]) -> Iterator[Step]:
    """Every input of a purchase."""
    for each in told:
        datum = each.input.datum
        at = datum[_TIMES[each.input.record]]
        yield Step(
            at=at,
            rank=0,
            number=(each.input.place,),
            what="input",
            said=_SAID[each.input.record](datum),
            place=f"inputs {each.input.place}",
            details=tuple(_fate(each, at)),
            figures=_figures(each),
        )


def decision_steps(facts: Facts, told: Sequence[Told]) -> Iterator[Step]:
    """Every decision; one that follows another tells what became different."""
    opener = opening(told)
    before: dict[str | None, Word] = {}
    for decision in sorted(facts.decisions, key=lambda each: each.place):
        judgement = Judgement(decision.datum, opener.datum if opener else None, facts.programs)
        words = [word for word in decision.datum["decisions"] if before.get(word["program_id"]) != word]
        yield _decided(decision, judgement, words, is_first=not before)
        before = {word["program_id"]: word for word in decision.datum["decisions"]}


def _transaction(datum: Any) -> str:
    amount = "" if datum["amount_minor"] is None else f" {money(datum['amount_minor'], datum['currency'])}"
    where = "online" if datum["channel"] == "ONLINE" else "in store"
    where += f" {datum['store_id']}" if datum["store_id"] is not None else ""
    return f"{datum['kind']}{amount} at {datum['merchant_id']}, {where}"


def _revocation(datum: Any) -> str:
    return (
        f"REVOKED by {datum['actor']}: no. {datum['sequence']} of {datum['program_id']} ({datum['reason']})"
    )


def _reversal(datum: Any) -> str:
    who = datum["actor"] if datum["second_actor"] is None else f"{datum['actor']} and {datum['second_actor']}"
    which = f"the reversal of no. {datum['sequence']} of {datum['program_id']}"
    return f"{datum['decision']} by {who}: {which} ({datum['reason']})"


def _parked(datum: Any) -> str:
    part = "" if datum["part_id"] is None else f" {datum['part_id']}"
    return f"{datum['action']} by {datum['actor']}: the parked {datum['kind']}{part} ({datum['reason']})"


_TIMES = {
    "Transaction": "occurred_at",
    "Revocation": "revoked_at",
    "ReversalDecision": "decided_at",
    "ParkedDecision": "decided_at",
}
_SAID = {
    "Transaction": _transaction,
    "Revocation": _revocation,
    "ReversalDecision": _reversal,
    "ParkedDecision": _parked,
}


def _fate(each: Told, at: int) -> Iterator[Detail]:
    datum, source = each.input.datum, each.input
    given = [f"{name} {datum[field]}" for field, name in _REFERENCES if datum.get(field) is not None]
    if given:
        yield Detail("references", ", ".join(given))
    if source.arrived_at - at >= LATE:
        yield Detail("arrived", moment(source.arrived_at))
    if source.requeued_from is not None:
        yield Detail("requeued", f"copy of the quarantined record {source.requeued_from}")
    if source.refusal is not None:
        yield Detail("quarantined", f"{source.refusal.reason}: {source.refusal.message}")
    elif each.fate is Fate.REFUSED:
        yield Detail("quarantined", "conflict: same event with other content; what came first stands")
    elif each.fate is not Fate.TAKEN:
        yield Detail("note", each.fate.value)


def _figures(each: Told) -> dict[str, Any]:
    source = each.input
    said = {**source.datum, "record": source.record, "fate": each.fate.name, "silent": source.silent}
    for name in set(_TIMES.values()):
        if name in said:
            said[name] = to_iso(said[name])
    said["arrived_at"] = to_iso(source.arrived_at)
    if source.refusal is not None:
        said["quarantined"] = {"reason": source.refusal.reason, "message": source.refusal.message}
    return said


def _decided(decision: Decision, judgement: Judgement, words: Sequence[Word], *, is_first: bool) -> Step:
    currency = judgement.opening.get("currency", "")
    said = "judged" if is_first else "judged again"
    if judgement.gross is not None and judgement.net is not None and currency:
        said += f" on gross {money(judgement.gross, currency)}, net {figure(judgement.net, currency)}"
    return Step(
        at=decision.datum["occurred_at"],
        rank=1,
        number=(decision.place,),
        what="decision",
        said=said,
        place=f"decisions {decision.place}",
        details=tuple(Detail(_label(word), _sentence(judgement, word)) for word in words),
        figures={
            "gross_minor": judgement.gross,
            "net_minor": judgement.net,
            "decisions": [{**word, "why": judgement.why(word)} for word in decision.datum["decisions"]],
        },
    )


def _label(word: Word) -> str:
    return "-" if word["program_id"] is None else f"{word['program_id']} v{word['program_version']}"


def _sentence(judgement: Judgement, word: Word) -> str:
    paid = judgement.paid(word)
    head = word["decision"] if paid is None else f"{word['decision']} {paid}"
    by = word["outranked_by"] or word["entitlement_id"]
    head += f" by {by}" if by else ""
    why = judgement.why(word)
    return f"{head}: {why}" if why else head
