"""Quarantined records as text and JSON."""

import base64
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import typer

from ops.commands.listing import age_text, print_table
from ops.plain import printable
from ops.quarantine.decoding import decoded
from ops.quarantine.listing import Row

HEX_BYTES = 256
"""Bytes of an unreadable value that are shown."""


def show_rows(rows: Sequence[Row], total: int) -> None:
    """The rows of a list, and what they are of."""
    if not rows:
        typer.echo("nothing waits in the quarantine")
        return
    columns = ("place", "status", "reason", "age", "partner", "member", "message")
    print_table(columns, [_cells(row) for row in rows], folded="message")
    by_reason = Counter(row.reason for row in rows)
    told = ", ".join(f"{count} {reason}" for reason, count in by_reason.most_common())
    shown = f"{len(rows)} of {total}" if total > len(rows) else str(total)
    typer.echo(f"{shown}: {told}; the oldest waits for {age_text(max(row.age_s for row in rows))}")


def show_row(said: Mapping[str, Any], key: bytes, value: bytes, *, as_json: bool) -> None:
    """Everything about one record; `said` is what is known of it beside its bytes."""
    read = decoded(value)
    if as_json:
        content = {"key": key.decode("utf-8", "backslashreplace"), "value": base64.b64encode(value).decode()}
        typer.echo(json.dumps({**said, **content, "fields": read.fields, "unreadable": read.problem}))
        return
    for name, what in said.items():
        if what is not None and not isinstance(what, list):
            _line(name, age_text(what) if name == "age_s" else what)
    _line("key", key.decode("utf-8", "backslashreplace"))
    _line("value", f"{len(value)} bytes")
    _section("fields", [(name, json.dumps(each)) for name, each in read.fields.items() if each is not None])
    if read.problem is not None:
        dots = " …" if len(value) > HEX_BYTES else ""
        _section("unreadable", [("why", read.problem), ("hex", value[:HEX_BYTES].hex() + dots)])
    _section("headers", said.get("headers", ()))
    _section(
        "what was done",
        [
            (
                done["resolved_at"],
                f"{done['action'].lower()} by {done['actor']}: {done['reason']}{_copy(done)}",
            )
            for done in said.get("resolutions", ())
        ],
    )


def _cells(row: Row) -> tuple[str, ...]:
    names = (row.partner_id or "", row.member_id or "")
    return (row.place, row.status, row.reason, age_text(row.age_s), *names, row.message)


def _copy(done: Mapping[str, Any]) -> str:
    if done["requeued_offset"] is None:
        return ""
    return f" (its copy is {done['place'].partition(':')[0]}:{done['requeued_offset']})"


def _section(title: str, lines: Sequence[Sequence[str]]) -> None:
    if lines:
        typer.echo(f"\n{title}")
        for name, what in lines:
            _line(f"  {name}", what)


def _line(name: str, what: object) -> None:
    typer.echo(printable(f"{name:<18} {what}"))
