"""The reference step on our engine: `… CODEC STATE`, compiled or fastavro, memory or rocksdb."""

from typing import Any, Literal, cast

from ops.bench.peers.step import PARTITIONS, Place, step_with
from streams.engine import Engine, EngineSettings, InputRecord, Send, Store


class Rewarding:
    """Count and sum by member, one output a payment."""

    def __init__(self, place: Place, codec: str, store: Store, send: Send) -> None:
        self._topic = place.output_topic
        self._step = step_with(codec)
        self._get, self._put, self._send = store.get, store.put, send

    def restored(self) -> None:
        """No indexes."""

    def advance(self, record: InputRecord) -> bool:
        """Nothing is ever due."""
        return False

    def apply(self, record: InputRecord) -> None:
        key = record.key or b""
        row, reward = self._step(record.value or b"", self._get(key))
        self._put(key, row)
        self._send(self._topic, key, reward)

    def before_commit(self) -> None:
        """All state is in the store."""


def main() -> None:
    """Run until SIGTERM."""
    place, (codec, state) = Place.of_command_line()
    settings = EngineSettings(
        brokers=place.brokers,
        app_id=place.group,
        input_topic=place.input_topic,
        changelog_topic=place.changelog_topic,
        partitions=PARTITIONS,
        commit_interval_ms=place.commit_interval_ms,
        state=cast(Literal["memory", "rocksdb"], state),
        state_directory=place.directory,
    )
    engine = Engine(settings, fold=lambda _, store, send: Rewarding(place, codec, store, send))

    @engine.app.agent(engine.input)
    async def reward(stream: Any) -> None:
        async for batch in engine.batches(stream):
            await engine.take(batch)

    engine.run()


if __name__ == "__main__":
    main()
