"""The reference step on stock Faust, as its documentation shows it. `… at_least_once` or `… exactly_once`.

Default settings, but for the web server (off: its port may be taken) and the directory of its files. State
and records travel as bytes, because Faust would decode and encode them as JSON. A further argument is the
session timeout in seconds: by default a worker that died holds up the others for a minute.
"""

import sys
from typing import Any

import faust

from ops.bench.peers.step import PARTITIONS, Place, step_with

TABLE = "members"
_RAW: dict[str, Any] = {
    "key_type": bytes,
    "value_type": bytes,
    "key_serializer": "raw",
    "value_serializer": "raw",
    "partitions": PARTITIONS,
}


def build(place: Place, guarantee: str, session_timeout_s: float | None = None) -> faust.App:
    """The app: one agent, one table, one output."""
    session: dict[str, Any] = {}
    if session_timeout_s is not None:
        session = {
            "broker_session_timeout": session_timeout_s,
            "broker_heartbeat_interval": session_timeout_s / 4,
        }
    app = faust.App(
        place.group,
        broker=f"kafka://{place.brokers}",
        topic_partitions=PARTITIONS,
        processing_guarantee=guarantee,
        web_enabled=False,
        datadir=place.directory,
        **session,
    )
    step = step_with("fastavro")
    outputs = app.topic(place.output_topic, **_RAW)
    members = app.Table(TABLE, key_type=bytes, value_type=bytes, partitions=PARTITIONS)

    @app.agent(app.topic(place.input_topic, **_RAW))
    async def reward(stream: Any) -> None:
        async for event in stream.events():
            row, output = step(event.value, members.get(event.key))
            members[event.key] = row
            await outputs.send(key=event.key, value=output)

    return app


def main() -> None:
    """Run until SIGTERM."""
    place, (guarantee, *session_timeout_s) = Place.of_command_line()
    del sys.argv[1:]
    app = build(place, guarantee, *map(float, session_timeout_s))
    faust.Worker(app, loglevel="warn").execute_from_commandline()


if __name__ == "__main__":
    main()
