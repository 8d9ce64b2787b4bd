"""What the demo shows while it runs: bars on a terminal, a line every few seconds elsewhere."""

import time
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text

from ops.demo.figures import Figures, Rates

PLAIN_EVERY_S = 3.0
_STAGES = {
    "loaded": "payments written to Kafka",
    "decided": "judged by the stream",
    "posted": "ledger entries in PostgreSQL",
    "delivered": "signed webhooks received",
}


class Screen(Protocol):
    """Where a run is shown; a context, because a live screen must be given back."""

    console: Console

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, figures: Figures, rates: Rates, doing: str) -> None:
        """The figures now; `doing` says in words what the run waits for."""


class LiveScreen:
    """Bars that move."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._bars = Progress(
            TextColumn("[bold]{task.description:<9}"),
            BarColumn(bar_width=28),
            TextColumn("{task.fields[count]:>21}"),
            TextColumn("[cyan]{task.fields[rate]:>9}"),
            TextColumn("[dim]{task.fields[what]}"),
            console=console,
            auto_refresh=False,
        )
        self._tasks: dict[str, TaskID] = {
            name: self._bars.add_task(name, total=None, count="", rate="", what=what)
            for name, what in _STAGES.items()
        }
        self._live = Live(console=console, refresh_per_second=4, transient=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, figures: Figures, rates: Rates, doing: str) -> None:
        """The figures now; `doing` says in words what the run waits for."""
        for name, total in _totals(figures).items():
            count: int = getattr(figures, name)
            rate = rates.of(name)
            self._bars.update(
                self._tasks[name],
                completed=min(count, total),
                total=max(total, 1),
                count=f"{count:,} of {total:,}" if total else "",
                rate=f"{rate:,.0f}/s" if rate and count < total else "",
            )
        self._live.update(Group(self._bars, Text(), _cashbacks(figures), _state(figures, doing)))


class PlainScreen:
    """Lines that stay, for logs."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._said_s = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def show(self, figures: Figures, rates: Rates, doing: str) -> None:
        """The figures now, if the last line is old enough."""
        if time.monotonic() - self._said_s < PLAIN_EVERY_S:
            return
        self._said_s = time.monotonic()
        self.console.print(
            f"{figures.at_s:5.0f} s  loaded {figures.loaded:,}  decided {figures.decided:,} "
            f"({rates.of('decided'):,.0f}/s, lag {_lag(figures):,})  created {figures.created:,}  "
            f"cleared {figures.cleared:,}  reverted {figures.reverted:,}  posted {figures.posted:,}  "
            f"delivered {figures.delivered:,} ({rates.of('delivered'):,.0f}/s)  {doing}",
            highlight=False,
            soft_wrap=True,
        )


def screen_for(console: Console) -> Screen:
    """Bars on a terminal, lines elsewhere."""
    return LiveScreen(console) if console.is_terminal else PlainScreen(console)


def _totals(figures: Figures) -> dict[str, int]:
    return {
        "loaded": figures.to_load,
        "decided": max(figures.loaded, figures.decided),
        "posted": max(figures.events, figures.posted),
        "delivered": max(figures.events, figures.delivered),
    }


def _lag(figures: Figures) -> int:
    return max(0, figures.loaded - figures.decided)


def _cashbacks(figures: Figures) -> Text:
    pending = figures.created - figures.cleared - figures.reverted
    return Text.assemble(
        ("cashbacks  ", "bold"),
        (f"{figures.created:,} created", "green"),
        f"   {figures.cleared:,} cleared   ",
        (f"{figures.reverted:,} reverted", "yellow"),
        f"   {pending:,} pending",
    )


def _state(figures: Figures, doing: str) -> Text:
    return Text.assemble(
        ("inputs     ", "bold"),
        f"lag {_lag(figures):,}   {figures.duplicates:,} repeated   {figures.quarantined:,} quarantined   "
        f"worker {figures.worker_mb:,.0f} MB\n",
        (f"{figures.at_s:.0f} s  {doing}{f', {figures.day}' if _lag(figures) else ''}", "dim"),
    )
