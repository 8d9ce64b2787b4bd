"""`cashback simulation`: made-up histories with crashes and zombies, against the recomputation."""

import json
import signal
from typing import Annotated

import typer

from ops.commands.options import AsJsonAtEnd

EXIT_BROKEN = 1
EXIT_INTERRUPTED = 130


def simulation_command(
    histories: Annotated[int, typer.Option(min=1, help="How many seeds to run")] = 10_000,
    from_seed: Annotated[int, typer.Option(min=0, help="The first of them")] = 0,
    jobs: Annotated[int, typer.Option(min=1, help="Processes")] = 1,
    seed: Annotated[int | None, typer.Option(min=0, help="Replay this one and tell its story")] = None,
    without: Annotated[str, typer.Option(help="With --seed: inputs to leave out, e.g. 3,5")] = "",
    faults: Annotated[int | None, typer.Option(min=0, help="With --seed: at most so many faults")] = None,
    budgets: Annotated[
        bool, typer.Option("--budgets", help="Histories of budgets over partitions, with the keeper, instead")
    ] = False,
    as_json: AsJsonAtEnd = False,
) -> None:
    """Run the stages and the engine on simulated Kafka: crashes, zombies, rebalances, torn transactions.

    A seed is one history and one schedule; it replays exactly. What is published is held against the
    independent recomputation of the input logs. Exit code 1 when a rule is broken.
    """
    if budgets:
        _sweep_budgets(from_seed if seed is None else seed, histories if seed is None else 1, as_json)
        return
    if seed is not None:
        _tell(seed, _numbers(without), faults)
        return
    if without or faults is not None:
        raise typer.BadParameter("belongs to --seed: say which history", param_hint="--without, --faults")
    from ops.simulation.sweep import collect_less, sweep

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    collect_less()
    report = sweep(from_seed, histories, jobs=jobs, say=lambda line: typer.echo(line, err=True))
    figures = report.as_json()
    if as_json:
        typer.echo(json.dumps(figures))
    else:
        for name, count in figures.pop("counts").items():
            typer.echo(f"{count:>12,}  {name}")
        violations = figures.pop("violations")
        typer.echo("  ".join(f"{name} {value:,}" for name, value in figures.items()))
        typer.echo(f"{len(violations)} violations")
    if report.violations:
        raise typer.Exit(EXIT_BROKEN)
    if report.histories < histories:
        raise typer.Exit(EXIT_INTERRUPTED)


def _sweep_budgets(first: int, histories: int, as_json: bool) -> None:
    from ops.simulation.leases import sweep

    counts, violations = sweep(first, histories)
    if as_json:
        typer.echo(json.dumps({"counts": counts, "violations": violations}))
    else:
        for name, count in sorted(counts.items()):
            typer.echo(f"{count:>12,}  {name}")
        for violation in violations:
            typer.echo(violation)
        typer.echo(f"{len(violations)} violations")
    if violations:
        raise typer.Exit(EXIT_BROKEN)


def _numbers(without: str) -> frozenset[int]:
    try:
        return frozenset(int(number) for number in without.split(",") if number)
    except ValueError:
        raise typer.BadParameter(
            f"{without!r} is no list of numbers; write e.g. 3,5", param_hint="--without"
        ) from None


def _tell(seed: int, without: frozenset[int], faults: int | None) -> None:
    """One seed: as it is when parts are left out already, else as small as it goes."""
    from ops.simulation.shrink import Smallest, shrink
    from ops.simulation.story import story
    from ops.simulation.sweep import attempt
    from ops.simulation.world import World

    world = World(seed, without=without, faults=faults, traced=True)
    violation = attempt(world)
    if violation is None:
        typer.echo(story(world))
        typer.echo(f"seed {seed}: all rules hold")
        return
    smallest = None if without or faults is not None else shrink(seed)
    smallest = smallest or Smallest(
        violation, without, world.faults_left if faults is None else faults, world
    )
    typer.echo(story(smallest.world))
    typer.echo(f"{smallest.violation.rule} is broken: {smallest.violation.story}")
    typer.echo(f"again: {smallest.replay}")
    raise typer.Exit(EXIT_BROKEN)
