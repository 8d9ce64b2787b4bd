"""`cashback bench`, and what else there is to measure below it."""

import json
import signal
from typing import Annotated

import typer

from ops.bench.report import Report
from ops.bench.run import Plan, bench
from ops.commands import bench_parts
from ops.commands.options import AsJsonAtEnd
from ops.settings import get_settings

app = typer.Typer(invoke_without_command=True)


@app.callback()
def bench_command(
    context: typer.Context,
    inputs: Annotated[int, typer.Option(min=1_000, help="Records of the input log")] = Plan.inputs,
    repeat: Annotated[int, typer.Option(min=1, help="Pairs of runs; the median ratio counts")] = Plan.repeat,
    skip_stock: Annotated[bool, typer.Option("--skip-stock", help="Leave stock Faust out")] = False,
    ledger_entries: Annotated[
        int, typer.Option(min=0, help="Entries to post; 0 leaves the ledger out")
    ] = Plan.ledger_entries,
    brokers: Annotated[
        str | None, typer.Option(help="Use this Kafka (host:port,…) instead of starting one")
    ] = None,
    database: Annotated[
        str | None,
        typer.Option(help="Use this PostgreSQL (URL of an empty database) instead of starting one"),
    ] = None,
    as_json: AsJsonAtEnd = False,
) -> None:
    """Measure one worker beside a bare Kafka loop over the same records, stock Faust, and the ledger."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if context.invoked_subcommand is not None:
        return
    plan = Plan(
        inputs=inputs,
        repeat=repeat,
        with_stock=not skip_stock,
        ledger_entries=ledger_entries,
        brokers=brokers,
        database=database,
    )
    report = bench(plan, get_settings(), say=lambda line: typer.echo(line, err=True))
    if as_json:
        typer.echo(json.dumps(report.as_json()))
    else:
        _show(report)


def _show(report: Report) -> None:
    from rich.console import Console
    from rich.table import Table

    figures = report.as_json()
    runs = figures.pop("runs")
    table = Table("figure", "value", title="One worker, median of the pairs of runs")
    for name, value in figures.items():
        table.add_row(name, "not measured" if value is None else f"{value:,}" if name != "python" else value)
    each = Table(*runs[0], title="Pairs of runs")
    for run in runs:
        each.add_row(*(f"{value:,}" for value in run.values()))
    Console().print(table, each)


for _name, _command in bench_parts.COMMANDS.items():
    app.command(_name)(_command)
