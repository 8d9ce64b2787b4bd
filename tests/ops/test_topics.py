"""Topics on a real broker are made from the registry and held against it."""

import json

import pytest
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    ResourceType,
)
from typer.testing import CliRunner

from ops import topics
from ops.cli import build
from ops.settings import Settings, get_settings
from schemas.topics import CASHBACK_EVENTS, INPUTS, PROGRAMS, TOPICS
from tests.eventually import eventually


@pytest.fixture
def settings(broker: str, topic_prefix: str) -> Settings:
    """Settings whose topics nobody else uses."""
    return Settings(brokers=broker, topic_prefix=topic_prefix, partitions=2)


def test_created_topics_are_as_the_registry_says(settings: Settings) -> None:
    created = topics.ensure(settings)

    assert created == sorted(topic.full_name(settings.topic_prefix) for topic in TOPICS)
    assert topics.differences(settings) == []
    assert topics.ensure(settings) == []


def test_a_missing_topic_is_a_difference_with_a_remedy(settings: Settings) -> None:
    [difference] = topics.differences(settings, [INPUTS])

    assert difference.found == "missing"
    assert "cashback topics --create" in difference.remedy


def test_every_difference_is_named(settings: Settings) -> None:
    topics.create(settings, [INPUTS, PROGRAMS, CASHBACK_EVENTS])
    client = AdminClient({"bootstrap.servers": settings.brokers})
    inputs, programs = (topic.full_name(settings.topic_prefix) for topic in (INPUTS, PROGRAMS))
    client.create_partitions([NewPartitions(inputs, 5)])[inputs].result(10)
    alter(client, inputs, "message.timestamp.type", "CreateTime")
    alter(client, inputs, "retention.ms", "1000")
    alter(client, programs, "cleanup.policy", "delete")

    # A broker that was told knows of it a moment later.
    refused = eventually(lambda: refusal(settings, differences=4), timeout_s=20)
    assert refused is not None
    assert {(each.topic, each.setting, each.found) for each in refused.differences} == {
        (inputs, "partitions", "5"),
        (inputs, "message.timestamp.type", "CreateTime"),
        (inputs, "retention.ms", "1000"),
        (programs, "cleanup.policy", "delete"),
    }
    assert str(refused).count("\n") == 4


def test_the_command_creates_checks_and_lists(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASHBACK_BROKERS", settings.brokers)
    monkeypatch.setenv("CASHBACK_TOPIC_PREFIX", settings.topic_prefix)
    get_settings.cache_clear()
    command, run = build("topics"), CliRunner()

    assert run.invoke(command, ["topics", "--check"]).exit_code == 1
    created = json.loads(run.invoke(command, ["topics", "--create", "--json"]).stdout)
    assert len(created["created"]) == len(TOPICS)
    assert created["differences"] == []
    assert "as the registry says" in run.invoke(command, ["topics", "--check"]).stdout
    assert CASHBACK_EVENTS.full_name(settings.topic_prefix) in run.invoke(command, ["topics"]).stdout
    get_settings.cache_clear()


def refusal(settings: Settings, *, differences: int) -> topics.TopicsDiffer | None:
    """The refusal, once it names so many differences."""
    with pytest.raises(topics.TopicsDiffer) as refused:
        topics.check(settings, [INPUTS, PROGRAMS, CASHBACK_EVENTS])
    return refused.value if len(refused.value.differences) >= differences else None


def alter(client: AdminClient, topic: str, setting: str, value: str) -> None:
    """Change one setting of a topic."""
    entry = ConfigEntry(setting, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    for answer in client.incremental_alter_configs([resource]).values():
        answer.result(10)
