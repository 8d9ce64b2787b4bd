"""`cashback ledger`."""

import json
from dataclasses import asdict

import typer

from ops.commands.options import AsJson, Database
from ops.commands.sessions import reading_here
from sinks.proof.whole import prove

app = typer.Typer(no_args_is_help=True)


@app.callback()
def ledger() -> None:
    """What is about the ledger as a whole."""


@app.command("verify")
def verify_command(as_json: AsJson = False, database: Database = None) -> None:
    """Prove the books from their first transfer on: every balance, entry, voucher and volume.

    Takes some seconds a million entries, and stops nobody. Exit code 1 naming each that does not agree.
    """
    with reading_here(database, "ledger verify") as connection:
        proof = prove(connection)
    if as_json:
        faults = [asdict(fault) for fault in proof.faults]
        typer.echo(json.dumps({"accounts": proof.accounts, "faults": faults}))
    elif not proof.faults:
        typer.echo(f"{proof.accounts} accounts: every balance is what its transfers say")
    if proof.faults:
        for fault in proof.faults:
            typer.echo(str(fault), err=True)
        raise typer.Exit(1)
