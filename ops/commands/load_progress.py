"""What a load shows while it runs: a bar with its rate on a terminal, a line every few seconds elsewhere."""

import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn

PLAIN_EVERY_S = 2.0


class LoadProgress:
    """Progress on standard error; a context, because a bar must be taken away at the end."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._bar = _bar(self._console) if self._console.is_terminal else None
        self._task: TaskID | None = None
        self._name = ""
        self._began_s = self._said_s = time.monotonic()

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def begin(self, path: Path) -> None:
        """The next file."""
        self._name = path.name
        if self._bar:
            self._task = self._bar.add_task(self._name, total=1.0, rate="")

    def report(self, lines: int, fraction: float) -> None:
        """`lines` read so far of all files, `fraction` of this one."""
        now_s = time.monotonic()
        rate = f"{lines / max(now_s - self._began_s, 0.001):,.0f} lines/s"
        if self._bar and self._task is not None:
            self._bar.update(self._task, completed=fraction, rate=rate)
        elif now_s - self._said_s >= PLAIN_EVERY_S:
            self._said_s = now_s
            sys.stderr.write(f"{self._name}: {fraction:.0%}, {lines:,} lines, {rate}\n")

    def complain(self, sentence: str) -> None:
        """A line that stays: what is wrong, and where."""
        if self._bar:
            self._console.print(sentence, markup=False, highlight=False, soft_wrap=True)
        else:
            sys.stderr.write(sentence + "\n")

    def say_flushing(self) -> None:
        """All is read; the brokers acknowledge the rest."""
        if self._bar and self._task is not None:
            self._bar.update(self._task, description=f"{self._name} (waiting for the brokers)")


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        console=console,
    )
