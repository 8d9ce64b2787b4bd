"""Programs read as terms: which version counts at a time, whom it names, what it pays."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, time, timedelta
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

from ops.oracle.facts import DAY, Fact, micros
from ops.oracle.periods import local_time

POINTS = "XXX"
"""The asset of rewards in points."""
_UTC = ZoneInfo("UTC")


@dataclass(frozen=True)
class Opening:
    """A schedule by the wall clock of its zone; a window over midnight belongs to the day it opens."""

    zone: ZoneInfo
    weekdays: frozenset[int]
    opens: time
    closes: time | None
    excluded: frozenset[date]

    def is_open(self, at: int) -> bool:
        """Whether the instant (µs) lies in a window."""
        local = local_time(at, self.zone)
        today, clock = local.date(), local.time()
        if self.closes is None or self.opens < self.closes:
            return self.opens <= clock and (self.closes is None or clock < self.closes) and self._runs(today)
        if clock >= self.opens:
            return self._runs(today)
        return clock < self.closes and self._runs(today - timedelta(days=1))

    def _runs(self, day: date) -> bool:
        return day.isoweekday() in self.weekdays and day not in self.excluded


@dataclass(frozen=True)
class Terms:
    """One version of a program. Amounts in minor units or points, times in µs.

    `limit` is (count, period) and `cap` (amount, period); budgets are None where there is none.
    """

    program_id: str
    version: int
    type: str
    effective_from: int
    merchant_ids: frozenset[str] | None
    partner_ids: frozenset[str] | None
    store_ids: frozenset[str] | None
    mccs: frozenset[str] | None
    channels: frozenset[str] | None
    currency: str
    min_spend: int
    max_spend: int | None
    valid_from: int
    valid_to: int | None
    opening: Opening | None
    reward: Mapping[str, Any]
    hold_us: int
    settled_anchor: bool
    expiry_us: int
    priority: int
    stackable: bool
    limit: tuple[int, str] | None
    cap: tuple[int, str] | None
    budget_total: int | None
    budget_daily: int | None
    new_members_only: bool
    clip_reusable: bool
    threshold_count: int | None
    threshold_minor: int | None
    external_id: str | None

    @property
    def is_loyalty(self) -> bool:
        """Whether it pays when a threshold is reached."""
        return self.type == "loyalty_program"

    @property
    def zone(self) -> ZoneInfo:
        """The zone whose calendar cuts its periods."""
        return _UTC if self.opening is None else self.opening.zone

    @property
    def asset(self) -> str:
        """What it pays in."""
        return POINTS if self.reward.get("unit") == "points" else self.currency

    def names(self, fact: Fact) -> bool:
        """Whether a purchase is one of the program's at all."""
        return _allows(self.merchant_ids, fact.merchant_id) and _allows(self.partner_ids, fact.partner_id)

    def refusal(self, fact: Fact, *, in_force: bool) -> str | None:
        """The first filter, in the order of contract.md §3, that the judging event fails."""
        at = fact.occurred_at
        if not _allows(self.store_ids, fact.store_id):
            return "STORE_MISMATCH"
        if not _allows(self.mccs, fact.mcc):
            return "MCC_MISMATCH"
        if not _allows(self.channels, fact.channel):
            return "CHANNEL_MISMATCH"
        if fact.currency != self.currency:
            return "CURRENCY_MISMATCH"
        if not in_force or at < self.valid_from or (self.valid_to is not None and at >= self.valid_to):
            return "OUTSIDE_VALIDITY"
        if self.opening is not None and not self.opening.is_open(at):
            return "OUTSIDE_SCHEDULE"
        return None

    def pays(self, basket: int) -> int:
        """The reward on a basket of exactly this much."""
        return 0 if basket < self.min_spend else pay(self.reward, basket)

    def earns(self, *, net: int, gross: int) -> int:
        """The least reward on any amount the basket could have had on its way from gross down to net.

        Inside a bracket rewards never fall, so the least lies at net or at the first amount of a bracket.
        """
        if net == gross:
            return self.pays(net)
        steps = [b["up_to_minor"] + 1 for b in self.reward.get("brackets", ()) if "up_to_minor" in b]
        return min(self.pays(x) for x in (net, gross, *steps) if net <= x <= gross)


def pay(reward: Mapping[str, Any], basket: int) -> int:
    """The formula alone: flat, percent with one rounding down, or the one bracket that holds the basket."""
    if basket <= 0:
        return 0
    if reward["type"] == "flat":
        return int(reward["amount"])
    if reward["type"] == "percent":
        cut = basket * int(reward["bps"]) // 10_000
        ceiling = reward.get("max_amount")
        return cut if ceiling is None else min(cut, int(ceiling))
    for bracket in reward["brackets"]:
        if "up_to_minor" not in bracket or basket <= bracket["up_to_minor"]:
            return pay(bracket["reward"], basket)
    raise AssertionError("the last bracket has no end")


class TermsBook:
    """All versions of all programs.

    `published`: how many inputs lie in the log before a (program_id, version); what is not named lies
    before all of them.
    """

    def __init__(
        self,
        programs: Iterable[Mapping[str, Any] | Terms],
        published: Mapping[tuple[str, int], int] = MappingProxyType({}),
    ) -> None:
        by_program: dict[str, list[Terms]] = {}
        for program in programs:
            terms = program if isinstance(program, Terms) else read_terms(program)
            known = by_program.setdefault(terms.program_id, [])
            if all(terms.version != other.version for other in known):
                known.append(terms)
        self._programs = [by_program[program_id] for program_id in sorted(by_program)]
        self._bounding: dict[str, list[Terms]] = {}
        self._budgeted: set[str] = set()
        for terms in (terms for versions in self._programs for terms in versions):
            if terms.limit or terms.cap:
                self._bounding.setdefault(terms.program_id, []).append(terms)
            if terms.budget_total or terms.budget_daily:
                self._budgeted.add(terms.program_id)
        self._published = published

    def naming(self, fact: Fact, place: int) -> list[tuple[Terms, bool]]:
        """The version of each program that counts at the fact's time, where it names the purchase.

        `place` is the fact's place in the log: what is published after it is not known yet. The flag says
        whether that version is in force yet. Ordered by program_id.
        """
        at = fact.occurred_at
        found = [
            version_at(known, at) for versions in self._programs if (known := self._known(versions, place))
        ]
        return [(terms, in_force) for terms, in_force in found if terms.names(fact)]

    def bounds_members(self, program_id: str, place: int) -> bool:
        """Whether a version of the program known at a place has a limit or a cap."""
        bounding = self._bounding.get(program_id)
        return bounding is not None and bool(self._known(bounding, place))

    def has_budget(self, program_id: str) -> bool:
        """Whether any version of the program has a budget."""
        return program_id in self._budgeted

    def _known(self, versions: list[Terms], place: int) -> list[Terms]:
        published = self._published
        if not published:
            return versions
        return [t for t in versions if published.get((t.program_id, t.version), 0) <= place]


def version_at(versions: list[Terms], at: int) -> tuple[Terms, bool]:
    """The latest version effective by `at`; before all of them the earliest, which is not in force."""
    begun = [terms for terms in versions if terms.effective_from <= at]
    if begun:
        return max(begun, key=lambda terms: (terms.effective_from, terms.version)), True
    return min(versions, key=lambda terms: (terms.effective_from, -terms.version)), False


def read_terms(program: Mapping[str, Any]) -> Terms:
    """The terms in a valid program of contract.md §3."""
    valid_from = micros(program["valid_from"])
    effective_from = program.get("effective_from")
    valid_to = program.get("valid_to")
    expiry_days = program.get("auth_expiry_days")
    limit, cap = program.get("member_limit"), program.get("member_cap")
    budget = program.get("budget") or {}
    return Terms(
        program_id=program["program_id"],
        version=program["version"],
        type=program["type"],
        effective_from=valid_from if effective_from is None else micros(effective_from),
        merchant_ids=_choices(program, "merchant_ids"),
        partner_ids=_choices(program, "partner_ids"),
        store_ids=_choices(program, "store_ids"),
        mccs=_choices(program, "mccs"),
        channels=_choices(program, "channels"),
        currency=program["currency"],
        min_spend=program.get("min_spend_minor") or 0,
        max_spend=program.get("max_spend_minor"),
        valid_from=valid_from,
        valid_to=None if valid_to is None else micros(valid_to),
        opening=_opening(program.get("schedule")),
        reward=program["reward"],
        hold_us=program["hold_days"] * DAY,
        settled_anchor=program.get("hold_anchor") == "settled",
        expiry_us=(30 if expiry_days is None else expiry_days) * DAY,
        priority=program.get("priority") or 0,
        stackable=bool(program.get("stackable")),
        limit=None if limit is None else (limit["count"], limit["period"]),
        cap=None if cap is None else (cap["amount"], cap["period"]),
        budget_total=budget.get("total"),
        budget_daily=budget.get("daily"),
        new_members_only=bool(program.get("new_members_only")),
        clip_reusable=bool(program.get("clip_reusable")),
        threshold_count=program.get("threshold_count"),
        threshold_minor=program.get("threshold_minor"),
        external_id=program.get("external_id"),
    )


def _opening(schedule: Mapping[str, Any] | None) -> Opening | None:
    if schedule is None:
        return None
    closes = schedule.get("to")
    return Opening(
        zone=ZoneInfo(schedule["timezone"]),
        weekdays=frozenset(schedule.get("weekdays") or range(1, 8)),
        opens=time.fromisoformat(schedule.get("from") or "00:00"),
        closes=None if closes in (None, "24:00") else time.fromisoformat(closes),
        excluded=frozenset(date.fromisoformat(str(day)) for day in schedule.get("excluded_dates") or ()),
    )


def _choices(program: Mapping[str, Any], field: str) -> frozenset[str] | None:
    values = program.get(field)
    return None if values is None else frozenset(values)


def _allows(choices: frozenset[str] | None, value: str | None) -> bool:
    return choices is None or value in choices
