"""A life for people at a terminal, and for programs as JSON."""

from collections.abc import Iterator, Sequence
from textwrap import wrap
from typing import Any

from ops.why.amounts import moment
from ops.why.life import Life
from ops.why.steps import Step
from schemas.times import to_iso

_INDENT = " " * 4
_LABEL_WIDTH_MAX = 28


def lines(lives: Sequence[Life], *, width: int) -> Iterator[str]:
    """All lives, one after another, in lines of about `width` characters; ids are never cut."""
    if len(lives) > 1:
        yield f"{len(lives)} members have a payment of this reference: they are {len(lives)} purchases."
        yield ""
    for number, life in enumerate(lives):
        if number:
            yield ""
        yield from _life(life, width)


def as_json(lives: Sequence[Life]) -> dict[str, Any]:
    """Everything that the text says, and the figures behind it."""
    return {
        "payments": [
            {
                **life.figures,
                "outcome": list(life.outcome),
                "steps": [
                    {
                        "at": to_iso(step.at),
                        "what": step.what,
                        "said": step.said,
                        "place": step.place,
                        "details": [detail._asdict() for detail in step.details],
                        **step.figures,
                    }
                    for step in life.steps
                ],
            }
            for life in lives
        ]
    }


def _life(life: Life, width: int) -> Iterator[str]:
    yield life.heading
    yield life.transaction_id + (f", {life.purchase}" if life.purchase else "")
    for sentence in life.outcome:
        yield from wrap(sentence, width)
    yield ""
    yield "All times are UTC."
    for step in life.steps:
        yield from _step(step, width)


def _step(step: Step, width: int) -> Iterator[str]:
    at = moment(step.at)
    place = f"  [{step.place}]" if step.place else ""
    yield from _hanging(f"{at}  ", step.said + place, width)
    labels = min(_LABEL_WIDTH_MAX, max((len(detail.label) for detail in step.details), default=0))
    for label, said in step.details:
        yield from _hanging(f"{_INDENT}{label:<{labels}}  ", said, width)


def _hanging(head: str, said: str, width: int) -> Iterator[str]:
    """`said` behind `head`, further lines below where it begins."""
    room = max(width - len(head), 40)
    first, *rest = wrap(said, room, break_long_words=False, break_on_hyphens=False) or [""]
    yield head + first
    for line in rest:
        yield " " * len(head) + line
