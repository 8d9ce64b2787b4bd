"""`cashback partitions`."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from ops.commands.options import AsJsonAtEnd, Brokers
from ops.running import settings_here

app = typer.Typer(no_args_is_help=True)


@app.command("rebuild")
def rebuild_command(
    repeat_outputs: Annotated[
        bool,
        typer.Option("--repeat-outputs", help="Where nobody knows what is decided: decide everything again"),
    ] = False,
    as_json: AsJsonAtEnd = False,
    brokers: Brokers = None,
) -> None:
    """Make the workers' state again from the input log, without sending anything. Stop all workers first."""
    from ops.partitions.rebuild import rebuild

    rebuilt = rebuild(
        settings_here(brokers=brokers),
        lambda line: typer.echo(line, err=True),
        repeat_outputs=repeat_outputs,
    )
    if as_json:
        typer.echo(json.dumps({"partitions": [asdict(each) for each in rebuilt]}))


@app.command("grow")
def grow_command(
    to: Annotated[int, typer.Option("--to", min=2, max=1024, help="Partitions of the new log")],
    prefix: Annotated[
        str | None, typer.Option(help="Topic prefix of the new topics; default: the old one and p<N>-")
    ] = None,
    discard: Annotated[
        bool, typer.Option("--discard", help="First delete the new topics of a growing that did not end")
    ] = False,
    as_json: AsJsonAtEnd = False,
    brokers: Brokers = None,
) -> None:
    """Spread the input log over more partitions, in new topics. Stop writers and ticker first."""
    from ops.partitions.grow import grow

    grown = grow(
        settings_here(brokers=brokers),
        to=to,
        prefix=prefix,
        discard=discard,
        say=lambda line: typer.echo(line, err=True),
    )
    if as_json:
        typer.echo(json.dumps(asdict(grown)))
