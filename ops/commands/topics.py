"""`cashback topics`."""

import json
from typing import Annotated

import typer

from ops import topics as on_broker
from ops.commands.options import AsJson
from ops.running import settings_here
from ops.settings import Settings
from schemas.topics import TOPICS


def topics(
    create: Annotated[
        bool, typer.Option("--create", help="Create the topics that are missing, then check")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Compare the broker with the registry; exit 1 if they differ")
    ] = False,
    as_json: AsJson = False,
    brokers: Annotated[str | None, typer.Option(help="Kafka to ask (host:port,…)")] = None,
) -> None:
    """Show the topics, create them, or compare the broker with their registry."""
    settings = settings_here(brokers=brokers)
    created = on_broker.create(settings) if create else []
    found = on_broker.differences(settings) if create or check else []
    if as_json:
        typer.echo(json.dumps(_as_json(settings, created, found)))
    else:
        _show(settings, created, found, listing=not (create or check))
    if found:
        raise typer.Exit(1)


def _as_json(settings: Settings, created: list[str], found: list[on_broker.Difference]) -> dict[str, object]:
    return {
        "topics": [
            {
                "name": topic.full_name(settings.topic_prefix),
                "key": topic.key,
                "records": topic.records,
                "owner": topic.owner,
                "purpose": topic.purpose,
                "partitions": on_broker.partitions_of(topic, settings),
                "config": topic.broker_config(),
            }
            for topic in TOPICS
        ],
        "created": created,
        "differences": [vars(difference) for difference in found],
    }


def _show(
    settings: Settings, created: list[str], found: list[on_broker.Difference], *, listing: bool
) -> None:
    if listing:
        for topic in TOPICS:
            name, partitions = (
                topic.full_name(settings.topic_prefix),
                on_broker.partitions_of(topic, settings),
            )
            kept = _kept(topic.cleanup, topic.retention_ms)
            typer.echo(
                f"{name}  ({partitions} partition{'s'[: partitions - 1]}, kept: {kept}, key: {topic.key})"
            )
            typer.echo(f"    {topic.purpose}")
            if topic.records:
                typer.echo(f"    records: {', '.join(topic.records)}")
        return
    for name in created:
        typer.echo(f"created {name}")
    for difference in found:
        typer.echo(str(difference), err=True)
    if not found:
        typer.echo(f"all {len(TOPICS)} topics are as the registry says")


def _kept(cleanup: str, retention_ms: int) -> str:
    if cleanup == "compact":
        return "the last of each key"
    return "for ever" if retention_ms < 0 else f"{retention_ms // 86_400_000} days"
