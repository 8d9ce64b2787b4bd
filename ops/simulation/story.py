"""A simulated history in words: what was said, and what happened to those who had to decide on it."""

from __future__ import annotations

from collections.abc import Iterator

from ops.simulation.history import PartitionLog
from ops.simulation.world import World
from schemas.times import to_iso

_SHOWN = (
    *("partner_id", "member_id", "external_id", "kind", "part_id", "amount_minor", "currency"),
    "merchant_id",
)


def story(world: World) -> str:
    """The logs, and the steps of a world that was traced."""
    history = world.history
    lines = [
        f"seed {world.seed}: clock {history.clock}, due slice {history.due_slice}, "
        f"bad input limit {history.bad_input_limit}"
    ]
    for partition, log in enumerate(history.logs):
        lines.append(f"log of partition {partition}:")
        lines += _log(log)
    lines.append("steps:")
    lines += [f"  {step}" for step in world.trace or ()]
    return "\n".join(lines)


def _log(log: PartitionLog) -> Iterator[str]:
    said = dict(zip(log.line_offsets, log.lines, strict=True))
    for record, clock in zip(log.records, log.clocks, strict=True):
        what = (record.key or b"").decode()
        if record.offset in said:
            line = said[record.offset][1]
            what = " ".join(str(line.get(field)) for field in _SHOWN)
            if "occurred_at" in line:
                what += f" at {to_iso(line['occurred_at'])}"
            else:
                what = " ".join(f"{name}={value}" for name, value in line.items())
        elif record.offset in log.refused:
            what += f" (must be {log.refused[record.offset]})"
        yield f"  {record.offset:>4}  {to_iso(clock)}  {what}"
