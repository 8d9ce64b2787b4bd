"""What a run has done so far, in files that outlive it: a run that was cut goes on from them."""

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ops.torture.faults import FORMS, Kind


@dataclass(frozen=True, slots=True)
class Felt:
    """A fault that was struck. `pause_s`: the longest pause of its stages; None: they did not go on.

    `began_at`, `over_at`: from the blow until all had gone on, Unix seconds.
    """

    number: int
    kind: Kind
    share: float
    pause_s: float | None
    lasted_s: float
    note: str
    stuck: str = ""
    skipped: str = ""
    began_at: float = 0.0
    over_at: float = 0.0

    @property
    def is_slow(self) -> bool:
        """Whether its stages took longer than they may."""
        return not self.skipped and (self.pause_s is None or self.pause_s > FORMS[self.kind].limit_s)


@dataclass(frozen=True, slots=True)
class Plan:
    """What was asked for; the same plan is the same schedule over the same inputs."""

    seed: int
    inputs: int
    inputs_per_s: int
    faults: Mapping[Kind, int]


@dataclass
class Progress:
    """`written`: inputs acknowledged, in the order of the stream.

    `stops`: while the run was not going on, Unix seconds; `working_until`: what is known of its last end.
    """

    directory: Path
    plan: Plan
    written: int = 0
    replayed: int = 0
    has_programs: bool = False
    is_over: bool = False
    seconds: float = 0.0
    resumed: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    offsets_ahead: list[str] = field(default_factory=list)
    felt: list[Felt] = field(default_factory=list)
    stops: list[tuple[float, float]] = field(default_factory=list)
    working_until: float = 0.0
    _broken_since: float | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def begin(cls, directory: Path, plan: Plan) -> "Progress":
        """A new run. Raises FileExistsError where there is one already."""
        directory.mkdir(parents=True, exist_ok=True)
        with (directory / "plan.json").open("x") as file:
            json.dump(asdict(plan), file)
        return cls(directory, plan)

    @classmethod
    def resume(cls, directory: Path) -> "Progress":
        """A run as it was left. Raises FileNotFoundError where there is none."""
        said = json.loads((directory / "plan.json").read_text())
        plan = Plan(**{**said, "faults": {Kind(kind): count for kind, count in said["faults"].items()}})
        progress = cls(directory, plan)
        if (directory / "progress.json").exists():
            for name, value in json.loads((directory / "progress.json").read_text()).items():
                setattr(progress, name, value)
        progress.resumed += 1
        if progress._faults.exists():
            whole = [line for line in progress._faults.read_text().splitlines() if line.endswith("}")]
            progress.felt = [_felt(json.loads(line)) for line in whole]
        return progress

    def goes_on(self) -> None:
        """All that was stopped with the run works again."""
        if self.resumed and self.working_until:
            before = ((since, until) for since, until in self.stops)  # JSON has lists
            self.stops = [*before, (self.working_until, time.time())]

    def broke_off(self, since: float) -> None:
        """A fault that began at `since` (Unix seconds) was not seen to its end."""
        self._broken_since = min(since, self._broken_since or since)

    @property
    def done(self) -> set[int]:
        """Numbers of the faults that need not be struck again."""
        return {each.number for each in self.felt}

    @property
    def share(self) -> float:
        """Of the inputs, written."""
        return self.written / max(1, self.plan.inputs)

    def note(self, felt: Felt) -> None:
        """Keep what became of a fault."""
        with self._lock:
            self.felt.append(felt)
            with self._faults.open("a") as file:
                file.write(json.dumps(asdict(felt)) + "\n")

    def save(self) -> None:
        """Keep the figures."""
        kept = (
            "written",
            "replayed",
            "has_programs",
            "is_over",
            "seconds",
            "resumed",
            "outcomes",
            "offsets_ahead",
            "stops",
            "working_until",
        )
        with self._lock:
            self.working_until = self._broken_since or time.time()
            unfinished = self.directory / "progress.unfinished"
            unfinished.write_text(json.dumps({name: getattr(self, name) for name in kept}))
            unfinished.replace(self.directory / "progress.json")

    @property
    def _faults(self) -> Path:
        return self.directory / "faults.jsonl"


def _felt(line: dict[str, Any]) -> Felt:
    return Felt(**{**line, "kind": Kind(line["kind"])})
