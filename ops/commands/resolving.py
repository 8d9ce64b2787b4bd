"""What the commands share that close quarantined records: refusing what was done before, telling the rest."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import typer

from connectors.quarantine import Resolved
from ops.quarantine.listing import OPEN, status_of
from ops.quarantine.reading import Lying, Resolutions
from schemas.quarantine import Place
from schemas.times import to_iso

Found = dict[Place, Lying]


def require_either(places: Sequence[str] | None, every: bool) -> None:
    """Places or --all, not both and not neither. Raises `BadParameter`."""
    if bool(places) == every:
        raise typer.BadParameter("give either places, or --all")


def done_before(found: Found, resolutions: Resolutions, remedy: str) -> dict[Place, str]:
    """What was done about those that are not open any more, by place, and what to do instead."""
    faults = {}
    for place, lying in found.items():
        if (status := status_of(lying, resolutions)) != OPEN:
            last = resolutions[place][-1]
            faults[place] = (
                f"{status} by {last.actor} at {to_iso(last.resolved_at)} ({last.reason}); {remedy}"
            )
    return faults


def refuse(faults: Mapping[Place, str], *, nothing_is_done: bool) -> None:
    """Tell what is wrong with which places, and end the command if it does nothing for that."""
    for place, why in sorted(faults.items()):
        typer.echo(f"{place}: {why}", err=True)
    if faults and nothing_is_done:
        typer.echo("nothing was done", err=True)
        raise typer.Exit(1)


def conclude(done: Resolved, faults: Mapping[Place, str], *, as_json: bool) -> None:
    """Tell what was done and what was not; exit code 1 for the latter. `faults` were told already."""
    failures = {str(place): why for place, why in sorted({**faults, **done.failures}.items())}
    if as_json:
        resolved = [
            asdict(each) | {"place": str(each.place), "resolved_at": to_iso(each.resolved_at)}
            for each in done.resolutions
        ]
        typer.echo(json.dumps({"resolutions": resolved, "failures": failures}))
    else:
        for each in done.resolutions:
            copy = f", its copy is {each.place.partition}:{each.requeued_offset}"
            typer.echo(
                f"{each.place} {each.action.lower()}{copy if each.requeued_offset is not None else ''}"
            )
        for place, why in sorted(done.failures.items()):
            typer.echo(f"{place}: {why}", err=True)
    if failures:
        raise typer.Exit(1)
