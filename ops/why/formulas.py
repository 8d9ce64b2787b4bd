"""How a reward came about, in a sentence that can be checked with pencil and paper."""

from collections.abc import Mapping
from typing import Any

from ops.why.amounts import figure, money, percent
from schemas.programs import Budget, FlatReward, PercentReward, ProgramSpec, Tiered
from streams.program import Program, compiled
from streams.reward import bracket_of, earned

PERIODS = {"day": "daily", "week": "weekly", "month": "monthly", "lifetime": "lifetime"}


def asset_of(spec: ProgramSpec) -> str:
    """What the program pays in."""
    return compiled(spec).asset


def reward_on(spec: ProgramSpec, net: int, gross: int) -> str:
    """What the terms give on `net` of a purchase of `gross`, before limit, cap and budget."""
    program = compiled(spec)
    reward = earned(program, net, gross)
    if net < program.min_spend:
        least = money(program.min_spend, spec.currency)
        return f"{figure(net, spec.currency)} is left, below the least spend of {least}: 0"
    said, value = _on_bracket(spec, program, net)
    if value == reward:
        return said
    between = f"{figure(net, spec.currency)} and {figure(gross, spec.currency)}"
    # A ladder may pay more for less; a refund never raises a reward.
    return f"the least that any amount between {between} gives = {figure(reward, program.asset)}"


def cut(spec: ProgramSpec, reward: int, word: Mapping[str, Any]) -> str | None:
    """What kept `amount` below `reward`; None when nothing did."""
    paid, asset = word["amount"], asset_of(spec)
    if paid is None or paid >= reward:
        return None
    left = figure(paid, asset)
    if spec.member_cap is not None and word["cap_left"] == paid:
        cap = f"{PERIODS[spec.member_cap.period]} cap of {figure(spec.member_cap.amount, asset)}"
        return f"cut to {left} left of the {cap}"
    if spec.budget is not None and word["budget_left"] == paid:
        return f"cut to {left} left of the {budget(spec.budget, asset)}"
    return f"cut to {left}"


def left_before(spec: ProgramSpec, word: Mapping[str, Any]) -> list[str]:
    """What limit, cap and budget still gave before this purchase, as far as it is known and was not all."""
    asset, told = asset_of(spec), []
    if spec.member_limit is not None and word["limit_left"] is not None:
        period = PERIODS[spec.member_limit.period]
        told.append(f"{word['limit_left']} of {spec.member_limit.count} times of the {period} limit")
    if spec.member_cap is not None and word["cap_left"] not in (None, word["amount"]):
        most = figure(spec.member_cap.amount, asset)
        told.append(
            f"{figure(word['cap_left'], asset)} of {most} of the {PERIODS[spec.member_cap.period]} cap"
        )
    if spec.budget is not None and word["budget_left"] not in (None, word["amount"]):
        told.append(f"{money(word['budget_left'], asset)} at hand of the {budget(spec.budget, asset)}")
    return told


def budget(bound: Budget, asset: str) -> str:
    """The bounds of a budget."""
    parts = []
    if bound.total is not None:
        parts.append(f"{figure(bound.total, asset)} in all")
    if bound.daily is not None:
        parts.append(f"{figure(bound.daily, asset)} a day")
    return f"budget of {' and '.join(parts)}"


def _on_bracket(spec: ProgramSpec, program: Program, net: int) -> tuple[str, int]:
    if not isinstance(spec.reward, Tiered):
        return _plain(spec.reward, spec.currency, program.asset, net)
    number = bracket_of(program, net)
    said, value = _plain(spec.reward.brackets[number - 1].reward, spec.currency, program.asset, net)
    return f"bracket {number} ({_interval(spec.reward, number, spec.currency)}): {said}", value


def _plain(reward: FlatReward | PercentReward, currency: str, asset: str, net: int) -> tuple[str, int]:
    if isinstance(reward, FlatReward):
        return f"{money(reward.amount, asset)} flat", reward.amount
    value, rest = divmod(net * reward.bps, 10_000)
    # Points are counted on minor units.
    basis, given = (
        (figure(net, currency), figure(value, asset))
        if asset == currency
        else (f"{net:,}", money(value, asset))
    )
    said = f"{percent(reward.bps)} of {basis} = {given}"
    said += ", rounded down" if rest else ""
    if reward.max_amount is not None and value > reward.max_amount:
        return f"{said}, at most {figure(reward.max_amount, asset)} a purchase", reward.max_amount
    return said, value


def _interval(ladder: Tiered, number: int, currency: str) -> str:
    ends = [bracket.up_to_minor for bracket in ladder.brackets]
    above = ends[number - 2] if number > 1 else None
    up_to = ends[number - 1]
    parts = [f"above {figure(above, currency)}"] if above is not None else []
    parts += [f"up to {figure(up_to, currency)}"] if up_to is not None else []
    return ", ".join(parts) or "any amount"
