"""What a lint says, and the one registry of its codes."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from schemas.programs import ProgramSpec


class Severity(StrEnum):
    """error: it cannot do what it says; warning: hardly meant; info: to know."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


CODES: dict[str, Severity] = {
    # the file
    "invalid": Severity.ERROR,  # a field that is refused, or versions that contradict each other
    "contradicts-published": Severity.ERROR,  # the same version with other content, another currency or unit
    # time
    "late-effective-from": Severity.WARNING,  # in force since before it is published
    "already-over": Severity.WARNING,  # its validity has ended
    "never-in-force": Severity.WARNING,  # another version takes its place before it rewards anything
    "gap-between-versions": Severity.WARNING,  # one version ends before the next begins
    "falls-back": Severity.WARNING,  # an older version takes the place of a newer one
    # rewards
    "never-rewards": Severity.ERROR,  # no basket that counts earns anything
    "unreachable-bracket": Severity.WARNING,  # beyond max_spend or below min_spend
    "cliff": Severity.WARNING,  # who spends more earns less
    "bracket-rounds-to-zero": Severity.WARNING,  # a percentage too small for the baskets of its bracket
    "zero-bracket": Severity.INFO,  # a bracket that rewards nothing by intent
    "small-baskets-earn-nothing": Severity.WARNING,  # baskets that pass min_spend and round down to 0
    "max-amount-never-reached": Severity.WARNING,  # no basket up to max_spend earns so much
    "reward-above-basket": Severity.WARNING,  # a basket earns more than was paid
    # limits
    "cap-below-one-reward": Severity.WARNING,  # every reward is cut by the cap
    "budget-below-one-reward": Severity.WARNING,  # nobody ever gets a whole reward
    "daily-budget-does-nothing": Severity.WARNING,  # the total is used up first
    "cap-does-nothing": Severity.WARNING,  # the limit or the budget ends before it
    "limit-does-nothing": Severity.WARNING,  # the cap or the budget ends before it
    "threshold-met-by-one": Severity.WARNING,  # each purchase redeems alone
    "threshold-never-reached": Severity.ERROR,  # only a first purchase may stamp
    # fields
    "field-does-nothing": Severity.WARNING,  # for this type, or beside these other fields
    "short-hold-online": Severity.INFO,  # a purchase may still be withdrawn from when the reward clears
    "names-every-merchant": Severity.INFO,  # no merchant and no store is named
    # several programs
    "overlap": Severity.INFO,  # two meet on one purchase; which of them wins
    "tie": Severity.WARNING,  # two campaigns meet, and nothing that was chosen decides
    "shadowed": Severity.WARNING,  # whatever it would reward, another one wins
}
"""Stable: scripts and exceptions refer to them."""


@dataclass(frozen=True)
class Finding:
    """One thing to look at; `path` is the field in the form of the program, `others` the programs it meets.

    Without program and version: a part of a file that is no program.
    """

    code: str
    program_id: str | None
    version: int | None
    path: str
    message: str
    remedy: str
    others: tuple[str, ...] = ()

    @property
    def severity(self) -> Severity:
        """As the registry has it."""
        return CODES[self.code]

    def to_json(self) -> dict[str, Any]:
        """All fields, the severity included."""
        return {"code": self.code, "severity": self.severity, **asdict(self)}


def finding(code: str, spec: ProgramSpec, path: str, message: str, remedy: str) -> Finding:
    """A finding about one version."""
    return Finding(code, spec.program_id, spec.version, path, message, remedy)
