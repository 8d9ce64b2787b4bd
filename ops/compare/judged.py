"""A history judged under a set of programs, kept as what each cashback pays in the end."""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

from ops.demo.grocer import UNTIL, payments
from ops.demo.source import grocery_year
from ops.histories import FileHistory
from ops.settings import Settings
from schemas.programs import ProgramSpec
from schemas.times import Micros
from streams.purchase import PurchaseId
from streams.simulate import SimulationResult, simulate


class Earned(NamedTuple):
    """A cashback that stands at the end, pending or cleared; amounts in minor units or points."""

    program_id: str
    member: str
    """`partner_id:member_id`."""
    merchant_id: str
    transaction_id: str
    asset: str
    amount: int
    commission: int
    created_at: Micros


@dataclass(frozen=True)
class Files:
    """A history in files."""

    transactions: Path
    entitlements: Path | None = None
    until: Micros | None = None


@dataclass(frozen=True)
class RealYear:
    """The demo's grocery year; `households` None: all."""

    households: int | None = None
    seed: int = 1


@dataclass
class Judged:
    """What a history led to under one set of programs.

    `purchases`, `members`: that were judged, from `first_at` to `last_at` (0 without any).
    `complaints`: lines that were left out, in words; `conflicts`: contradictions of what came first.
    """

    earned: list[Earned] = field(default_factory=list)
    purchases: int = 0
    members: int = 0
    test_cashbacks: int = 0
    """Of payments that are not live: no money moves by them, they are left out."""
    first_at: Micros = 0
    last_at: Micros = 0
    complaints: list[str] = field(default_factory=list)
    conflicts: int = 0
    unmatched: int = 0


class _Standing(SimulationResult):
    """Keeps the cashbacks that stand, and who was judged."""

    def __init__(self, commission_bps: int) -> None:
        super().__init__()
        self.standing: dict[str, Earned] = {}
        self.members: set[str] = set()
        self.purchases: set[str] = set()
        self.test_cashbacks = 0
        self.first_at: Micros = 0
        self.last_at: Micros = 0
        self._bps = commission_bps

    def event(self, who: PurchaseId, record: str, datum: dict[str, Any]) -> None:
        name = datum["cashback_transaction_id"]
        if record == "CashbackReverted":
            self.standing.pop(name, None)
        elif record == "CashbackCreated" and not who.livemode:
            self.test_cashbacks += 1
        elif record == "CashbackCreated":
            self.standing[name] = Earned(
                datum["program_id"],
                f"{who.partner_id}:{who.member_id}",
                datum["merchant_id"],
                datum["transaction_id"],
                datum["currency"],
                datum["amount"],
                datum["amount"] * self._bps // 10_000,
                datum["timestamp"],
            )

    def decision(self, who: PurchaseId, datum: dict[str, Any]) -> None:
        if who.livemode:
            at = datum["occurred_at"]
            self.first_at = min(at, self.first_at or at)
            self.last_at = max(at, self.last_at)
            self.purchases.add(datum["transaction_id"])
            self.members.add(f"{who.partner_id}:{who.member_id}")

    def case(self, who: PurchaseId, datum: dict[str, Any]) -> None:
        """A case moves no money before somebody decides it."""


def judge_both(
    history: Files | RealYear, old: Sequence[ProgramSpec], new: Sequence[ProgramSpec], settings: Settings
) -> tuple[Judged, Judged]:
    """The history under the old and under the new programs, side by side in two processes."""
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        runs = [pool.submit(judge, history, list(programs), settings) for programs in (old, new)]
        return runs[0].result(), runs[1].result()


def judge(history: Files | RealYear, programs: Sequence[ProgramSpec], settings: Settings) -> Judged:
    """The history under one set of programs. Raises `OSError` or `FileRefused` for its files."""
    kept = _Standing(settings.commission_bps)
    judged = Judged()
    bounds = {"refund_horizon_days": settings.refund_horizon_days, "parked_days": settings.parked_days}
    match history:
        case RealYear(households, seed):
            made = payments(grocery_year(households, seed))
            simulate(programs, made.transactions, made.entitlements, UNTIL, into=kept, **bounds)
        case Files(path, entitlements, until):
            files = FileHistory(path, entitlements)
            simulate(programs, files.transactions(), files.entitlements(), until, into=kept, **bounds)
            judged.complaints = [files.told(bad) for bad in kept.bad]
    judged.earned = list(kept.standing.values())
    judged.purchases, judged.members = len(kept.purchases), len(kept.members)
    judged.first_at, judged.last_at = kept.first_at, kept.last_at
    judged.test_cashbacks, judged.conflicts = kept.test_cashbacks, len(kept.conflicts)
    judged.unmatched = len(kept.unmatched)
    return judged
