"""Programs as the stages use them, and the catalogue of their versions."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

import msgspec

from schemas import programs as forms
from schemas.money import POINTS
from schemas.times import DAY, Micros, to_datetime

CLIP, AIRDROP = "clip", "airdrop"
_ENTITLES_BY = {"deal": CLIP, "airdrop": AIRDROP}

TYPE_RANKS = {"deal": 2, "airdrop": 1, "campaign": 0}
"""Which type wins among programs that do not stack."""


class Rung(msgspec.Struct, frozen=True):
    """The reward of baskets above `starts_after`: flat `amount`, or `bps` of it up to `most`."""

    starts_after: int
    amount: int = 0
    bps: int = 0
    most: int | None = None


class Window(msgspec.Struct, frozen=True):
    """A schedule: local weekdays, minutes of the day, dates; `closes` before `opens` runs over midnight."""

    zone: ZoneInfo
    weekdays: frozenset[int]
    opens: int
    closes: int
    excluded: frozenset[date]

    def holds(self, at: Micros) -> bool:
        """Whether the wall clock at `at` lies inside; what runs over midnight belongs to the opening day."""
        local = to_datetime(at).astimezone(self.zone)
        minute = local.hour * 60 + local.minute
        if self.opens < self.closes:
            return self.opens <= minute < self.closes and self._day(local)
        if minute >= self.opens:
            return self._day(local)
        return minute < self.closes and self._day(local - timedelta(days=1))

    def _day(self, local: datetime) -> bool:
        return local.isoweekday() in self.weekdays and local.date() not in self.excluded


class Program(msgspec.Struct, frozen=True):
    """One version of a program; a filter of None means all. Durations in microseconds, amounts in minor.

    `limit` and `cap`: figure and period. `entitles_by`: clip, airdrop or empty. `uses_up`: a clip rewards one
    purchase. `is_plain`: of the member nothing but the purchase counts. `is_rival`: only one of these rewards
    a purchase.
    """

    program_id: str
    version: int
    effective_from: Micros
    type: str
    merchant_ids: frozenset[str] | None
    partner_ids: frozenset[str] | None
    store_ids: frozenset[str] | None
    mccs: frozenset[str] | None
    channels: frozenset[str] | None
    currency: str
    min_spend: int
    max_spend: int | None
    valid_from: Micros
    valid_to: Micros | None
    window: Window | None
    rungs: tuple[Rung, ...]
    asset: str
    hold: Micros
    hold_from_settled: bool
    auth_expiry: Micros
    priority: int
    stackable: bool
    zone: tzinfo
    limit: tuple[int, str] | None
    cap: tuple[int, str] | None
    budget_total: int | None
    budget_daily: int | None
    new_members_only: bool
    entitles_by: str
    uses_up: bool
    threshold_count: int | None
    threshold_total: int | None
    external_id: str | None
    is_plain: bool
    is_loyalty: bool
    is_rival: bool
    has_budget: bool

    @property
    def by_clip(self) -> bool:
        """Whether it goes by clips; else by airdrops."""
        return self.entitles_by == CLIP

    def names(self, partner_id: str, merchant_id: str) -> bool:
        """Whether a payment of this partner at this merchant is judged by the program at all."""
        return (self.merchant_ids is None or merchant_id in self.merchant_ids) and (
            self.partner_ids is None or partner_id in self.partner_ids
        )


class Catalogue:
    """All versions known so far, and which of them judge a purchase."""

    def __init__(self) -> None:
        self._versions: dict[str, list[Program]] = {}
        self._specs: dict[str, list[forms.ProgramSpec]] = {}
        self._compiled: dict[tuple[str, int], Program] = {}
        self._naming: dict[tuple[str, str], list[list[Program]]] = {}
        self.laddered: set[str] = set()
        """Programs of which a version has brackets."""
        self.counted: set[str] = set()
        """Programs of which a version has a limit or a cap: what their members earn is counted."""

    def specs_of(self, program_id: str) -> list[forms.ProgramSpec]:
        """All versions of a program as published."""
        return self._specs.get(program_id, [])

    def get(self, program_id: str, version: int) -> Program:
        """The version a pair was judged by. Raises `KeyError` when state and catalogue differ."""
        return self._compiled[program_id, version]

    def add(self, spec: forms.ProgramSpec) -> None:
        """Adds a version; it counts from now on."""
        self._specs.setdefault(spec.program_id, []).append(spec)
        program = self._compiled[spec.program_id, spec.version] = compiled(spec)
        versions = self._versions.setdefault(spec.program_id, [])
        versions.append(program)
        versions.sort(key=lambda program: (program.effective_from, program.version))
        self._naming.clear()
        if len(program.rungs) > 1:
            self.laddered.add(program.program_id)
        if program.limit or program.cap:
            self.counted.add(program.program_id)

    def naming(self, partner_id: str, merchant_id: str, at: Micros) -> list[tuple[Program, bool]]:
        """The versions that name a purchase made at `at`, by program_id, each with whether it is in force."""
        found = []
        for versions in self._candidates(partner_id, merchant_id):
            program, in_force = _in_force(versions, at)
            if program.names(partner_id, merchant_id):
                found.append((program, in_force))
        return found

    def most_naming(self, partner_id: str, merchant_id: str) -> int:
        """How many programs name a purchase at most, at any time."""
        return len(self._candidates(partner_id, merchant_id))

    def _candidates(self, partner_id: str, merchant_id: str) -> list[list[Program]]:
        candidates = self._naming.get((partner_id, merchant_id))
        if candidates is None:
            if len(self._naming) >= _NAMING_MAX:
                self._naming.clear()
            candidates = self._naming[partner_id, merchant_id] = [
                versions
                for _, versions in sorted(self._versions.items())
                if any(program.names(partner_id, merchant_id) for program in versions)
            ]
        return candidates


_NAMING_MAX = 100_000
"""Merchants remembered with the programs that name them."""


def _in_force(versions: list[Program], at: Micros) -> tuple[Program, bool]:
    """The version in force at `at`; when none is yet, the earliest one, ties by higher version both ways."""
    for program in reversed(versions):
        if program.effective_from <= at:
            return program, True
    first = versions[0].effective_from
    return max((p for p in versions if p.effective_from == first), key=lambda p: p.version), False


def compiled(spec: forms.ProgramSpec) -> Program:
    """The program of a valid form."""
    return Program(
        program_id=spec.program_id,
        version=spec.version,
        effective_from=spec.effective_from,
        type=spec.type,
        merchant_ids=_set(spec.merchant_ids),
        partner_ids=_set(spec.partner_ids),
        store_ids=_set(spec.store_ids),
        mccs=_set(spec.mccs),
        channels=_set(spec.channels),
        currency=spec.currency,
        min_spend=spec.min_spend_minor or 0,
        max_spend=spec.max_spend_minor,
        valid_from=spec.valid_from,
        valid_to=spec.valid_to,
        window=None if spec.schedule is None else _window(spec.schedule),
        rungs=tuple(_rungs(spec.reward)),
        asset=POINTS if spec.reward.unit == "points" else spec.currency,
        hold=spec.hold_days * DAY,
        hold_from_settled=spec.hold_anchor == "settled",
        auth_expiry=spec.auth_expiry_days * DAY,
        priority=spec.priority,
        stackable=spec.stackable,
        zone=UTC if spec.schedule is None else ZoneInfo(spec.schedule.timezone),
        limit=None if spec.member_limit is None else (spec.member_limit.count, spec.member_limit.period),
        cap=None if spec.member_cap is None else (spec.member_cap.amount, spec.member_cap.period),
        budget_total=None if spec.budget is None else spec.budget.total,
        budget_daily=None if spec.budget is None else spec.budget.daily,
        new_members_only=spec.new_members_only,
        entitles_by=_ENTITLES_BY.get(spec.type, ""),
        uses_up=spec.type == "deal" and not spec.clip_reusable,
        threshold_count=spec.threshold_count,
        threshold_total=spec.threshold_minor,
        external_id=spec.external_id,
        is_plain=spec.type == "campaign" and not spec.new_members_only,
        is_loyalty=spec.type == "loyalty_program",
        is_rival=not spec.stackable and spec.type != "loyalty_program",
        has_budget=spec.budget is not None,
    )


def _set(names: Sequence[str] | None) -> frozenset[str] | None:
    return None if names is None else frozenset(names)


def _rungs(reward: forms.Flat | forms.Percent | forms.Tiered) -> list[Rung]:
    if not isinstance(reward, forms.Tiered):
        return [_rung(0, reward)]
    rungs, starts_after = [], 0
    for bracket in reward.brackets:
        rungs.append(_rung(starts_after, bracket.reward))
        starts_after = bracket.up_to_minor or starts_after
    return rungs


def _rung(starts_after: int, reward: forms.FlatReward | forms.PercentReward) -> Rung:
    if isinstance(reward, forms.FlatReward):
        return Rung(starts_after, amount=reward.amount)
    return Rung(starts_after, bps=reward.bps, most=reward.max_amount)


def _window(schedule: forms.Schedule) -> Window:
    return Window(
        zone=ZoneInfo(schedule.timezone),
        weekdays=frozenset(schedule.weekdays or range(1, 8)),
        opens=_minutes(schedule.opens or "00:00"),
        closes=_minutes(schedule.closes) if schedule.closes else 24 * 60,
        excluded=frozenset(date.fromisoformat(day) for day in schedule.excluded_dates or ()),
    )


def _minutes(clock_time: str) -> int:
    hours, minutes = clock_time.split(":")
    return int(hours) * 60 + int(minutes)
