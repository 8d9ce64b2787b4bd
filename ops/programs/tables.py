"""Programs and plans for eyes: tables for a terminal, and a reward in words."""

from collections.abc import Iterable
from typing import assert_never

from rich import box
from rich.table import Table

from ops.programs.plan import Added, Refused, Step, Unchanged
from ops.programs.timeline import Span, State
from schemas.programs import BracketReward, ProgramSpec, Tiered
from schemas.times import Micros, to_iso

_STYLES = {State.IN_FORCE: "green", State.COMING: "cyan", State.PAST: "dim", State.NEVER: "yellow"}
_BRACKETS_SHOWN = 2


def catalogue_table(timelines: dict[str, list[Span]], at: Micros) -> Table:
    """One row a version, with its state at `at`."""
    shown = _table(("program", "version", "state", "rewards from", "until", "type", "reward", "currency"))
    for spans in timelines.values():
        for span in spans:
            state, spec = span.state(at), span.spec
            times = ("-", "-") if span.is_empty else (to_iso(span.begins), _until(span.ends))
            row = (spec.program_id, str(spec.version), state, *times, spec.type, reward_words(spec))
            shown.add_row(*row, spec.currency, style=_STYLES[state])
    return shown


def steps_table(steps: Iterable[Step]) -> Table:
    """One row a program of a file: what becomes of it."""
    shown = _table(("program", "version", "type", "reward", "effective from", "until", "what"))
    for step in steps:
        spec = step.spec
        until = _until(step.until) if isinstance(step, Added) else "-"
        what, style = _what(step)
        row = (spec.program_id, str(spec.version), spec.type, reward_words(spec), to_iso(spec.effective_from))
        shown.add_row(*row, until, what, style=style)
    return shown


def _table(names: Iterable[str]) -> Table:
    shown = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in names:
        shown.add_column(name, no_wrap=name in ("version", "rewards from", "effective from", "until"))
    return shown


def _until(at: Micros | None) -> str:
    return "-" if at is None else to_iso(at)


def _what(step: Step) -> tuple[str, str]:
    match step:
        case Added(_, old, _, late):
            what = "new" if old is None else f"replaces version {old.version}"
        case Unchanged():
            return "unchanged", "dim"
        case Refused():
            return "refused", "red"
        case _:
            assert_never(step)
    return (f"{what}, late", "yellow") if late else (what, "green")


def reward_words(spec: ProgramSpec) -> str:
    """The reward of a version in few words, minor units."""
    reward = spec.reward
    unit = " points" if reward.unit == "points" else ""
    if not isinstance(reward, Tiered):
        return _plain(reward) + unit
    if len(reward.brackets) > _BRACKETS_SHOWN:
        return f"{len(reward.brackets)} brackets{unit}"
    return ", ".join(
        f"{_plain(bracket.reward)}{unit}"
        + (f" up to {bracket.up_to_minor}" if bracket.up_to_minor else " above")
        for bracket in reward.brackets
    )


def _plain(reward: BracketReward) -> str:
    if reward.type == "flat":
        return str(reward.amount)
    whole, hundredths = divmod(reward.bps, 100)
    percent = f"{whole}.{hundredths:02d}".rstrip("0").rstrip(".") + " %"
    return percent if reward.max_amount is None else f"{percent}, at most {reward.max_amount}"
