"""`cashback load`."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from connectors.files import BadLine, FileRefused, RecordFile, open_entitlements, open_transactions
from connectors.writer import InputsWriter
from ops.cli import EXIT_BAD_LINES
from ops.commands.listing import counted
from ops.commands.load_progress import LoadProgress
from ops.commands.options import AsJsonAtEnd, Brokers
from ops.programs.plan import Refused
from ops.programs.publish import prepare
from ops.reachable import kafka_here
from ops.settings import Settings
from schemas.errors import Rejected
from schemas.program_files import read_programs
from schemas.programs import ProgramSpec
from schemas.times import DAY, MINUTE, Micros, from_datetime, from_iso, to_iso
from schemas.transactions import Transaction

_LINES_A_REPORT = 1_000

Record = TypeVar("Record")


@dataclass
class Loaded:
    """What a load did; `until` is where the clock was left (clock=event), ISO 8601.

    `lines` and `bad` are of all files, `loaded` counts transactions. `too_old` of them the stream sets aside
    (clock=broker), unless they came before.
    """

    files: list[str] = field(default_factory=list)
    lines: int = 0
    loaded: int = 0
    bad: int = 0
    too_old: int = 0
    programs: int = 0
    entitlements: int = 0
    silent: bool = False
    until: str | None = None
    seconds: float = 0.0
    lines_per_s: int = 0


def load(
    files: Annotated[
        list[Path],
        typer.Argument(
            exists=True,
            dir_okay=False,
            readable=True,
            metavar="FILE",
            help="JSON Lines (also gzipped) or Parquet, in this order",
        ),
    ],
    programs: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Publish these programs first (YAML or JSON Lines)"),
    ] = None,
    entitlements: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Then these entitlements (JSON Lines, also gzipped)"),
    ] = None,
    silent: Annotated[
        bool, typer.Option("--silent", help="It is history: book what it leads to, send no webhook of it")
    ] = False,
    until: Annotated[
        str | None, typer.Option(help="Move the clock to this time at the end (ISO 8601; clock=event)")
    ] = None,
    as_json: AsJsonAtEnd = False,
    brokers: Brokers = None,
) -> None:
    """Load files of transactions into the input log.

    Bad lines are reported with file, number and reason; the rest is loaded;
    the exit code is 3.

    Programs and entitlements are written before the transactions: a
    purchase is judged once, by what is known then.

    To load a file twice does no harm: what is known is recognised.
    """
    settings = kafka_here(brokers=brokers)
    end = _end(until, settings)
    specs = _programs_to_publish(programs, settings)
    given = [(entitlements, open_entitlements(entitlements))] if entitlements else []
    loaded = Loaded(files=[str(path) for path in files], programs=len(specs), silent=silent)
    began_s = time.monotonic()
    with LoadProgress() as progress, InputsWriter(settings, silent=silent) as writer:
        writer.write_programs(specs)
        for path, source in given:
            progress.begin(path)
            loaded.entitlements = _write_lines(path, source, writer.write_entitlement, loaded, progress)
        for path in files:
            _load_file(path, _minding_time(writer.write, loaded, settings), loaded, progress)
        progress.say_flushing()
        if settings.clock == "event" and (end or writer.clock_at):
            writer.tick(max(end, writer.clock_at))
            loaded.until = to_iso(writer.clock_at)
        writer.flush()
    loaded.seconds = round(time.monotonic() - began_s, 3)
    loaded.lines_per_s = round(loaded.lines / max(loaded.seconds, 0.001))
    _conclude(loaded, settings, as_json=as_json)


def _end(until: str | None, settings: Settings) -> Micros:
    if until is None:
        return 0
    if settings.clock != "event":
        raise typer.BadParameter(
            "the clock is the brokers' time here and cannot be moved; leave --until out, "
            "or start the system with `cashback up --clock event`",
            param_hint="--until",
        )
    try:
        return from_iso(until, "--until")
    except Rejected as error:
        raise typer.BadParameter(str(error)) from None


def _programs_to_publish(path: Path | None, settings: Settings) -> list[ProgramSpec]:
    if path is None:
        return []
    read = read_programs(path)
    wrong = [str(fault) for fault in read.faults]
    steps = [] if wrong else prepare(settings, read.programs, now=0)
    for step, line_of in zip(steps, read.lines, strict=False):
        if isinstance(step, Refused):
            wrong.append(f"{path}:{line_of(step.reason.field)}: {step.reason}")
    for said in wrong:
        typer.echo(said, err=True)
    if wrong:
        # Payments are judged once: without its program they would go unrewarded for good.
        typer.echo(f"nothing was loaded: correct the programs in {path} first", err=True)
        raise typer.Exit(EXIT_BAD_LINES)
    return read.programs


def _minding_time(
    write: Callable[[Transaction], None], loaded: Loaded, settings: Settings
) -> Callable[[Transaction], None]:
    """Counts what the stream will find too old: it says so in the quarantine, where nobody looks at once.

    With clock=event refuses what lies ahead: one such line would move the clock there for good, and all
    that is remembered would be forgotten.
    """
    now = from_datetime(datetime.now(UTC))
    oldest, newest = now - settings.max_age_days * DAY, now + settings.max_skew_minutes * MINUTE

    def write_unless_ahead(transaction: Transaction) -> None:
        if transaction.occurred_at > newest:
            problem = f"{to_iso(transaction.occurred_at)} lies in the future"
            raise Rejected("occurred_at", problem, "set the sender's clock right")
        write(transaction)

    def write_and_note(transaction: Transaction) -> None:
        loaded.too_old += transaction.occurred_at < oldest
        write(transaction)

    return write_unless_ahead if settings.clock == "event" else write_and_note


def _load_file(
    path: Path, write: Callable[[Transaction], None], loaded: Loaded, progress: LoadProgress
) -> None:
    try:
        source = open_transactions(path)
    except FileRefused as error:
        loaded.bad += 1
        progress.complain(str(error))
        return
    progress.begin(path)
    loaded.loaded += _write_lines(path, source, write, loaded, progress)


def _write_lines(
    path: Path,
    source: RecordFile[Record],
    write: Callable[[Record], None],
    loaded: Loaded,
    progress: LoadProgress,
) -> int:
    """How many lines of a file were written."""
    written = 0
    for line in source.lines():
        loaded.lines += 1
        if not isinstance(line, BadLine):
            try:
                write(line)
                written += 1
            except Rejected as reason:
                line = BadLine(source.line, reason)
        if isinstance(line, BadLine):
            loaded.bad += 1
            progress.complain(f"{path}:{line.line}: {line.reason}")
        if loaded.lines % _LINES_A_REPORT == 0:
            progress.report(loaded.lines, source.fraction())
    progress.report(loaded.lines, 1.0)
    return written


def _conclude(loaded: Loaded, settings: Settings, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(asdict(loaded)))
    else:
        clock = f"; what happened in them goes up to {loaded.until}" if loaded.until else ""
        entitlements = f" and {counted(loaded.entitlements, 'entitlement')}" if loaded.entitlements else ""
        silently = " silently" if loaded.silent else ""
        bad = f", {loaded.bad:,} bad" if loaded.bad else ""
        typer.echo(
            f"{counted(loaded.loaded, 'transaction')}{entitlements} loaded{silently}{bad} "
            f"in {loaded.seconds:.1f} s ({loaded.lines_per_s:,} lines/s){clock}"
        )
    if loaded.too_old:
        typer.echo(_about_age(loaded.too_old, settings.max_age_days), err=True)
    if loaded.bad:
        raise typer.Exit(EXIT_BAD_LINES)


def _about_age(too_old: int, max_age_days: int) -> str:
    return (
        f"warning: {too_old:,} of them are older than {max_age_days} days and go to the quarantine, unless "
        "they came before; history needs a system started with `cashback up --clock event`, "
        "or with a larger CASHBACK_MAX_AGE_DAYS"
    )
