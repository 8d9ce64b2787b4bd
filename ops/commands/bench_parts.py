"""The benches below `cashback bench`: each measures one thing and ends with one report."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from ops.commands.options import AsJsonAtEnd
from ops.running import settings_here
from ops.settings import get_settings

Brokers = Annotated[str | None, typer.Option(help="Use this Kafka (host:port,…) instead of starting one")]
Database = Annotated[
    str | None, typer.Option(help="Use this PostgreSQL (URL of an empty database) instead of starting one")
]
Only = Annotated[list[str] | None, typer.Option(help="Leave the others out; may be given again")]


def peers(
    records: Annotated[int, typer.Option(min=100_000, help="Records measured in a run")] = 1_000_000,
    slow_records: Annotated[int, typer.Option(min=1_000, help="The same for stock Faust")] = 40_000,
    repeat: Annotated[int, typer.Option(min=1, help="Runs of each; the median CPU counts")] = 3,
    commit_interval_ms: Annotated[int, typer.Option(min=5, max=2_000, help="For each that has one")] = 500,
    only: Only = None,
    brokers: Brokers = None,
    as_json: AsJsonAtEnd = False,
) -> None:
    """Measure the engine beside Kafka Streams, Quix Streams, stock Faust and a bare loop at one same step."""
    from ops.bench.peers.run import Plan, bench_peers

    plan = Plan(records, slow_records, repeat, commit_interval_ms, only=tuple(only or ()), brokers=brokers)
    _end_with(bench_peers(plan, get_settings(), say=_say).as_json(), as_json)


def latency(
    per_s: Annotated[int, typer.Option(min=10, help="Payments a second")] = 5_000,
    seconds: Annotated[int, typer.Option(min=1, help="For so long, after a warm-up")] = 30,
    brokers: Brokers = None,
    database: Database = None,
    as_json: AsJsonAtEnd = False,
) -> None:
    """Measure how long payments take to the ledger, all of it running on this machine."""
    from ops.bench.latency import Plan, bench_latency

    plan = Plan(per_s, seconds, brokers=brokers, database=database)
    with tempfile.TemporaryDirectory(prefix="cashback-bench-") as directory:
        report = bench_latency(plan, get_settings(), Path(directory) / "data", say=_say)
    _end_with(report.as_json(), as_json)


def scaling(
    workers: Annotated[str, typer.Option(help="Numbers of workers, comma separated")] = "1,2",
    inputs: Annotated[int, typer.Option(min=10_000, help="Records of the input log")] = 300_000,
    brokers: Brokers = None,
    as_json: AsJsonAtEnd = False,
) -> None:
    """Measure one worker and several over the same inputs."""
    from ops.bench.scaling import bench_scaling

    try:
        numbers = tuple(int(each) for each in workers.split(","))
    except ValueError:
        raise typer.BadParameter(f"--workers {workers}: give numbers, as in 1,2") from None
    _end_with(bench_scaling(numbers, inputs, get_settings(), brokers=brokers, say=_say), as_json)


def control(
    seed: Annotated[int, typer.Option(help="Decides when and whom the strikes hit")] = 7,
    per_s: Annotated[int, typer.Option(min=1, help="Payments a second")] = 300,
    seconds: Annotated[int, typer.Option(min=20, help="How long payments flow")] = 60,
    kills: Annotated[int, typer.Option(min=0, help="kill -9 of one of two workers")] = 4,
    zombies: Annotated[int, typer.Option(min=0, help="Workers stopped beyond their session, then woken")] = 1,
    only: Only = None,
    brokers: Brokers = None,
    as_json: AsJsonAtEnd = False,
) -> None:
    """Strike the engine and stock Faust alike, and count what each lost, doubled and miscounted."""
    from ops.bench.peers.control import Plan, bench_control

    plan = Plan(per_s, seconds, kills, zombies, seed=seed, only=tuple(only or ()), brokers=brokers)
    _end_with(bench_control(plan, get_settings(), say=_say), as_json)


def state(
    few: Annotated[
        int, typer.Option(min=1_000, help="Open holds beside which an input is measured")
    ] = 10_000,
    many: Annotated[int, typer.Option(min=10_000, help="The same, many")] = 1_000_000,
    rounds: Annotated[int, typer.Option(min=3, help="Of 2 000 inputs each; the median counts")] = 15,
    brokers: Brokers = None,
    as_json: AsJsonAtEnd = False,
) -> None:
    """Measure both state stores: rows a gigabyte, rows restored a second, an input beside many open holds."""
    from ops.bench.state import Plan, bench_state

    with tempfile.TemporaryDirectory(prefix="cashback-bench-") as directory:
        plan = Plan(few, many, rounds, brokers=brokers)
        report = bench_state(plan, get_settings(), Path(directory), say=_say)
    _end_with(report, as_json)


def programs(
    inputs: Annotated[int, typer.Option(min=10_000, help="Records of the input log")] = 300_000,
    repeat: Annotated[int, typer.Option(min=1, help="Pairs of runs; the median ratio counts")] = 3,
    brokers: Brokers = None,
    as_json: AsJsonAtEnd = False,
) -> None:
    """Measure one worker with a hundred programs of all types beside the same with one campaign."""
    from ops.bench.programs import bench_programs

    _end_with(bench_programs(inputs, repeat, get_settings(), brokers=brokers, say=_say), as_json)


def why(
    lookups: Annotated[int, typer.Option(min=1, max=10_000, help="Payments to look up")] = 50,
    brokers: Brokers = None,
    database: Database = None,
    as_json: AsJsonAtEnd = False,
) -> None:
    """Measure `cashback why` on a running system, with the payments that are there."""
    from ops.bench.why import bench_why

    _end_with(bench_why(lookups, settings_here(brokers=brokers, database_url=database), say=_say), as_json)


def webhooks(
    messages: Annotated[int, typer.Option(min=1_000, help="Messages that wait when it starts")] = 60_000,
    per_s: Annotated[int, typer.Option(min=10, help="Messages a second while lateness is measured")] = 400,
    seconds: Annotated[int, typer.Option(min=1, help="For so long, before and after")] = 30,
    hanging: Annotated[int, typer.Option(min=1, help="For so long beside an endpoint that hangs (s)")] = 60,
    pairs: Annotated[int, typer.Option(min=1, help="So often; the median ratio counts")] = 3,
    database: Database = None,
    as_json: AsJsonAtEnd = False,
) -> None:
    """Measure the dispatcher: deliveries a second, how late they come, also beside an endpoint that hangs."""
    from ops.bench.webhooks import Plan, bench_webhooks

    plan = Plan(
        messages=messages, per_s=per_s, seconds=seconds, hanging_s=hanging, pairs=pairs, database=database
    )
    with tempfile.TemporaryDirectory(prefix="cashback-bench-") as directory:
        report = bench_webhooks(plan, get_settings(), Path(directory), say=_say)
    _end_with(report, as_json)


def ledger(
    entries: Annotated[int, typer.Option(min=1_000, help="Entries to post")] = 10_100_000,
    database: Database = None,
    as_json: AsJsonAtEnd = False,
) -> None:
    """Measure how fast the ledger posts, also when it holds a million and ten million entries."""
    from ops.bench.ledger import Plan, bench_ledger

    _end_with(bench_ledger(Plan(entries, database), say=_say), as_json)


COMMANDS: dict[str, Callable[..., None]] = {
    "peers": peers,
    "latency": latency,
    "scaling": scaling,
    "control": control,
    "state": state,
    "programs": programs,
    "why": why,
    "webhooks": webhooks,
    "ledger": ledger,
}


def _say(line: str) -> None:
    typer.echo(line, err=True)


def _end_with(report: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(report))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("figure", "value")
    for name, value in report.items():
        if name != "runs":
            table.add_row(name, json.dumps(value) if isinstance(value, dict | list) else str(value))
    Console().print(table)
