"""What a recomputation yields."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import NamedTuple

from ops.oracle.facts import Purchase

FATES = (
    *("bad", "judged", "applied", "duplicate", "conflict", "untimely"),
    *("joined", "misplaced", "expired", "discarded", "parked"),
    *("entitlement", "entitlement_repeated", "entitlement_conflict", "entitlement_bad"),
    *("revoked", "revocation_case", "revocation_repeated", "revocation_refused"),
    *("reversal_approved", "reversal_declined", "reversal_repeated", "reversal_refused"),
    *("parked_discarded", "parked_requeued", "parked_decision_repeated", "parked_decision_refused"),
)
"""What becomes of an input in the end; joined to parked had to wait for their purchase.

parked_discarded and what follows it are of those who decided on what waited. entitlement_bad are the bad
lines of a file of entitlements; in a log they are bad like others.
"""

PENDING, CLEARED, REVERTED = "PENDING", "CLEARED", "REVERTED"


@dataclass(slots=True)
class Cashback:
    """One reward and its whole life. Amount in minor units or points; times in µs.

    `clear_at` is what was known when it was created: None while the purchase was not settled. `source` is
    what triggered it, in the words of the seed. `silent`: backfilled, no webhook is sent. `by`: who had it
    reversed after it cleared, the second of two, and why.
    """

    cashback_transaction_id: str
    transaction_id: str
    transaction_ref: str
    livemode: bool
    partner_id: str
    member_id: str
    merchant_id: str
    program_id: str
    program_version: int
    sequence: int
    amount: int
    currency: str
    created_at: int
    clear_at: int | None
    source: Mapping[str, str]
    silent: bool = False
    state: str = PENDING
    cleared_at: int | None = None
    reverted_at: int | None = None
    reason: str | None = None
    by: tuple[str, str | None, str] | None = None

    def event_id(self, transition: str) -> str:
        """The id of its `created`, `cleared` or `reverted`."""
        return digest("evt_", self.cashback_transaction_id, transition)

    def transitions(self) -> Iterator[tuple[str, int]]:
        """Each (transition, timestamp) it went through, in order."""
        yield "created", self.created_at
        if self.cleared_at is not None:
            yield "cleared", self.cleared_at
        if self.reverted_at is not None:
            yield "reverted", self.reverted_at

    def entries(self) -> Iterator[str]:
        """The transitions as the ledger calls them: what is taken back after it cleared is reversed."""
        for transition, _ in self.transitions():
            is_reversal = transition == "reverted" and self.cleared_at is not None
            yield "reversed" if is_reversal else transition


class Decision(NamedTuple):
    """The latest word of one program on one purchase; `program_id` None is NO_PROGRAM."""

    transaction_id: str
    transaction_ref: str
    livemode: bool
    partner_id: str
    member_id: str
    merchant_id: str
    program_id: str | None
    program_version: int | None
    decision: str
    amount: int | None
    outranked_by: str | None
    occurred_at: int


@dataclass(frozen=True, slots=True)
class Case:
    """A reversal case as it stands; amounts in minor units or points, times in µs.

    `actor`, `second_actor`, `note`: whose word led to this revision, if not a payment did.
    """

    case_id: str
    cashback_transaction_id: str
    revision: int
    shortfall: int
    net_minor: int
    opened_at: int
    updated_at: int
    cause: str
    state: str = "OPEN"
    actor: str | None = None
    second_actor: str | None = None
    note: str | None = None

    def revised(self, *, shortfall: int, net_minor: int, updated_at: int, cause: str) -> "Case":
        """The next revision, by a payment."""
        return replace(
            self,
            revision=self.revision + 1,
            shortfall=shortfall,
            net_minor=net_minor,
            updated_at=updated_at,
            cause=cause,
            actor=None,
            second_actor=None,
            note=None,
        )

    @property
    def is_open(self) -> bool:
        """Whether there is something to decide."""
        return self.state == "OPEN" and self.shortfall > 0


@dataclass(slots=True)
class Recomputation:
    """Everything a history of inputs leads to.

    `counts`: the final fates of the inputs (`FATES`), which add up to `inputs`; over_refunded (purchases);
    created, cleared, reverted, pending (cashbacks as they stand); cases. `fates`: the fate of each place
    of the file or log but the bad ones. `log`: (cashback id, transition, timestamp) as they happened.
    `cleared_by`: the place of the input at which each cleared, but for what cleared at the end alone.
    """

    cashbacks: dict[str, Cashback] = field(default_factory=dict)
    decisions: dict[tuple[str, str | None], Decision] = field(default_factory=dict)
    cases: dict[str, Case] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    bad: list[tuple[int, str]] = field(default_factory=list)
    bad_entitlements: list[tuple[int, str]] = field(default_factory=list)
    fates: dict[int, str] = field(default_factory=dict)
    log: list[tuple[str, str, int]] = field(default_factory=list)
    cleared_by: dict[str, int] = field(default_factory=dict)


def digest(prefix: str, *fields: str) -> str:
    """A deterministic id: the prefix and 24 hex digits of SHA-256 over the fields joined by U+001F."""
    return prefix + sha256("\x1f".join(fields).encode()).hexdigest()[:24]


def transaction_id(purchase: Purchase) -> str:
    """The id of a purchase."""
    return digest("tx_", mode(purchase.livemode), *purchase[1:])


def cashback_id(purchase: Purchase, program_id: str, sequence: int) -> str:
    """The id of a program's nth cashback of a purchase."""
    return digest("cbtx_", mode(purchase.livemode), *purchase[1:], program_id, str(sequence))


def redemption_id(purchase: Purchase, program_id: str) -> str:
    """The id of what a loyalty program pays on a purchase, whichever of its cashbacks."""
    return digest("lpr_", mode(purchase.livemode), *purchase[1:], program_id)


def mode(livemode: bool) -> str:
    """The word that keeps test traffic apart in every id."""
    return "live" if livemode else "test"
