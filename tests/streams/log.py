"""A log of one partition that takes what operators and accounting say among payments."""

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from schemas import parked, reversals, revocations
from schemas.entitlements import from_json as entitlement
from schemas.errors import Rejected
from schemas.programs import parse_program
from schemas.times import from_iso
from schemas.transactions import from_json
from streams.budgets import WholeBudgets
from streams.member_log import MemberLog
from streams.rows import MemoryRows
from streams.simulate import SimulationResult
from tests.streams.told import Line, instant

_SAID: Line = {
    "partner_id": "bank",
    "member_id": "ann",
    "external_id": "t1",
    "program_id": "one-percent",
    "sequence": 1,
    "actor": "eve",
    "reason": "fraud",
}
_WORD: Line = {
    "partner_id": "bank",
    "member_id": "ann",
    "external_id": "t1",
    "kind": "REFUNDED",
    "part_id": None,
    "actor": "eve",
    "reason": "sent by mistake",
}


class Log:
    """Its clock stands at the latest time that was said."""

    def __init__(self, *programs: Line, entitlements: tuple[Line, ...] = ()) -> None:
        self.rows = rows = MemoryRows()
        self.result = SimulationResult()
        self.log = MemberLog(rows, self.result, WholeBudgets(rows), refund_horizon_days=180, parked_days=60)
        for program in programs:
            self.log.publish(parse_program(program))
        for each in entitlements:
            self.log.entitle(entitlement(each))

    def pay(self, *lines: Line) -> "Log":
        for line in lines:
            transaction = from_json(line)
            self.log.advance(transaction.occurred_at, 10_000)
            self.log.transact(transaction, b"", 0)
        return self

    def hear(self, records: Iterable[tuple[int, Line]]) -> "Log":
        """Takes whatever is said, each with its clock (µs); what is refused is dropped."""
        for clock, line in records:
            self.log.advance(clock, 10_000)
            with suppress(Rejected):
                if "decision" in line:
                    self.log.decide_case(reversals.checked(line))
                elif "action" in line:
                    self.log.decide_parked(parked.checked({"part_id": None, **line}))
                elif "sequence" in line:
                    self.log.revoke(revocations.checked(line))
                elif "granted_at" in line or "revoked_at" in line:
                    self.log.entitle(entitlement(line))
                else:
                    self.log.transact(from_json(line), b"", 0)
        return self

    def wait(self, at: str) -> "Log":
        """Moves the clock."""
        self.log.advance(from_iso(instant(at), "at"), 10_000)
        return self

    def revoke(self, at: str, **fields: Any) -> "Log":
        self.wait(at)
        said = _SAID | {"revoked_at": self.log.clock} | fields
        self.log.revoke(revocations.checked(said))
        return self

    def decide(self, decision: str, at: str, revision: int = 1, **fields: Any) -> "Log":
        """Accounting decides on a case; by default that of the first cashback of `one-percent`."""
        self.wait(at)
        said = _SAID | {"decision": decision, "revision": revision, "decided_at": self.log.clock} | fields
        self.log.decide_case(reversals.checked(said))
        return self

    def approve(self, at: str, revision: int = 1, **fields: Any) -> "Log":
        return self.decide("APPROVED", at, revision, **fields)

    def decline(self, at: str, revision: int = 1, **fields: Any) -> "Log":
        return self.decide("DECLINED", at, revision, **fields)

    def decide_parked(self, action: str, at: str, /, **fields: Any) -> "Log":
        """Somebody decides on what waits; by default on the refund of t1 without a part."""
        self.wait(at)
        said = _WORD | {"action": action, "decided_at": self.log.clock} | fields
        self.log.decide_parked(parked.checked(said))
        return self

    def discard(self, at: str, **fields: Any) -> "Log":
        return self.decide_parked("DISCARDED", at, **fields)

    def requeue(self, at: str, **fields: Any) -> "Log":
        return self.decide_parked("REQUEUED", at, **fields)

    @property
    def cases(self) -> list[str]:
        """Each revision in few words: `#1.2 OPEN 50 REFUNDED`."""
        return [
            f"#{case['sequence']}.{case['revision']} {case['state']} {case['shortfall']} {case['cause']}"
            for case in self.result.cases
        ]
