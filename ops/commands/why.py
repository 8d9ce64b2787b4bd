"""`cashback why`."""

import json
from shutil import get_terminal_size
from typing import Annotated

import typer

from ops.commands.options import AsJson, Brokers, Database
from ops.plain import printable
from ops.running import settings_here
from ops.why.finding import Asked, facts_of
from ops.why.life import life_of
from ops.why.text import as_json as json_of
from ops.why.text import lines

_PIPE_WIDTH = 120


def why(
    partner_id: Annotated[str, typer.Argument(metavar="PARTNER", help="The partner who sent the payment")],
    external_id: Annotated[
        str, typer.Argument(metavar="EXTERNAL_ID", help="The partner's id of the purchase")
    ],
    member: Annotated[str | None, typer.Option(help="Only this member's, should several have one")] = None,
    test: Annotated[bool, typer.Option("--test", help="A test payment")] = False,
    as_json: AsJson = False,
    brokers: Brokers = None,
    database: Database = None,
) -> None:
    """Tell the life of one payment: what came in, what each program said and why, what was booked and told.

    Exit code 1 when nothing is known of it.
    """
    settings = settings_here(brokers=brokers, database_url=database)
    asked = Asked(partner_id, external_id, livemode=not test, member_id=member)
    lives = [life_of(facts) for facts in facts_of(asked, settings)]
    if as_json:
        typer.echo(json.dumps(json_of(lives)))
        return
    for line in lines(lives, width=get_terminal_size((_PIPE_WIDTH, 0)).columns):
        typer.echo(printable(line))
