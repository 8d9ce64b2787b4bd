"""`cashback schemas`."""

import json
from typing import Annotated, Any

import typer

from ops.commands.options import AsJson
from ops.settings import get_settings
from schemas import lock, resolve
from schemas.codec import CODEC
from schemas.registry import LOCK_FILE, LockedSchema, SchemaLockBroken, read_lock
from schemas.topics import TOPICS

app = typer.Typer(invoke_without_command=True)

RegistryUrl = Annotated[
    str | None, typer.Option("--registry", help="Schema registry (URL); default: the setting registry_url")
]


@app.callback()
def schemas(context: typer.Context, as_json: AsJson = False) -> None:
    """List the Avro records: versions, ids, subjects and topics."""
    if context.invoked_subcommand is None:
        listed = [_row(schema) for schema in read_lock(lock.SCHEMAS)]
        if as_json:
            typer.echo(json.dumps({"schemas": listed, "codec": CODEC}))
        else:
            _show(listed)
            typer.echo(f"codec: {CODEC}")


@app.command("lock")
def lock_command(
    registry: Annotated[
        str | None, typer.Option("--registry", help="Take over the ids this schema registry (URL) gave")
    ] = None,
    unused: Annotated[
        bool, typer.Option("--unused", help="With --registry: nothing was ever written with the ids so far")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Add new versions to the lock file, or take over a registry's ids. Commit the lock file afterwards."""
    if registry:
        with resolve.Registry(registry) as asked:
            ids = resolve.registry_ids(asked, read_lock(lock.SCHEMAS))
        changed = lock.take_over_ids(ids, unused=unused)
    elif unused:
        raise typer.BadParameter("it says what to do with a registry's ids: give --registry too")
    else:
        changed = lock.lock_new_versions()
    if as_json:
        typer.echo(json.dumps({"locked": [_row(schema) for schema in changed]}))
        return
    for schema in changed:
        typer.echo(f"{schema.file_name} has id {schema.schema_id}")
    typer.echo(f"{LOCK_FILE} {'changed: commit it' if changed else 'is up to date'}")


@app.command()
def check(registry: RegistryUrl = None, as_json: AsJson = False) -> None:
    """Compare schema files, lock file and registry; exit 1 if they differ."""
    found = lock.problems() or [
        f"{schema.file_name} is not locked: run `cashback schemas lock`"
        for schema in lock.unlocked_versions()
    ]
    url = registry or get_settings().registry_url
    if url and not found:
        found = _against(url)
    if as_json:
        typer.echo(json.dumps({"problems": found}))
    else:
        for problem in found or ["all versions are locked and fully compatible"]:
            typer.echo(problem)
    if found:
        raise typer.Exit(1)


@app.command()
def register(registry: RegistryUrl = None, as_json: AsJson = False) -> None:
    """Register every locked schema, FULL_TRANSITIVE; exit 1 if the ids given are not the locked ones."""
    url = registry or get_settings().registry_url
    if not url:
        raise typer.BadParameter("no registry: give --registry URL, or set CASHBACK_REGISTRY_URL")
    locked = read_lock(lock.SCHEMAS)
    with resolve.Registry(url) as asked:
        ids = resolve.register(asked, locked)
    differing = [schema for schema in locked if ids[schema.record, schema.version] != schema.schema_id]
    if as_json:
        rows = [_row(schema) | {"registry_id": ids[schema.record, schema.version]} for schema in locked]
        typer.echo(json.dumps({"registered": rows}))
    else:
        typer.echo(f"{len(ids)} schemas registered, {resolve.COMPATIBILITY}")
        for schema in differing:
            given = ids[schema.record, schema.version]
            typer.echo(f"{schema.file_name} has id {given} there and {schema.schema_id} in the lock")
    if differing:
        typer.echo("take its ids over with `cashback schemas lock --registry URL`", err=True)
        raise typer.Exit(1)


def _against(url: str) -> list[str]:
    try:
        agreement = resolve.agree(url, schemas=read_lock(lock.SCHEMAS))
    except SchemaLockBroken as broken:
        return str(broken).split("; ")
    match agreement:
        case resolve.Agreed():
            return []
        case resolve.Away(reason):
            return [reason]


def _row(schema: LockedSchema) -> dict[str, Any]:
    return {
        "record": schema.record,
        "version": schema.version,
        "id": schema.schema_id,
        "former_ids": list(schema.former_ids),
        "subject": schema.subject,
        "topics": [topic.name for topic in TOPICS if schema.record in topic.records],
    }


def _show(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("record", "version", "id")
    for wide in ("subject", "topics"):
        table.add_column(wide, overflow="fold")
    for row in rows:
        ids = ", ".join(str(each) for each in (row["id"], *row["former_ids"]))
        table.add_row(row["record"], str(row["version"]), ids, row["subject"], ", ".join(row["topics"]))
    Console().print(table)
