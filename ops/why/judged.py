"""What a program said to a purchase, and the figure or date by which it said so."""

from collections.abc import Callable, Mapping
from typing import Any
from zoneinfo import ZoneInfo

from ops.why.amounts import figure, moment, money
from ops.why.facts import ProgramKey
from ops.why.formulas import PERIODS, asset_of, budget, cut, left_before, reward_on
from schemas.programs import ProgramSpec, Schedule
from schemas.times import to_datetime
from streams.program import TYPE_RANKS, compiled
from streams.reward import earned
from streams.reward import reward_on as reward_of

Word = Mapping[str, Any]
"""One item of a Decision: what one program said."""
Terms = Mapping[ProgramKey, ProgramSpec]

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


class Judgement:
    """One Decision, the event that opened the purchase, and the terms that are known."""

    def __init__(self, decision: Mapping[str, Any], opening: Mapping[str, Any] | None, terms: Terms) -> None:
        self.decision = decision
        self.opening = opening or {}
        self.terms = terms
        self.gross: int | None = decision["gross_minor"]
        self.net: int | None = decision["net_minor"]

    def spec_of(self, word: Word) -> ProgramSpec | None:
        """The version a program judged under; None when the catalogue does not have it."""
        return self.terms.get((word["program_id"], word["program_version"]))

    def why(self, word: Word) -> str:
        """One or two sentences; figures that are not known are left out."""
        if word["decision"] == "NO_PROGRAM":
            return "no program names this merchant and partner"
        explain = BY_REASON.get(word["decision"])
        spec = self.spec_of(word)
        if explain is None:
            return ""
        if spec is None:
            return "the terms of this version are not in the catalogue"
        return explain(self, word, spec)

    def paid(self, word: Word) -> str | None:
        """The amount of a rewarded pair with its asset."""
        if word["amount"] is None:
            return None
        spec = self.spec_of(word)
        return f"{word['amount']} (minor units)" if spec is None else money(word["amount"], asset_of(spec))


def _rewarded(judgement: Judgement, word: Word, spec: ProgramSpec) -> str:
    parts = []
    gross, net = judgement.gross, judgement.net
    reward = word["reward_minor"]
    if gross is not None and net is not None:
        parts.append(reward_on(spec, net, gross))
        reward = earned(compiled(spec), net, gross) if reward is None else reward
    elif reward is not None:
        parts.append(f"{money(reward, asset_of(spec))} before cap and budget")
    if reward is not None and (lessened := cut(spec, reward, word)):
        parts.append(lessened)
    if word["threshold"] is not None and word["stamps"] is not None:
        parts.insert(0, f"the threshold is reached with {_stamps(word, spec)}")
    if before := left_before(spec, word):
        parts.append(f"free before it: {', '.join(before)}")
    return "; ".join(parts).replace("; cut to", ", cut to")


def _stamps(word: Word, spec: ProgramSpec) -> str:
    if spec.threshold_count is not None:
        return f"stamp {word['stamps']} of {word['threshold']}"
    return f"{figure(word['stamps'], spec.currency)} of {money(word['threshold'], spec.currency)}"


def _below(judgement: Judgement, _: Word, spec: ProgramSpec) -> str:
    return _against(judgement, spec, "below the least spend of", spec.min_spend_minor or 0)


def _above(judgement: Judgement, _: Word, spec: ProgramSpec) -> str:
    return _against(judgement, spec, "above the largest spend of", spec.max_spend_minor or 0)


def _against(judgement: Judgement, spec: ProgramSpec, relation: str, bound: int) -> str:
    said = f"{relation} {money(bound, spec.currency)}"
    return said if judgement.gross is None else f"{figure(judgement.gross, spec.currency)} is {said}"


def _not_among(field: str, name: str, allowed: str) -> Callable[[Judgement, Word, ProgramSpec], str]:
    def explain(judgement: Judgement, _: Word, spec: ProgramSpec) -> str:
        given, wanted = judgement.opening.get(field), getattr(spec, allowed)
        wanted = ", ".join(wanted) if isinstance(wanted, list) else wanted
        return f"the purchase has {f'{name} {given}' if given else f'no {name}'}; it must be {wanted}"

    return explain


def _validity(judgement: Judgement, _: Word, spec: ProgramSpec) -> str:
    until = f" until {moment(spec.valid_to)}" if spec.valid_to is not None else " on"
    bought = judgement.opening.get("occurred_at")
    when = f"bought {moment(bought)}, but " if bought is not None else ""
    return f"{when}it counts from {moment(max(spec.valid_from, spec.effective_from))}{until}"


def _schedule(judgement: Judgement, _: Word, spec: ProgramSpec) -> str:
    assert spec.schedule is not None
    hours = _hours(spec.schedule)
    bought = judgement.opening.get("occurred_at")
    if bought is None:
        return f"it counts {hours}"
    local = to_datetime(bought).astimezone(ZoneInfo(spec.schedule.timezone))
    return f"bought {_DAYS[local.weekday()]} {local:%Y-%m-%d %H:%M}, but it counts {hours}"


def _hours(schedule: Schedule) -> str:
    days = ", ".join(_DAYS[day - 1] for day in sorted(schedule.weekdays or range(1, 8)))
    said = f"on {days}" if schedule.weekdays else "every day"
    if schedule.opens or schedule.closes:
        said += f" from {schedule.opens or '00:00'} to {schedule.closes or '24:00'}"
    if schedule.excluded_dates:
        said += f" but not on {', '.join(schedule.excluded_dates)}"
    return f"{said} ({schedule.timezone})"


def _entitled(_: Judgement, __: Word, spec: ProgramSpec) -> str:
    if spec.type == "airdrop":
        return "no airdrop of it was in force for the member when it was bought"
    return "the member had no free clip of it when it was bought: never clipped, taken off, or used up"


def _zero(judgement: Judgement, _: Word, spec: ProgramSpec) -> str:
    if judgement.gross is None or judgement.net is None:
        return "the terms give nothing on this amount"
    return reward_on(spec, judgement.net or judgement.gross, judgement.gross)


def _limit(_: Judgement, __: Word, spec: ProgramSpec) -> str:
    assert spec.member_limit is not None
    times = "once" if spec.member_limit.count == 1 else f"{spec.member_limit.count} times"
    return f"the {PERIODS[spec.member_limit.period]} limit of {times} was used up"


def _cap(_: Judgement, __: Word, spec: ProgramSpec) -> str:
    assert spec.member_cap is not None
    cap = money(spec.member_cap.amount, asset_of(spec))
    return f"the {PERIODS[spec.member_cap.period]} cap of {cap} was used up"


def _budget(_: Judgement, __: Word, spec: ProgramSpec) -> str:
    assert spec.budget is not None
    return f"the {budget(spec.budget, asset_of(spec))} was used up"


def _threshold(_: Judgement, word: Word, spec: ProgramSpec) -> str:
    if word["stamps"] is None or word["threshold"] is None:
        return "not enough for the threshold yet"
    return _stamps(word, spec)


def _outranked(judgement: Judgement, word: Word, spec: ProgramSpec) -> str:
    rival = next((one for one in judgement.decision["decisions"] if _is(one, word["outranked_by"])), None)
    other = None if rival is None else judgement.spec_of(rival)
    return "" if other is None else _precedence(spec, other, judgement.gross)


def _is(word: Word, program_id: str | None) -> bool:
    return program_id is not None and word["program_id"] == program_id


def _precedence(lost: ProgramSpec, won: ProgramSpec, gross: int | None) -> str:
    """The first rule of the choice in which the two differ; empty where it is not known."""
    if TYPE_RANKS[lost.type] != TYPE_RANKS[won.type]:
        return f"{won.type} comes before {lost.type}"
    if lost.priority != won.priority:
        return f"priority {won.priority} comes before {lost.priority}"
    if lost.reward.unit != won.reward.unit:
        return "a reward in currency comes before one in points"
    if gross is None:
        return ""
    lesser, greater = (reward_of(compiled(spec), gross) for spec in (lost, won))
    if lesser != greater:
        asset = asset_of(won)
        more, less = figure(greater, asset), figure(lesser, asset)
        return f"{more} is more than {less} on {money(gross, won.currency)}"
    if lost.valid_from != won.valid_from:
        return f"the same reward, but valid since {moment(won.valid_from)}, earlier"
    return "the same in everything, so the smaller id"


BY_REASON: dict[str, Callable[[Judgement, Word, ProgramSpec], str]] = {
    "REWARDED": _rewarded,
    "TRANSACTION_VOID": lambda *_: "the purchase was voided or declined",
    "AMOUNT_REQUIRED": lambda *_: "judged with the first event that has an amount",
    "STORE_MISMATCH": _not_among("store_id", "store", "store_ids"),
    "MCC_MISMATCH": _not_among("mcc", "category", "mccs"),
    "CHANNEL_MISMATCH": _not_among("channel", "channel", "channels"),
    "CURRENCY_MISMATCH": _not_among("currency", "currency", "currency"),
    "OUTSIDE_VALIDITY": _validity,
    "OUTSIDE_SCHEDULE": _schedule,
    "NOT_ENTITLED": _entitled,
    "ENTITLEMENT_EXPIRED": lambda *_: "the member's grant of it had expired when it was bought",
    "NOT_NEW_MEMBER": lambda *_: "the member had bought here before",
    "BELOW_MIN_SPEND": _below,
    "ABOVE_MAX_SPEND": _above,
    "REWARD_ZERO": _zero,
    "THRESHOLD_NOT_REACHED": _threshold,
    "MEMBER_LIMIT": _limit,
    "MEMBER_CAP": _cap,
    "BUDGET_EXHAUSTED": _budget,
    "OUTRANKED": _outranked,
    "FULLY_REFUNDED": lambda *_: "nothing of the purchase was left when it was judged",
}
"""By decision: the sentence that explains it."""
