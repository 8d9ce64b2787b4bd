"""Reads `budget-requests`: what is a request there, and what makes the topic useless."""

from collections.abc import Callable

from confluent_kafka import Consumer, Message

from connectors.budgets import Datum
from ops.settings import Settings
from schemas.codec import decode
from schemas.errors import Rejected, Undecodable
from schemas.registry import locked_schemas
from schemas.topics import BUDGET_GROUP

_KNOWN_IDS = {
    schema_id.to_bytes(4, "big")
    for schema in locked_schemas()
    for schema_id in (schema.schema_id, *schema.former_ids)
}


class RequestsUnusable(Exception):
    """The topic of requests cannot be folded. The message says why and what to do."""


def request_in(message: Message) -> Datum:
    """The request in a record. Whether it is one every reader must find alike.

    Raises `Rejected` when it is none and can be passed over, `RequestsUnusable` when a newer version may have
    written it.
    """
    value = message.value()
    try:
        name, datum = decode(value)
    except Undecodable as error:
        if value is not None and value[:1] == b"\0" and value[1:5] not in _KNOWN_IDS:
            raise RequestsUnusable(
                f"{message.topic()}, offset {message.offset()}: {error}; it may be a request of a newer "
                "version, and without it nobody knows what is left: update the keeper"
            ) from error
        raise
    if name != "BudgetRequest":
        raise Rejected("value", f"a {name}", "send only a BudgetRequest here")
    return datum


def requests_consumer(settings: Settings, *, on_commit: Callable[..., None]) -> Consumer:
    """Reads all requests; its group has no members, only an offset."""
    return Consumer(
        {
            "bootstrap.servers": settings.brokers,
            "group.id": settings.topic_prefix + BUDGET_GROUP,
            "client.id": "cashback-budgets",
            # What was aborted was never asked.
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",
            "enable.partition.eof": True,
            "queued.max.messages.kbytes": 8_192,
            "fetch.wait.max.ms": 100,
            "reconnect.backoff.max.ms": 1_000,
            "allow.auto.create.topics": False,
            "on_commit": on_commit,
            "log_level": 0,
        }
    )
