"""`cashback demo`."""

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ops.commands.options import AsJsonAtEnd
from ops.demo.grocer import HOUSEHOLDS_DEFAULT
from ops.demo.report import as_json as figures_of
from ops.demo.report import conclude, describe, introduce
from ops.demo.run import Demo, Options, Outcome
from ops.demo.screen import screen_for
from ops.settings import get_settings

WIDTH_PLAIN = 110
SENTENCE_MAX = 300
"""Characters; what a process said last can be a page."""


def demo(
    households: Annotated[
        str, typer.Option(help="How many of the 2,469 households shop: a number, or all")
    ] = str(HOUSEHOLDS_DEFAULT),
    keep: Annotated[bool, typer.Option("--keep", help="Go on with the data of the last run")] = False,
    seed: Annotated[int, typer.Option(help="Who shops, and what is made up around their baskets")] = 1,
    workers: Annotated[int, typer.Option(min=1, max=4, help="Stream workers to run")] = 1,
    data: Annotated[Path | None, typer.Option(help="Where the demo keeps its data")] = None,
    as_json: AsJsonAtEnd = False,
) -> None:
    """Watch a real grocery year become cashback, with a ledger that proves itself.

    Exit code 1 when the proof or the comparison is not 0.

    `--json`: counts are of this run, proof and differences of all data.
    `tx_per_s`: inputs a second, from the first written to the last judged.
    """
    options = Options(_number(households), seed, keep, workers)
    console = Console(stderr=as_json)
    if not console.is_terminal:
        console.width = max(console.width, WIDTH_PLAIN)
    settings = get_settings()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    outcome = _watched(
        console, Demo(settings, data or settings.home / "demo", options, _saying(console)), options
    )
    if as_json:
        typer.echo(json.dumps(figures_of(outcome)))
    if outcome.proof or outcome.verdict.differences:
        raise typer.Exit(1)


def _watched(console: Console, demo: Demo, options: Options) -> Outcome:
    try:
        with demo:
            introduce(console, keep=options.keep)
            year, made = demo.start()
            describe(console, year, made)
            outcome = demo.run(year, made, screen_for(console))
            conclude(console, outcome, options=options, data=demo.data)
    except KeyboardInterrupt:
        console.print("Stopped; `cashback demo --keep` goes on with what is there.", highlight=False)
        raise
    return outcome


def _number(households: str) -> int | None:
    if households == "all":
        return None
    if households.isascii() and households.isdigit() and int(households) > 0:
        return int(households)
    raise typer.BadParameter(f"{households!r} is neither a number above 0 nor all", param_hint="--households")


def _saying(console: Console) -> Callable[[str], None]:
    def say(sentence: str) -> None:
        if len(sentence) > SENTENCE_MAX:
            sentence = sentence[:SENTENCE_MAX] + " …"
        console.print(sentence, style="dim", highlight=False, markup=False, soft_wrap=True)

    return say
