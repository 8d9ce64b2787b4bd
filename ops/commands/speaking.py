"""What the commands share that say something of one cashback: when it is now, and waiting for what comes."""

import time
from collections.abc import Callable
from typing import TypeVar

import psycopg

from ops.settings import Settings
from ops.why.log import LogReader
from schemas.clock import clock_of
from schemas.times import Micros
from schemas.topics import INPUTS, WORKER_GROUP
from sinks.places.references import find, reference

BOOKED_S_MAX = 15.0
LOOK_EVERY_S = 0.05

Found = TypeVar("Found")


def now_of_log(
    connection: psycopg.Connection,
    settings: Settings,
    *,
    livemode: bool,
    partner_id: str,
    external_id: str,
    otherwise: Micros,
) -> Micros:
    """The present; where history is loaded, that is where the log's clock stands, and it is not moved."""
    if settings.clock == "broker":
        return time.time_ns() // 1_000
    topic = INPUTS.full_name(settings.topic_prefix)
    digest = reference(livemode, partner_id, external_id)
    partitions = {place.partition for place in find(connection, [digest], [topic])}
    with LogReader(settings.brokers, settings.topic_prefix + WORKER_GROUP) as log:
        stamps = [clock_of(headers) for headers in log.last_headers(topic, partitions)]
    return max((stamp for stamp in stamps if stamp is not None), default=otherwise)


def seen_in_time(look: Callable[[], Found | None]) -> Found | None:
    """What `look` finds within some seconds, or None."""
    until_s = time.monotonic() + BOOKED_S_MAX
    while (found := look()) is None and time.monotonic() < until_s:
        time.sleep(LOOK_EVERY_S)
    return found
