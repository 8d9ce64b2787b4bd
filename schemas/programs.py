"""Programs: what can reward, as partners write them (YAML, JSON) and as they travel (Avro).

Everything that is wrong is found here, when a program is loaded; the stages trust what passed.
"""

from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from schemas.errors import Rejected
from schemas.money import AMOUNT_MAX
from schemas.program_faults import fault_of
from schemas.times import Micros, from_iso, to_iso
from schemas.transactions import check_id
from schemas.wall_clock import ClockTime, LocalDate, Weekdays, Zone


class ProgramsRefused(ValueError):
    """Programs that cannot be accepted; `faults` has one `Rejected` a wrong field, `field` being its path."""

    def __init__(self, faults: list[Rejected]) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = faults


def _identifier(value: object, info: ValidationInfo) -> object:
    if isinstance(value, str):
        check_id(str(info.field_name), value)
    return value


def _instant(value: object, info: ValidationInfo) -> Micros:
    return from_iso(value, str(info.field_name))


Identifier = Annotated[str, BeforeValidator(_identifier)]
Instant = Annotated[int, BeforeValidator(_instant), PlainSerializer(to_iso)]
Minor = Annotated[int, Field(ge=0, le=AMOUNT_MAX)]
Positive = Annotated[int, Field(ge=1, le=AMOUNT_MAX)]
Identifiers = Annotated[list[Identifier], Field(min_length=1)]
Period = Literal["day", "week", "month", "lifetime"]


class _Form(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class FlatReward(_Form):
    """A fixed amount a qualifying purchase, minor units or points."""

    type: Literal["flat"]
    amount: Minor


class PercentReward(_Form):
    """floor(net × bps / 10000), at most `max_amount`."""

    type: Literal["percent"]
    bps: Annotated[int, Field(ge=0, le=10_000)]
    max_amount: Minor | None = None


BracketReward = Annotated[FlatReward | PercentReward, Field(discriminator="type")]


class Bracket(_Form):
    """The interval (previous, up_to_minor] of the basket; the last one is open."""

    up_to_minor: Positive | None = None
    reward: BracketReward


class _Unit(_Form):
    unit: Literal["currency", "points"] = "currency"


class Flat(_Unit, FlatReward):
    """Flat, with its unit."""


class Percent(_Unit, PercentReward):
    """Percent, with its unit."""


class Tiered(_Unit):
    """Exactly one bracket applies to the whole basket."""

    type: Literal["tiered"]
    brackets: Annotated[list[Bracket], Field(min_length=1)]

    @model_validator(mode="after")
    def _ladder(self) -> "Tiered":
        ends = [bracket.up_to_minor for bracket in self.brackets]
        if ends[-1] is not None:
            raise ValueError(
                f"baskets above {ends[-1]} fall in a gap; end with a bracket without up_to_minor"
            )
        closed = [end for end in ends[:-1] if end is not None]
        if len(closed) != len(ends) - 1:
            raise ValueError(
                "only the last bracket may be without up_to_minor; give the others their upper end"
            )
        if any(later <= earlier for earlier, later in pairwise(closed)):
            raise ValueError(
                f"upper ends {closed} overlap or are not in order; sort them, each larger than the last"
            )
        return self


Reward = Annotated[Flat | Percent | Tiered, Field(discriminator="type")]


class Schedule(_Form):
    """Weekdays, hours and dates that count, by the wall clock of `timezone`."""

    timezone: Zone
    weekdays: Weekdays | None = None
    opens: ClockTime | None = Field(None, alias="from")
    closes: ClockTime | None = Field(None, alias="to")
    excluded_dates: Annotated[list[LocalDate], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _some_time(self) -> "Schedule":
        if self.opens is not None and self.opens == self.closes:
            raise ValueError(
                f"from and to are both {self.opens}: no time at all; leave both out for the whole day"
            )
        return self


class MemberLimit(_Form):
    """How often one member may earn."""

    count: Positive
    period: Period


class MemberCap(_Form):
    """How much one member may earn, minor units or points."""

    amount: Positive
    period: Period


class Budget(_Form):
    """How much all members together may earn, minor units or points."""

    total: Positive | None = None
    daily: Positive | None = None

    @model_validator(mode="after")
    def _some_bound(self) -> "Budget":
        if self.total is None and self.daily is None:
            raise ValueError("bounds nothing; give total or daily")
        return self


class ProgramSpec(_Form):
    """One version of a program, valid by construction; instants in microseconds UTC."""

    program_id: Identifier
    version: Annotated[int, Field(ge=1, le=2**31 - 1)]
    effective_from: Instant
    type: Literal["campaign", "deal", "airdrop", "loyalty_program"]
    merchant_ids: Identifiers | None = None
    partner_ids: Identifiers | None = None
    store_ids: Identifiers | None = None
    mccs: Identifiers | None = None
    channels: Annotated[list[Literal["ONLINE", "IN_STORE"]], Field(min_length=1)] | None = None
    currency: Literal["EUR", "USD", "GBP", "CAD"]
    min_spend_minor: Minor | None = None
    max_spend_minor: Minor | None = None
    valid_from: Instant
    valid_to: Instant | None = None
    schedule: Schedule | None = None
    reward: Reward
    member_limit: MemberLimit | None = None
    member_cap: MemberCap | None = None
    budget: Budget | None = None
    hold_days: Annotated[int, Field(ge=0, le=30)]
    hold_anchor: Literal["purchase", "settled"] = "purchase"
    auth_expiry_days: Annotated[int, Field(ge=1, le=365)] = 30
    priority: Annotated[int, Field(ge=-1_000_000, le=1_000_000)] = 0
    stackable: bool = False
    new_members_only: bool = False
    clip_reusable: bool = False
    threshold_count: Positive | None = None
    threshold_minor: Positive | None = None
    external_id: Identifier | None = None

    @model_validator(mode="before")
    @classmethod
    def _default_effective_from(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("effective_from") is None and "valid_from" in value:
            return {**value, "effective_from": value["valid_from"]}
        return value

    @model_validator(mode="after")
    def _agree(self) -> "ProgramSpec":
        if self.valid_to is not None and self.valid_to <= self.valid_from:
            raise ValueError("valid_to is not after valid_from; it is the first instant that counts no more")
        low, high = self.min_spend_minor, self.max_spend_minor
        if low is not None and high is not None and high < low:
            raise ValueError(
                f"max_spend_minor {high} is below min_spend_minor {low}; no basket fits, change one"
            )
        loyal = self.type == "loyalty_program"
        if loyal != ((self.threshold_count is None) != (self.threshold_minor is None)):
            raise ValueError(
                "threshold_count or threshold_minor: exactly one on a loyalty_program, none elsewhere"
            )
        return self

    @property
    def key(self) -> bytes:
        """Message key: `program_id:version`."""
        return f"{self.program_id}:{self.version}".encode()

    def to_json(self) -> dict[str, Any]:
        """The file form; fields at their default are left out."""
        return self.model_dump(by_alias=True, exclude_defaults=True, exclude_none=True) | {"type": self.type}


def parse_program(form: object) -> ProgramSpec:
    """One program from its file form. Raises `ProgramsRefused` naming every wrong field by its path."""
    try:
        return ProgramSpec.model_validate(form)
    except ValidationError as error:
        faults = [fault_of(detail, ProgramSpec.model_fields) for detail in error.errors()]
        if isinstance(form, dict) and form.get("effective_from") is None:
            # Nobody wrote it: what is wrong is valid_from, which it was taken from.
            faults = [fault for fault in faults if fault.field != "effective_from"]
        raise ProgramsRefused(faults) from None


def to_datum(spec: ProgramSpec) -> dict[str, Any]:
    """The Avro datum of a program."""
    datum = spec.model_dump(by_alias=True)
    for field in ("effective_from", "valid_from", "valid_to"):
        datum[field] = getattr(spec, field)
    return datum


def from_datum(datum: dict[str, Any]) -> ProgramSpec:
    """The program in a decoded Avro datum. Raises `ProgramsRefused`."""
    form = _without_nulls(datum)
    try:
        for field in ("effective_from", "valid_from", "valid_to"):
            if field in form:
                form[field] = to_iso(form[field])
    except (OverflowError, ValueError):
        raise ProgramsRefused(
            [Rejected(field, "outside the years 2000–2099", "send microseconds UTC")]
        ) from None
    return parse_program(form)


def _without_nulls(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _without_nulls(value) for key, value in node.items() if value is not None}
    if isinstance(node, list):
        return [_without_nulls(item) for item in node]
    return node
