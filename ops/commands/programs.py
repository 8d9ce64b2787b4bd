"""`cashback programs`."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.table import Table

from ops.cli import EXIT_BAD_LINES, explained
from ops.commands.options import AsJson
from ops.plain import print_plain
from ops.programs import words
from ops.programs.catalogue import Published, present, read_catalogue
from ops.programs.lint.file import Place, lint_file
from ops.programs.lint.findings import Severity
from ops.programs.plan import Added, Refused, Step
from ops.programs.publish import prepare, publish
from ops.programs.tables import catalogue_table, steps_table
from ops.programs.timeline import Span, by_program, takes_force_by
from ops.reachable import kafka_here
from schemas.errors import Rejected
from schemas.program_files import ProgramFile, read_programs, to_yaml
from schemas.times import Micros, from_iso, to_iso

EXIT_ANSWER = 1
"""It is refused, it differs, there is something to look at."""
EXIT_TROUBLE = 2
"""Where 1 is an answer: it could not be found out."""

_COLOURS = {
    "-": typer.colors.RED,
    "+": typer.colors.GREEN,
    Severity.ERROR: typer.colors.RED,
    Severity.WARNING: typer.colors.YELLOW,
    Severity.INFO: typer.colors.CYAN,
}

app = typer.Typer(no_args_is_help=True)

File = Annotated[
    Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="YAML list or JSON Lines")
]
Brokers = Annotated[str | None, typer.Option(help="Kafka to ask (host:port,…)")]
At = Annotated[str | None, typer.Option("--at", help="As of this time instead of now (ISO 8601)")]


@app.command("apply")
def apply_command(
    file: File,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and do nothing")
    ] = False,
    as_json: AsJson = False,
    brokers: Brokers = None,
) -> None:
    """Publish the new versions of a file: into every partition of the input log, then into the catalogue.

    All of it is checked first; if anything is wrong, nothing is applied. What is published already is left as
    it is, so a second try after a failure does no harm.

    Exit codes: 0 done, 1 refused or failed, 3 wrong programs in the file.
    """
    settings = kafka_here(brokers=brokers)
    found = _readable(file)
    steps = prepare(settings, found.programs, present(settings))
    refused = any(isinstance(step, Refused) for step in steps)
    written = not (dry_run or refused) and any(isinstance(step, Added) for step in steps)
    partitions = publish(settings, steps) if written else 0
    if as_json:
        _json(
            dry_run=dry_run,
            applied=written,
            partitions=partitions,
            programs=[
                words.step_json(step, line_of("version"))
                for step, line_of in zip(steps, found.lines, strict=True)
            ],
        )
    else:
        _print(steps_table(steps))
        typer.echo(words.summary(steps, partitions, written=written))
    _say_refused_and_late(file, found, steps)
    if refused:
        typer.echo("nothing was applied", err=True)
        raise typer.Exit(EXIT_ANSWER)


@app.command("show")
def show_command(
    program_id: Annotated[str | None, typer.Argument(help="One program, in the form of a file")] = None,
    version: Annotated[int | None, typer.Option("--version", help="Only this version of it")] = None,
    at: At = None,
    as_json: AsJson = False,
    brokers: Brokers = None,
) -> None:
    """Show the published programs, and which versions are in force, coming or past."""
    if version is not None and program_id is None:
        raise typer.BadParameter("name the program whose version it is", param_hint="--version")
    settings = kafka_here(brokers=brokers)
    time = _time(at)
    published = read_catalogue(settings)
    _say_contested(published)
    now = present(settings) if time is None else time
    timelines = _chosen(by_program(published.programs), program_id, version)
    if as_json:
        spans = [words.span_json(span, now) for spans in timelines.values() for span in spans]
        _json(at=to_iso(now), programs=spans)
    elif program_id is None:
        _print(catalogue_table(timelines, now))
        versions = sum(len(spans) for spans in timelines.values())
        typer.echo(f"{words.number(len(timelines), 'program')}, {words.number(versions, 'version')}")
    else:
        for span in timelines[program_id]:
            typer.echo(f"# version {span.spec.version}: {words.span(span, now)}")
            typer.echo(to_yaml([span.spec]), nl=False)


@app.command("diff")
def diff_command(file: File, as_json: AsJson = False, brokers: Brokers = None) -> None:
    """Show what applying a file would change, field by field against the version that is replaced.

    Exit codes: 0 nothing, 1 something, 2 it could not be found out, 3 wrong programs in the file.
    """
    with _failures_apart():
        settings = kafka_here(brokers=brokers)
        found = _readable(file)
        steps = prepare(settings, found.programs, present(settings))
    if as_json:
        _json(
            programs=[
                words.step_json(step, line_of("version")) | {"differences": words.changed(step)}
                for step, line_of in zip(steps, found.lines, strict=True)
            ]
        )
    else:
        for step, line_of in zip(steps, found.lines, strict=True):
            for line in words.comparison(step, f"{file}:{line_of('version')}"):
                typer.secho(line, fg=_COLOURS.get(line[:1]), bold=line[:3] in ("---", "+++"))
    if any(isinstance(step, Added | Refused) for step in steps):
        raise typer.Exit(EXIT_ANSWER)


@app.command("lint")
def lint_command(
    file: File,
    against_published: Annotated[
        bool, typer.Option("--published", help="Look at them beside the published programs too (asks Kafka)")
    ] = False,
    at: At = None,
    as_json: AsJson = False,
    brokers: Brokers = None,
) -> None:
    """Say what is allowed in a program file and hardly meant, each with a code and a remedy.

    Exit codes: 0 nothing but info, 1 errors or warnings, 2 it could not be found out.
    """
    with _failures_apart():
        settings = kafka_here(brokers=brokers)
        published = read_catalogue(settings).programs if against_published else []
        clock = settings if against_published else settings.model_copy(update={"clock": "broker"})
        time = _time(at)
        found = lint_file(
            read_programs(file), at=present(clock) if time is None else time, published=published
        )
    counts = Counter(place.finding.severity for place in found)
    if as_json:
        totals = {f"{severity}s": counts[severity] for severity in Severity}
        _json(findings=[place.to_json() for place in found], **totals)
    else:
        for place in found:
            _say_finding(file, place)
        said = [words.number(counts[severity], severity) for severity in Severity if counts[severity]]
        typer.echo(", ".join(said) or "nothing to say")
    if counts[Severity.ERROR] or counts[Severity.WARNING]:
        raise typer.Exit(EXIT_ANSWER)


@contextmanager
def _failures_apart() -> Iterator[None]:
    """Ends with 2 on what `cashback` would end with 1 on: where 1 is an answer, as with diff and grep."""
    try:
        yield
    except Exception as error:
        said = explained(error)
        if said is None:
            raise
        typer.echo(f"error: {said}", err=True)
        raise typer.Exit(EXIT_TROUBLE) from error


def _readable(file: Path) -> ProgramFile:
    found = read_programs(file)
    for fault in found.faults:
        typer.echo(str(fault), err=True)
    if not found.faults and not found.programs:
        typer.echo(f"{file}: holds no program", err=True)
    if found.faults or not found.programs:
        typer.echo(f"nothing was done: correct {file} first", err=True)
        raise typer.Exit(EXIT_BAD_LINES)
    return found


def _time(at: str | None) -> Micros | None:
    try:
        return None if at is None else from_iso(at, "--at")
    except Rejected as error:
        raise typer.BadParameter(str(error)) from None


def _chosen(
    timelines: dict[str, list[Span]], program_id: str | None, version: int | None
) -> dict[str, list[Span]]:
    if program_id is None:
        return timelines
    if program_id not in timelines:
        _fail(f"there is no program {program_id}; `cashback programs show` lists them all")
    spans = timelines[program_id]
    if version is None:
        return {program_id: spans}
    if not (found := [span for span in spans if span.spec.version == version]):
        known = ", ".join(str(span.spec.version) for span in spans)
        _fail(f"there is no version {version} of {program_id}; published: {known}")
    return {program_id: found}


def _fail(said: str) -> NoReturn:
    typer.echo(f"error: {said}", err=True)
    raise typer.Exit(EXIT_ANSWER)


def _say_refused_and_late(file: Path, found: ProgramFile, steps: list[Step]) -> None:
    for step, line_of in zip(steps, found.lines, strict=True):
        if isinstance(step, Refused):
            typer.echo(f"{file}:{line_of(step.reason.field)}: {step.reason}", err=True)
        elif isinstance(step, Added) and step.is_late:
            line = line_of(takes_force_by(step.spec))
            typer.echo(f"{file}:{line}: warning: {words.late(step.spec)}", err=True)


def _say_contested(published: Published) -> None:
    for spec in published.contested:
        typer.echo(
            f"warning: {spec.program_id} version {spec.version} was published with two contents, and "
            "partitions may have taken either; publish a new version",
            err=True,
        )


def _say_finding(file: Path, place: Place) -> None:
    found = place.finding
    typer.echo(f"{file}:{place.line}: ", nl=False)
    typer.secho(f"{found.severity}[{found.code}]", fg=_COLOURS[found.severity], nl=False)
    program = "" if found.program_id is None else f" {found.program_id} v{found.version}"
    typer.echo(f"{program} {found.path}: {found.message}; {found.remedy}")


def _json(**fields: object) -> None:
    typer.echo(json.dumps(fields, ensure_ascii=False))


def _print(table: Table) -> None:
    print_plain(table)
