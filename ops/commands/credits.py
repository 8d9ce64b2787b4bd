"""`cashback credits`."""

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from ops.commands.listing import end_json, form, mode, print_table, write_csv, write_json
from ops.commands.options import AsCsv, AsJson, Database, FromDay, ToDay, days, one_form, one_of
from ops.commands.sessions import reading_here
from ops.why.amounts import figure, second
from sinks.books.credits import STATES, Credit, Wanted, credits_of

SHOWN = 50
_TIMES = ("credited_at", "credited_posted_at", "event_at", "posted_at")
_COLUMNS = tuple("mode" if name == "livemode" else name for name in Credit.__dataclass_fields__)
_TABLE = ("credit", "merchant", "member", "basket", "by", "program", "state", "amount", "at", "posted")


def credits_command(
    partner: Annotated[str | None, typer.Option(help="Only credits of this partner")] = None,
    merchant: Annotated[str | None, typer.Option(help="Only at this merchant")] = None,
    member: Annotated[str | None, typer.Option(help="Only of this member; needs --partner")] = None,
    employee: Annotated[str | None, typer.Option(help="Only those this employee gave, in a store")] = None,
    receipt: Annotated[str | None, typer.Option(help="Only of this receipt, in a store")] = None,
    webhook: Annotated[str | None, typer.Option(help="Only those this webhook brought, online")] = None,
    program: Annotated[str | None, typer.Option(help="Only of this program, any version")] = None,
    state: Annotated[str | None, typer.Option(help="Only PENDING, CLEARED or REVERTED ones")] = None,
    test: Annotated[bool | None, typer.Option("--test/--live", help="Only test or only live ones")] = None,
    first: FromDay = None,
    last: ToDay = None,
    limit: Annotated[int | None, typer.Option(min=1, help="So many at most; 50, with --csv all")] = None,
    after: Annotated[str | None, typer.Option(metavar="CASHBACK_ID", help="Go on behind this one")] = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    database: Database = None,
) -> None:
    """Show every credit: basket, employee or webhook, program, state, amount, time and posting time.

    Newest posted first. Amounts are minor units (XXX: points). --from and --to, inclusive, are days of the
    credit where the merchant is. The next page begins after the last one shown: `next` of --json.
    """
    one_form(as_json=as_json, as_csv=as_csv)
    one_of("--state", state, STATES)
    livemode = None if test is None else not test
    since, until = days(first, last)
    wanted = Wanted(
        partner, merchant, member, employee, receipt, webhook, program, livemode, state, since, until, after
    )
    with reading_here(database, "credits") as connection:
        page = _Page(limit or (None if as_csv else SHOWN))
        rows = page.of(credits_of(connection, wanted, page.size and page.size + 1))
        if as_csv:
            write_csv(_COLUMNS, (form(each, _TIMES) for each in rows))
        elif as_json:
            write_json("credits", (form(each, _TIMES) for each in rows))
            end_json(next=page.next)
        else:
            print_table(_TABLE, [_cells(each) for each in rows], numbers=("basket", "amount"))
            if page.next:
                typer.echo(f"there are more: --after {page.next}")


class _Page:
    """Hands on `size` rows (None: all) and remembers whether there was one more."""

    def __init__(self, size: int | None) -> None:
        self.size = size
        self.next: str | None = None

    def of(self, rows: Iterator[Credit]) -> Iterator[Credit]:
        """Rows up to the page's size; `next` is the last of them when more follow."""
        last: Credit | None = None
        for number, row in enumerate(rows):
            if number == self.size:
                self.next = last.cashback_id if last else None
                return
            yield row
            last = row


def _cells(credit: Credit) -> tuple[Any, ...]:
    who = credit.employee_id or credit.webhook_id or "-"
    basket = "-" if credit.basket_minor is None else figure(credit.basket_minor, "EUR")
    reason = f" {credit.reason}" if credit.reason else ""
    return (
        credit.cashback_id,
        credit.merchant_id + ("" if credit.livemode else f" ({mode(credit.livemode)})"),
        credit.member_id,
        basket,
        who,
        credit.program_id,
        credit.state + reason,
        f"{figure(credit.amount, credit.asset)} {credit.asset}",
        second(credit.credited_at),
        second(credit.credited_posted_at),
    )
