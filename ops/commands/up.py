"""`cashback up`."""

import shlex
import signal
import time
from pathlib import Path
from typing import Annotated, Literal

import typer

from ops.running import default_data
from ops.settings import get_settings
from ops.up import Stack

LOOK_EVERY_S = 0.5


def up(
    brokers: Annotated[
        str | None, typer.Option(help="Use this Kafka (host:port,…) instead of starting one")
    ] = None,
    database: Annotated[
        str | None, typer.Option(help="Use this PostgreSQL (URL) instead of starting one")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Where the started servers keep their data")] = None,
    clock: Annotated[
        Literal["broker", "event"] | None,
        typer.Option(help="broker: real time; event: history carries its own"),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Stream workers to run")] = 1,
) -> None:
    """Run everything on this machine until Ctrl-C; a later start goes on with the same data."""
    settings = get_settings()
    if clock:
        settings = settings.model_copy(update={"clock": clock})
    began_s = time.monotonic()
    stack = Stack(
        settings,
        data or default_data(settings),
        brokers=brokers,
        database=database,
        workers=workers,
        say=_say,
    )
    # SIGINT too: a shell that starts us in the background lets us ignore it.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        stack.start_servers()
        stack.start_processes()
        _say(f"Ready in {time.monotonic() - began_s:.1f} s. Logs: {stack.data / 'logs'}. Ctrl-C stops it.")
        _say(how_to_find(stack.data, default_data(settings)))
        while True:
            stack.look_after_servers()
            time.sleep(LOOK_EVERY_S)
    except KeyboardInterrupt:
        _say("Stopping …")
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _already_stopping)
        stack.stop()
    _say("Stopped; the data stays.")


def how_to_find(data: Path, default: Path) -> str:
    """Commands look in the default directory only."""
    variables = f". {shlex.quote(str(data.resolve() / 'env'))}"
    if data.resolve() == default.resolve():
        return f"Other `cashback` commands find it by themselves; for other programs: {variables}"
    return f"Before other `cashback` commands, in their shell: {variables}"


def _already_stopping(*_: object) -> None:
    _say("already stopping; this takes a few seconds")


def _say(sentence: str) -> None:
    typer.echo(sentence)
