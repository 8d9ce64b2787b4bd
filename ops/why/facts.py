"""What is known of one payment, as it was read: records of the log and rows of the ledger. No judgement."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from schemas.programs import ProgramSpec
from schemas.quarantine import Place, Refusal
from schemas.times import Micros

ProgramKey = tuple[str, int]
"""program_id and version."""


@dataclass(frozen=True, slots=True)
class Input:
    """One Transaction, Revocation, ReversalDecision or ParkedDecision of the input log, unchecked.

    `arrived_at`: by the clock of the log. `silent`: loaded as history, nobody is told. `requeued_from`: it is
    a copy of the quarantined record of that place.
    """

    place: Place
    record: str
    datum: Mapping[str, Any]
    arrived_at: Micros
    refusal: Refusal | None = None
    silent: bool = False
    requeued_from: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """One record of `decisions`."""

    place: Place
    datum: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Transfer:
    """A movement of an entry between two kinds of account, minor units or points."""

    debit: str
    credit: str
    amount: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to deliver a webhook; `status` None: no answer came."""

    attempt: int
    started_at: Micros
    status: int | None
    outcome: str
    error: str | None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One webhook to one endpoint. `due_at` is set while it is still to be delivered."""

    url: str
    attempts: tuple[Attempt, ...] = ()
    due_at: Micros | None = None
    disabled_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the ledger, with its transfers and the webhooks it led to."""

    entry_id: int
    transition: str
    event_id: str
    event_at: Micros
    posted_at: Micros
    reason: str | None
    silent: bool = False
    """Backfilled history: booked, and no webhook tells of it."""
    actor: str | None = None
    second_actor: str | None = None
    note: str | None = None
    """Of a reversal who approved it, and why."""
    transfers: tuple[Transfer, ...] = ()
    is_told: bool = False
    deliveries: tuple[Delivery, ...] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """One revision of a reversal case."""

    case_id: str
    revision: int
    updated_at: Micros
    cause: str
    amount: int
    shortfall: int
    net_minor: int
    state: str = "OPEN"
    actor: str | None = None
    second_actor: str | None = None
    note: str | None = None

    @property
    def by(self) -> str:
        """Whose word led to it, empty where a payment did."""
        return " and ".join(name for name in (self.actor, self.second_actor) if name)


@dataclass(frozen=True, slots=True)
class Cashback:
    """One cashback as the ledger has it."""

    cashback_id: str
    program_id: str
    program_version: int
    sequence: int
    asset: str
    amount: int
    commission: int
    commission_bps: int
    clear_at: Micros | None
    entries: tuple[Entry, ...] = ()
    cases: tuple[Case, ...] = ()


@dataclass(frozen=True, slots=True)
class Unbooked:
    """A cashback event or reversal case that the ledger would not take."""

    record: str
    datum: Mapping[str, Any]
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Behind:
    """How many records a part of the system has still to read in the payment's partition."""

    worker: int = 0
    places: int = 0
    ledger: int = 0


@dataclass(frozen=True, slots=True)
class Facts:
    """All that is known of what one member bought under one reference.

    `holder`: the member for whom the ledger keeps the reference, None when it keeps it for nobody.
    """

    partner_id: str
    member_id: str
    external_id: str
    livemode: bool
    inputs: tuple[Input, ...] = ()
    decisions: tuple[Decision, ...] = ()
    holder: str | None = None
    cashbacks: tuple[Cashback, ...] = ()
    unbooked: tuple[Unbooked, ...] = ()
    programs: Mapping[ProgramKey, ProgramSpec] = field(default_factory=dict)
    behind: Behind = field(default_factory=Behind)
