"""What a run came to, for people and as JSON."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ops.torture.faults import FORMS, Kind
from ops.torture.judgement import Judgement
from ops.torture.lateness import LATE_S_MAX
from ops.torture.progress import Felt, Progress


@dataclass(frozen=True)
class Report:
    """A finished run: everything written, struck, healed and judged."""

    progress: Progress
    judgement: Judgement
    received: Mapping[str, int]

    @property
    def struck(self) -> list[Felt]:
        """The faults that could be struck."""
        return [each for each in self.progress.felt if not each.skipped]

    @property
    def slow(self) -> list[Felt]:
        """Those after which a stage took longer than it may, or never went on."""
        return [each for each in self.struck if each.is_slow]

    @property
    def passed(self) -> bool:
        """No violation, no slow heal."""
        return not self.judgement.total and not self.slow

    def as_json(self) -> dict[str, Any]:
        """One object; pauses in seconds."""
        plan, progress = self.progress.plan, self.progress
        skipped = {each.kind.value: each.skipped for each in progress.felt if each.skipped}
        return {
            "seed": plan.seed,
            "passed": self.passed,
            "faults": len(self.struck),
            "inputs": self.judgement.inputs,
            "inputs_replayed": progress.replayed,
            "violations": self.judgement.total,
            "slow_heals": len(self.slow),
            "longest_pause_s": max((each.pause_s or 0.0 for each in self.struck), default=0.0),
            "longest_wait_to_clear_s": round(self.judgement.longest_wait_s, 1),
            "seconds": round(progress.seconds, 1),
            "resumed": progress.resumed,
            "operations": progress.outcomes,
            "webhooks": dict(self.received),
            "fates": dict(self.judgement.counts),
            "by_kind": by_kind(self.struck),
            "skipped": skipped,
            "violations_by_law": {
                law: {"count": count, "shown": shown}
                for law, (count, shown) in self.judgement.violations.items()
            },
            "felt": [_line(each) for each in sorted(progress.felt, key=lambda each: each.number)],
        }


def by_kind(struck: list[Felt]) -> dict[str, dict[str, Any]]:
    """Per kind: how often, the longest and the middle pause, the limit, and from when pauses count."""
    grouped: dict[Kind, list[Felt]] = defaultdict(list)
    for each in struck:
        grouped[each.kind].append(each)
    table = {}
    for kind in Kind:
        if felt := grouped.get(kind):
            pauses = sorted(each.pause_s for each in felt if each.pause_s is not None)
            table[kind.value] = {
                "faults": len(felt),
                "longest_pause_s": pauses[-1] if pauses else None,
                "median_pause_s": pauses[len(pauses) // 2] if pauses else None,
                "limit_s": FORMS[kind].limit_s,
                "slow": sum(each.is_slow for each in felt),
                "measured_from": "its end" if FORMS[kind].lasts else "the blow",
            }
    return table


def _line(felt: Felt) -> dict[str, Any]:
    return {name: getattr(felt, name) for name in felt.__slots__}


def as_text(report: Report) -> str:
    """The same for people."""
    said = report.as_json()
    lines = [
        f"seed {said['seed']}: {said['faults']} faults over {said['inputs']:,} inputs "
        f"({said['inputs_replayed']:,} of them replayed) in {said['seconds'] / 60:.0f} min; "
        f"{said['violations']} violations, {said['slow_heals']} slow heals",
        f"write operations: {_counted(said['operations'])}; webhooks: {_counted(said['webhooks'])}",
        f"inputs and cashbacks by fate: {_counted(said['fates'])}",
        f"longest wait to clear, outages not counted: {said['longest_wait_to_clear_s']} s "
        f"(allowed {LATE_S_MAX:g} s)",
        "",
        f"{'fault':24} {'times':>5} {'median':>8} {'longest':>8} {'allowed':>8}  pause measured from",
    ]
    for kind, each in said["by_kind"].items():
        lines.append(
            f"{kind:24} {each['faults']:>5} {_seconds(each['median_pause_s'])} "
            f"{_seconds(each['longest_pause_s'])} {_seconds(each['limit_s'])}  {each['measured_from']}"
        )
    lines += [f"{kind:24} skipped: {reason}" for kind, reason in said["skipped"].items()]
    lines += ["", *(f"SLOW: {each.kind} {each.note}: {each.stuck or each.pause_s}" for each in report.slow)]
    for law, found in said["violations_by_law"].items():
        lines.append(f"{law}: {found['count'] or 'holds'}")
        lines += [f"    {each}" for each in found["shown"]]
    return "\n".join(lines)


def _seconds(seconds: float | None) -> str:
    return f"{'never':>8}" if seconds is None else f"{seconds:>6.1f} s"


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)
