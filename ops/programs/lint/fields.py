"""Checks of fields that do nothing, and of ones whose absence or value is worth a word."""

from collections.abc import Iterator

from ops.programs.lint.findings import Finding, finding
from schemas.programs import ProgramSpec

WITHDRAWAL_DAYS = 14
_WITHDRAWAL_IN = ("EUR", "GBP")


def check(spec: ProgramSpec) -> Iterator[Finding]:
    """All findings about single fields."""
    for path, why in _idle(spec):
        yield finding("field-does-nothing", spec, path, why, "remove it")
    is_online = spec.channels is None or "ONLINE" in spec.channels
    if is_online and spec.hold_days < WITHDRAWAL_DAYS and spec.currency in _WITHDRAWAL_IN:
        yield finding(
            "short-hold-online",
            spec,
            "hold_days",
            f"consumers in the EU and the UK may withdraw from an online purchase for {WITHDRAWAL_DAYS} "
            f"days; this one may clear after {spec.hold_days}, and a refund then takes a reversal case",
            f"hold for at least {WITHDRAWAL_DAYS} days from settlement, or leave ONLINE out",
        )
    if spec.merchant_ids is None and spec.store_ids is None:
        who = "every partner" if spec.partner_ids is None else "its partners"
        message = f"purchases of {who} at every merchant count, and each merchant pays for its own"
        yield finding(
            "names-every-merchant", spec, "merchant_ids", message, "name merchants, unless it is meant"
        )


def _idle(spec: ProgramSpec) -> Iterator[tuple[str, str]]:
    """Path and reason of each field that is given and changes nothing."""
    loyal = spec.type == "loyalty_program"
    if spec.clip_reusable and spec.type != "deal":
        yield "clip_reusable", f"only a deal is clipped, this is a {spec.type}"
    if spec.external_id is not None and not loyal:
        yield "external_id", f"only a redemption of a loyalty_program tells it, this is a {spec.type}"
    if spec.stackable and loyal:
        yield "stackable", "a loyalty_program comes on top in any case"
    if spec.priority and (loyal or spec.stackable):
        yield "priority", "it decides among programs that exclude each other; this one comes on top of any"
    if spec.hold_anchor == "settled" and spec.hold_days == 0:
        yield (
            "hold_anchor",
            "without hold_days a reward clears when the purchase is settled, whatever the anchor",
        )
    if spec.min_spend_minor is not None and spec.min_spend_minor <= 1:
        yield "min_spend_minor", "an empty basket earns nothing in any case"
    if spec.channels is not None and len(set(spec.channels)) > 1:
        yield "channels", "both channels are named, so every purchase passes"
    if spec.schedule is not None:
        yield from _idle_schedule(spec)


def _idle_schedule(spec: ProgramSpec) -> Iterator[tuple[str, str]]:
    schedule = spec.schedule
    assert schedule is not None
    if schedule.weekdays is not None and len(schedule.weekdays) == 7:
        yield "schedule.weekdays", "all seven days are named, so every purchase passes"
    shuts_out = (schedule.weekdays, schedule.opens, schedule.closes, schedule.excluded_dates)
    # Its time zone also says when a period of a limit, a cap or a budget begins.
    daily = spec.budget is not None and spec.budget.daily is not None
    if not any(shuts_out) and not (spec.member_limit or spec.member_cap or daily):
        yield "schedule", "a time zone alone shuts no purchase out, and no period needs it"
