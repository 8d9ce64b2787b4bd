"""`cashback endpoints`."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ops.commands.listing import json_form, mode, print_table
from ops.commands.options import Actor, AsJson, Database, Why
from ops.commands.sessions import database_here
from ops.running import settings_here
from schemas.times import from_datetime, to_iso
from schemas.webhooks import EVENT_TYPES
from sinks.webhooks import endpoints as desk
from sinks.webhooks.endpoints import Endpoint, Listed, Rotated
from sinks.webhooks.signing import Scheme
from sinks.webhooks.terms import (
    BATCH_EVENTS_MAX,
    PER_SECOND_MAX,
    EndpointRefused,
    check_url,
    check_where_it_leads,
)
from sinks.webhooks.trial import send_test

app = typer.Typer(no_args_is_help=True)

Number = Annotated[int, typer.Argument(metavar="ENDPOINT", help="Its number, as `list` shows it")]
SecretFile = Annotated[
    Path | None,
    typer.Option(
        help="Take the secret (whsec_… or whsk_…) from this file, - from standard input; else a random one"
    ),
]


@app.command("add")
def add_command(
    url: Annotated[str, typer.Argument(metavar="URL", help="https://…, port 443 or 8443")],
    partner: Annotated[str, typer.Option(help="Whose events are sent")],
    actor: Actor,
    reason: Why,
    event: Annotated[
        list[str] | None, typer.Option(help="An event type; may be given again; else all three")
    ] = None,
    per_second: Annotated[
        int | None, typer.Option(help=f"Requests a second at most, up to {PER_SECOND_MAX}; else unbounded")
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(
            help=f'1 to {BATCH_EVENTS_MAX} events a request, always as {{"events":[…]}}; else one, bare'
        ),
    ] = None,
    is_test: Annotated[
        bool, typer.Option("--test/--live", help="For events of tests, or of real money")
    ] = False,
    scheme: Annotated[
        Scheme | None,
        typer.Option(help="The partner gets a secret or a public key; else by --secret-file, or hmac-sha256"),
    ] = None,
    secret_file: SecretFile = None,
    as_json: AsJson = False,
    database: Database = None,
) -> None:
    """Register an endpoint. Hand to the partner what is shown: the secret, this once, or the public key."""
    settings = settings_here(database_url=database)
    allow_loopback = settings.webhook_allow_loopback
    check_url(url, allow_loopback=allow_loopback)
    if not check_where_it_leads(url, allow_loopback=allow_loopback):
        typer.echo("the name of the URL does not resolve now: deliveries fail until it does", err=True)
    made = desk.register(
        settings.database_url,
        partner_id=partner,
        livemode=not is_test,
        url=url,
        event_types=tuple(event) if event else tuple(EVENT_TYPES.values()),
        scheme=scheme,
        secret=_secret(secret_file),
        per_second_max=per_second,
        batch_max=batch,
        allow_loopback=allow_loopback,
        actor=actor,
        reason=reason,
    )
    if as_json:
        typer.echo(json.dumps(asdict(made)))
        return
    typer.echo(f"endpoint {made.endpoint_id}: {made.url}\n{_to_hand_over(made)}")


@app.command("list")
def list_command(
    partner: Annotated[str | None, typer.Option(help="Only those of this partner")] = None,
    as_json: AsJson = False,
    database: Database = None,
) -> None:
    """List endpoints: where they lead, what they get, how they are. Never their secrets."""
    found = desk.endpoints(database_here(database), partner_id=partner)
    if as_json:
        typer.echo(json.dumps({"endpoints": [json_form(each) for each in found]}))
        return
    columns = ("no", "partner", "mode", "url", "events", "signed", "at most", "queued", "state")
    print_table(columns, map(_cells, found), folded="url")


@app.command("rotate")
def rotate_command(
    endpoint: Number,
    actor: Actor,
    reason: Why,
    at_once: Annotated[
        bool,
        typer.Option(
            "--at-once",
            help="Old ones stop now, being known to others; webhooks fail until the partner has the new one",
        ),
    ] = False,
    scheme: Annotated[
        Scheme | None,
        typer.Option(help="The partner gets a secret, or a public key; else by --secret-file, or as before"),
    ] = None,
    secret_file: SecretFile = None,
    as_json: AsJson = False,
    database: Database = None,
) -> None:
    """Replace the secret, or the key pair. For 24 hours both sign; a new secret is shown once, now."""
    rotated = desk.rotate(
        database_here(database),
        endpoint,
        scheme=scheme,
        secret=_secret(secret_file),
        at_once=at_once,
        actor=actor,
        reason=reason,
    )
    if as_json:
        typer.echo(json.dumps(json_form(rotated)))
        return
    until = (
        f"until {to_iso(from_datetime(rotated.old_until))}; the partner changes over by then"
        if rotated.old_until
        else "no more; webhooks are refused until the partner has the new one"
    )
    typer.echo(f"{_to_hand_over(rotated)}\nthe old one signs {until}")


@app.command("disable")
def disable_command(
    endpoint: Number, actor: Actor, reason: Why, as_json: AsJson = False, database: Database = None
) -> None:
    """Send nothing more there. What is booked meanwhile is sent when it is enabled again."""
    desk.disable(database_here(database), endpoint, actor=actor, reason=reason)
    typer.echo(json.dumps({"endpoint_id": endpoint}) if as_json else f"endpoint {endpoint} is disabled")


@app.command("enable")
def enable_command(
    endpoint: Number, actor: Actor, reason: Why, as_json: AsJson = False, database: Database = None
) -> None:
    """Send there again, first what it missed."""
    url = database_here(database)
    missed = desk.enable(url, endpoint, actor=actor, reason=reason)
    if as_json:
        typer.echo(json.dumps({"endpoint_id": endpoint, "missed": missed}))
        return
    if missed is None:
        typer.echo(f"endpoint {endpoint} was enabled already; nothing changed")
        return
    typer.echo(f"endpoint {endpoint} is enabled; {missed} messages that it missed are queued")


@app.command("test")
def try_command(
    endpoint: Number,
    actor: Actor,
    reason: Why = "a test event",
    as_json: AsJson = False,
    database: Database = None,
) -> None:
    """Send a signed event of type endpoint.test, and show what comes back. Exit code 1 unless it is a 2xx."""
    trial = send_test(settings_here(database_url=database), endpoint, actor=actor, reason=reason)
    answer = trial.answer
    said = {
        "event_id": trial.event_id,
        "body": trial.body.decode(),
        "status": answer.status,
        "latency_ms": round(answer.latency_us / 1_000, 1),
        "error": answer.error,
        "response": (answer.response or b"").decode("utf-8", "backslashreplace"),
    }
    if as_json:
        typer.echo(json.dumps(said))
    else:
        begun = "sent" if answer.status is not None else "tried to send"
        outcome = f"status {answer.status}" if answer.error is None else answer.error
        lines = (
            f"{begun} {said['body']}",
            f"{outcome} (after {said['latency_ms']} ms)",
            str(said["response"]),
        )
        typer.echo("\n".join(lines).rstrip())
    if not trial.succeeded:
        raise typer.Exit(1)


def _to_hand_over(made: Endpoint | Rotated) -> str:
    return f"public key: {made.public_key}" if made.public_key else f"secret (shown this once): {made.secret}"


def _secret(file: Path | None) -> str | None:
    if file is None:
        return None
    try:
        return (sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")).strip()
    except (OSError, UnicodeDecodeError) as error:
        # Not its name: it may be the secret itself, given in place of a file.
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise EndpointRefused(f"secret_file: {reason}; name a readable file that holds the secret") from None


def _cells(each: Listed) -> tuple[str, ...]:
    types = " ".join(kind.removeprefix("cashback.") for kind in each.event_types)
    return (
        str(each.endpoint_id),
        each.partner_id,
        mode(each.livemode),
        each.url,
        types,
        Scheme.ED25519 if each.public_key else Scheme.HMAC_SHA256,
        _bounds(each),
        str(each.queued),
        _state(each),
    )


def _bounds(each: Listed) -> str:
    a_second = f"{each.per_second_max} a second" if each.per_second_max else ""
    a_request = f"{each.batch_max} a request" if each.batch_max else ""
    return ", ".join(filter(None, (a_request, a_second))) or "-"


def _state(each: Listed) -> str:
    if each.disabled_at is not None:
        return f"disabled {to_iso(from_datetime(each.disabled_at))[:16]}: {each.disabled_reason}"
    if each.failing_since is not None:
        return f"fails since {to_iso(from_datetime(each.failing_since))[:16]}"
    return "the old one signs too" if each.old_secret_until is not None else "enabled"
