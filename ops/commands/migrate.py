"""`cashback migrate`."""

from typing import Annotated

import typer

from ops.running import settings_here


def migrate(
    database: Annotated[str | None, typer.Option(help="PostgreSQL to migrate (URL)")] = None,
) -> None:
    """Bring the tables of the ledger and the webhooks up to date; a second run changes nothing."""
    from sinks.migrations import upgrade

    upgrade(settings_here(database_url=database).database_url)
    typer.echo("the tables are up to date")
