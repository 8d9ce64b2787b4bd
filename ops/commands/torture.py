"""`cashback torture`."""

import json
import secrets
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from ops.commands.options import AsJsonAtEnd
from ops.settings import get_settings
from ops.torture.faults import Kind
from ops.torture.progress import Plan, Progress
from ops.torture.report import as_text
from ops.torture.run import Options
from ops.torture.run import torture as run_torture
from ops.torture.schedule import apportioned

FAULTS, INPUTS, INPUTS_PER_S = 210, 1_000_000, 600


def torture(
    faults: Annotated[int, typer.Option(min=0, help="How many faults strike")] = FAULTS,
    inputs: Annotated[int, typer.Option(min=1, help="How many inputs are written meanwhile")] = INPUTS,
    rate: Annotated[int, typer.Option(min=10, help="Inputs a second at most")] = INPUTS_PER_S,
    seed: Annotated[int | None, typer.Option(help="Replays the schedule and the inputs of a run")] = None,
    only: Annotated[str | None, typer.Option(help="Kinds, comma separated, or kind*times; none: all")] = None,
    seconds: Annotated[float | None, typer.Option(min=1, help="End after so long; see --resume")] = None,
    data: Annotated[Path | None, typer.Option(help="Directory of this run, empty or new")] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Go on with the run in this directory; its plan stands")
    ] = None,
    as_json: AsJsonAtEnd = False,
) -> None:
    """Beat the whole system while it works, then hold all it did against a recomputation.

    Exit code 1 when anything was lost, doubled or wrong, or a stage took too long to go on.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    settings = get_settings()
    if resume is not None:
        progress = _resumed(resume)
    else:
        chosen = secrets.randbelow(10**6) if seed is None else seed
        plan = Plan(chosen, inputs, rate, _faults(faults, only))
        place = data or settings.home / "torture" / time.strftime("%Y%m%dT%H%M%S")
        progress = _begun(place, plan)
    options = Options(seconds=seconds)
    report = run_torture(progress, settings, options, lambda line: typer.echo(line, err=True))
    typer.echo(as_text(report), err=as_json)
    if as_json:
        typer.echo(json.dumps(report.as_json()))
    if not report.passed:
        raise typer.Exit(1)


def _begun(place: Path, plan: Plan) -> Progress:
    try:
        return Progress.begin(place, plan)
    except FileExistsError:
        raise typer.BadParameter(
            f"{place} holds a run already; go on with --resume, or choose another directory",
            param_hint="--data",
        ) from None


def _resumed(place: Path) -> Progress:
    try:
        return Progress.resume(place)
    except FileNotFoundError:
        raise typer.BadParameter(f"{place} holds no run", param_hint="--resume") from None


def _times(text: str) -> int:
    if not text:
        return 1
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"{text!r} is not how many times; write e.g. worker-killed*3")
    return int(text)


def _faults(faults: int, only: str | None) -> Mapping[Kind, int]:
    if only is None:
        return apportioned(faults)
    try:
        parts = [each.partition("*") for each in only.split(",")]
        named = {Kind(kind.strip()): _times(times) for kind, _, times in parts}
        if any("*" in each for each in only.split(",")):
            return named
    except ValueError as error:
        raise typer.BadParameter(f"{error}; choose of {', '.join(Kind)}", param_hint="--only") from None
    return apportioned(faults, list(named))
