"""The command line `cashback`.

`COMMANDS` names every command with the function behind it. Only the module of the command that runs is
imported, so that `cashback --help` stays quick.
"""

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import typer


@dataclass(frozen=True)
class Command:
    """`target` is ``module:function`` (one command) or ``module:app`` (a Typer with commands of its own)."""

    target: str
    help: str


COMMANDS = {
    "demo": Command("ops.commands.demo:demo", "Watch a real grocery year become cashback"),
    "up": Command("ops.commands.up:up", "Run everything on this machine until Ctrl-C"),
    "load": Command("ops.commands.load:load", "Load files of transactions into the input log"),
    "simulate": Command(
        "ops.commands.simulate:simulate_command", "Judge a history of payments without a broker"
    ),
    "compare": Command(
        "ops.commands.compare:compare", "Try programs on history: who would earn more or less"
    ),
    "simulation": Command(
        "ops.commands.simulation:simulation_command", "Try made-up histories with crashes against the proof"
    ),
    "programs": Command("ops.commands.programs:app", "Apply, show, compare or lint programs"),
    "schemas": Command("ops.commands.schemas:app", "List, lock, check or register the Avro schemas"),
    "bench": Command("ops.commands.bench:app", "Measure how fast it is on this machine"),
    "torture": Command("ops.commands.torture:torture", "Beat the whole system while it works, then prove it"),
    "partitions": Command(
        "ops.commands.partitions:app", "Rebuild the state, or spread the input log over more partitions"
    ),
    "quarantine": Command(
        "ops.commands.quarantine:app", "See what was set aside; write it back, or discard it"
    ),
    "parked": Command(
        "ops.commands.parked:app",
        "See refunds that wait for their purchase; discard them, or wait anew",
    ),
    "why": Command("ops.commands.why:why", "Tell the life of one payment, and why it earned what it did"),
    "revoke": Command("ops.commands.revoke:revoke", "Take a cashback back, with who and why"),
    "reversals": Command("ops.commands.reversals:app", "Decide whether cleared cashbacks are taken back"),
    "reconcile": Command("ops.commands.reconcile:reconcile_command", "Each merchant by day, with proof"),
    "statements": Command("ops.commands.statements:app", "Daily statements of merchants and publishers"),
    "credits": Command("ops.commands.credits:credits_command", "Every credit: basket, by whom, its state"),
    "balance": Command("ops.commands.balance:balance", "What a member or merchant has, or had on a day"),
    "audit": Command(
        "ops.commands.audit:app", "Every manual act: who, what, why; and proof that none is gone"
    ),
    "endpoints": Command(
        "ops.commands.endpoints:app", "Where webhooks go: add, list, rotate, disable, enable, test"
    ),
    "webhooks": Command("ops.commands.webhooks:app", "See what was delivered, and send it again"),
    "budgets": Command("ops.commands.budgets:budgets", "Each budget: granted, left, closed"),
    "ledger": Command("ops.commands.ledger:app", "Prove that balances are what transfers say"),
    "rates": Command("ops.commands.rates:app", "Commission: tiers, and each merchant's rate by month"),
    "vouchers": Command("ops.commands.vouchers:app", "Vouchers for a price from a member's wallet"),
    "migrate": Command("ops.commands.migrate:migrate", "Bring the tables of the database up to date"),
    "topics": Command("ops.commands.topics:topics", "Show, create or check the topics"),
}

# Errors that say in plain words what is wrong and what to do; by name, so that none is imported for it.
EXPECTED = {
    "connectors.budget_requests.RequestsUnusable",
    "connectors.files.FileRefused",
    "connectors.writer.InputsUnavailable",
    "ops.bench.measure.BenchFailed",
    "ops.bench.peers.judge.Unreadable",
    "ops.commands.deciding.ReversalRefused",
    "ops.commands.revoke.NotRevocable",
    "ops.demo.run.PartFailed",
    "ops.embedded.children.StartError",
    "ops.partitions.copying.GrowRefused",
    "ops.partitions.reading.LogUnreadable",
    "ops.partitions.rebuild.RebuildRefused",
    "ops.programs.catalogue.CatalogueUnreadable",
    "ops.programs.publish.PublishedTwice",
    "ops.reachable.KafkaAway",
    "ops.running.AlreadyRunningError",
    "ops.running.DirectoryUnusable",
    "ops.settings.MisspeltSetting",
    "ops.supervisor.NotReadyInTimeError",
    "ops.topics.TopicsDiffer",
    "ops.torture.battle.Abandoned",
    "ops.torture.run.Unfinished",
    "ops.torture.waiting.NotInTime",
    "ops.why.finding.Unknown",
    "ops.why.log.LogUnreadable",
    "schemas.errors.Rejected",
    "schemas.programs.ProgramsRefused",
    "schemas.registry.SchemaLockBroken",
    "schemas.resolve.RegistryAway",
    "schemas.resolve.RegistryRefused",
    "streams.engine.brokers.TopicsUnfit",
    "sinks.books.issuing.NotIssued",
    "sinks.migrations.WrongSchema",
    "sinks.webhooks.terms.EndpointRefused",
}

EXIT_FAILED = 1
EXIT_BAD_LINES = 3
EXIT_INTERRUPTED = 130


def main() -> None:
    """Entry point. Exit codes: 0 done, 1 failed, 2 wrong use, 3 loaded with bad lines, 130 interrupted.

    Where 1 is an answer (`programs diff`, `programs lint`), a failure is 2.
    """
    wanted = next((argument for argument in sys.argv[1:] if not argument.startswith("-")), None)
    try:
        build(wanted)()
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except Exception as error:
        said = explained(error)
        if said is None:
            raise
        from ops.logs import redact

        typer.echo(f"error: {redact(said)}", err=True)
        sys.exit(EXIT_FAILED)


def build(wanted: str | None) -> typer.Typer:
    """The application with the real command `wanted`; the others stand there by name and help only."""
    app = typer.Typer(
        help="Cashback as a stream: payments in, exact rewards, a ledger and webhooks out.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_cashback)
    for name, command in COMMANDS.items():
        target = _load(command.target) if name == wanted else _placeholder
        if isinstance(target, typer.Typer):
            app.add_typer(target, name=name, help=command.help)
        else:
            app.command(name, short_help=command.help)(target)
    return app


def _cashback() -> None:
    """Cashback as a stream: payments in, exact rewards, a ledger and webhooks out."""


def _placeholder() -> None:
    raise AssertionError("only the wanted command runs")


def _load(target: str) -> Callable[..., object]:
    module, _, name = target.partition(":")
    loaded: Callable[..., object] = getattr(importlib.import_module(module), name)
    return loaded


def explained(error: Exception) -> str | None:
    """What the user can do about `error`, None for a fault of ours."""
    kinds = {f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__}
    if "pydantic_core._pydantic_core.ValidationError" in kinds and getattr(error, "title", "") == "Settings":
        wrong: list[dict[str, Any]] = error.errors()  # type: ignore[attr-defined]
        return "; ".join(f"CASHBACK_{str(each['loc'][0]).upper()}: {each['msg']}" for each in wrong)
    if "cimpl.KafkaException" in kinds:
        return f"Kafka: {error.args[0].str()}; is it running (`cashback up`), and is --brokers right?"
    if "psycopg.OperationalError" in kinds:
        said = " ".join(str(error).split())
        return (
            f"PostgreSQL: {said}; is it running (`cashback up`), and is --database right? One started with "
            "--data DIR is found after `. DIR/env`"
        )
    return str(error) if kinds & EXPECTED else None


if __name__ == "__main__":
    main()
