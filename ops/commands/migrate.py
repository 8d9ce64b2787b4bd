"""`cashback migrate`."""

from typing import Annotated

import typer

from ops.commands.sessions import database_here


def migrate(
    database: Annotated[str | None, typer.Option(help="PostgreSQL to migrate (URL)")] = None,
) -> None:
    """Bring the tables of the ledger and the webhooks up to date; a second run changes nothing."""
    from sinks.migrations import upgrade

    upgrade(database_here(database))
    typer.echo("the tables are up to date")
