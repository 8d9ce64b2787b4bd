"""Topics on the broker, made from the registry of `schemas.topics` and compared with it."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigEntry, ConfigResource, NewTopic, ResourceType

from ops.settings import Settings
from schemas.topics import TOPICS, Topic

BROKER_TIMEOUT_S = 30
METADATA_TIMEOUT_S = 10
ASK_S = 3
LOOK_EVERY_S = 0.05


@dataclass(frozen=True)
class Difference:
    """One way in which a topic on the broker is not what the registry says."""

    topic: str
    setting: str
    found: str
    wanted: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.topic}: {self.setting} is {self.found}, should be {self.wanted}; {self.remedy}"


class TopicsDiffer(Exception):
    """Topics on the broker are not as the registry says; lists every difference with its remedy."""

    def __init__(self, differences: list[Difference]) -> None:
        super().__init__("\n".join(["topics differ from the registry:", *map(str, differences)]))
        self.differences = differences


def partitions_of(topic: Topic, settings: Settings) -> int:
    """How many partitions `topic` has under these settings."""
    return topic.partitions or settings.partitions


def create(settings: Settings, topics: Iterable[Topic] = TOPICS) -> list[str]:
    """Create those of `topics` that the broker lacks and wait until it shows them; returns their full names.

    Raises KafkaException when the broker refuses one.
    """
    wanted = [
        NewTopic(
            topic.full_name(settings.topic_prefix),
            num_partitions=partitions_of(topic, settings),
            replication_factor=settings.replication_factor,
            config=topic.broker_config(),
        )
        for topic in topics
    ]
    client = _client(settings)
    created = []
    for name, answer in client.create_topics(wanted, operation_timeout=BROKER_TIMEOUT_S).items():
        try:
            answer.result(BROKER_TIMEOUT_S)
            created.append(name)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise
    _wait_shown(client, created)
    return sorted(created)


def differences(settings: Settings, topics: Iterable[Topic] = TOPICS) -> list[Difference]:
    """Everything in which the broker's topics differ from the registry, missing ones included."""
    client = _client(settings)
    known = client.list_topics(timeout=METADATA_TIMEOUT_S).topics
    found: list[Difference] = []
    present: list[Topic] = []
    for topic in topics:
        name = topic.full_name(settings.topic_prefix)
        if name in known:
            present.append(topic)
            found += _layout_differences(topic, settings, len(known[name].partitions))
        else:
            found.append(Difference(name, "topic", "missing", "there", "run `cashback topics --create`"))
    return found + list(_config_differences(client, present, settings))


def check(settings: Settings, topics: Iterable[Topic] = TOPICS) -> None:
    """Raise `TopicsDiffer` unless the broker has `topics` as the registry says."""
    found = differences(settings, topics)
    if found:
        raise TopicsDiffer(found)


def ensure(settings: Settings, topics: Iterable[Topic] = TOPICS) -> list[str]:
    """Create what is missing, then `check`; returns the names created."""
    topics = tuple(topics)
    created = create(settings, topics)
    check(settings, topics)
    return created


def _wait_shown(client: AdminClient, names: list[str]) -> None:
    # The controller answers before every broker knows; who asks in between is told that the topic is missing.
    deadline = time.monotonic() + BROKER_TIMEOUT_S
    while not set(names) <= set(client.list_topics(timeout=METADATA_TIMEOUT_S).topics):
        if time.monotonic() >= deadline:
            raise TimeoutError(f"created, but not shown by the broker in {BROKER_TIMEOUT_S} s: {names}")
        time.sleep(LOOK_EVERY_S)


def _layout_differences(topic: Topic, settings: Settings, found: int) -> Iterator[Difference]:
    wanted = partitions_of(topic, settings)
    if found != wanted:
        remedy = "the number is fixed at birth: set CASHBACK_PARTITIONS to it, or rebuild into new topics"
        if topic.partitions is not None:
            remedy = "delete the topic and run `cashback topics --create`"
        yield Difference(
            topic.full_name(settings.topic_prefix), "partitions", str(found), str(wanted), remedy
        )


def _config_differences(client: AdminClient, topics: list[Topic], settings: Settings) -> Iterator[Difference]:
    named = {topic.full_name(settings.topic_prefix): topic for topic in topics}
    for resource, entries in sorted(_configs(client, list(named)).items()):
        for setting, wanted in named[resource].broker_config().items():
            entry = entries.get(setting)
            found = str(entry.value) if entry is not None else "unknown to the broker"
            if not _same(found, wanted):
                yield Difference(
                    resource, setting, found, wanted, f"alter the topic: --add-config {setting}={wanted}"
                )


def _configs(client: AdminClient, names: list[str]) -> dict[str, dict[str, ConfigEntry]]:
    """All settings of each topic; asked again while the brokers look for a controller."""
    deadline = time.monotonic() + BROKER_TIMEOUT_S
    asked = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    while asked:
        try:
            answers = client.describe_configs(asked, request_timeout=ASK_S)
            return {str(topic.name): answer.result(BROKER_TIMEOUT_S) for topic, answer in answers.items()}
        except KafkaException as error:
            if error.args[0].code() != KafkaError._TIMED_OUT or time.monotonic() > deadline:
                raise
    return {}


def _same(found: str, wanted: str) -> bool:
    # Lists (cleanup.policy) come back in any order.
    return sorted(found.split(",")) == sorted(wanted.split(","))


def _client(settings: Settings) -> AdminClient:
    return AdminClient(
        {"bootstrap.servers": settings.brokers, "client.id": "cashback-topics", "log_level": 0}
    )
