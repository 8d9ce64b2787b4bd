"""A run from its start, or from where it was cut, to its report."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ops.embedded.jars import Say
from ops.running import Claim
from ops.settings import Settings
from ops.torture.battle import UNTIL, Battle, programs
from ops.torture.judgement import judge
from ops.torture.lateness import outages
from ops.torture.progress import Progress
from ops.torture.receiver import counts
from ops.torture.report import Report, as_text
from ops.torture.system import System
from ops.torture.waiting import NotInTime, wait_until
from ops.torture.watch import Watch

DRAIN_S = 900.0
"""Until the system has done all that was written and struck."""


class Unfinished(Exception):
    """The run was ended before all was written, struck and judged; says how it goes on."""


@dataclass(frozen=True)
class Options:
    """`seconds`: end after so long, to be resumed. `small_disk`: give a broker a disk that can be full."""

    seconds: float | None = None
    small_disk: bool = True


def torture(progress: Progress, settings: Settings, options: Options, say: Say) -> Report:
    """Run to the end and write `report.json` and `report.txt`.

    Raises `Unfinished`, `Abandoned`, `StartError`, `NotInTime`.
    """
    directory, began_s = progress.directory, time.monotonic()
    before_s = progress.seconds
    deadline_s = None if options.seconds is None else began_s + options.seconds
    say(f"seed {progress.plan.seed}; everything is in {directory}")
    system = System(directory, settings, say=say, small_disk=options.small_disk)
    with _claimed(directory), system:
        system.start_processes()
        progress.goes_on()
        with Watch(system.inside, system.layout.receiver) as watch:
            try:
                if not progress.is_over:
                    battle = Battle(system, watch, progress, say, deadline_s)
                    battle.run()
                    if battle.is_out_of_time():
                        raise Unfinished(f"time is up; it goes on with --resume {directory}")
                    progress.is_over = True
                    progress.save()
                say("All is written and struck; waiting until the system is at rest")
                _await_rest(watch, directory)
                if not watch.offset_checks:
                    progress.offsets_ahead.append("the group's offsets were never answered: not checked")
            finally:
                progress.offsets_ahead += watch.offsets_ahead
                progress.seconds = before_s + time.monotonic() - began_s
                progress.save()
        report = _judged(system, progress, say)
    progress.seconds = before_s + time.monotonic() - began_s
    progress.save()
    (directory / "report.json").write_text(json.dumps(report.as_json(), indent=2))
    (directory / "report.txt").write_text(as_text(report) + "\n")
    if system.disk:
        system.disk.remove()
    return report


def _await_rest(watch: Watch, directory: Path) -> None:
    watch.ask_for_rest()
    try:
        wait_until(watch.is_done, "all work is done", timeout_s=DRAIN_S, every_s=1)
    except NotInTime as error:
        raise NotInTime(f"{error} ({watch.describe()}); it goes on with --resume {directory}") from error


def _judged(system: System, progress: Progress, say: Say) -> Report:
    received = counts(system.layout.receiver)
    system.supervisor.close()
    say("Recomputing everything from what lies on `inputs`")
    judgement = judge(
        system.inside, progress.directory, programs(), UNTIL,
        received_counts=received, offsets_ahead=progress.offsets_ahead,
        broken=outages(progress.felt, progress.stops),
    )  # fmt: skip
    return Report(progress, judgement, received)


@contextmanager
def _claimed(directory: Path) -> Iterator[None]:
    """Two runs on one directory would end each other's servers. Raises `AlreadyRunningError`."""
    claim = Claim(directory)
    try:
        yield
    finally:
        claim.release()
