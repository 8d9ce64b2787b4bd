"""`cashback up`."""

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
        _say(f"Other `cashback` commands find it by themselves; for other programs: . {stack.data / 'env'}")
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


def _already_stopping(*_: object) -> None:
    _say("already stopping; this takes a few seconds")


def _say(sentence: str) -> None:
    typer.echo(sentence)
