"""Topics of a program that is compared: made before it, deleted after it."""

from confluent_kafka.admin import AdminClient, NewTopic

from ops.bench.peers.programs import Program
from ops.bench.peers.step import PARTITIONS, Place, create_topics


def create_for(program: Program, place: Place) -> None:
    """Its output, and its changelog where it makes none itself."""
    topics = [NewTopic(place.output_topic, PARTITIONS, 1)]
    if not program.makes_changelog:
        compacted = {"cleanup.policy": "compact"}
        topics.append(NewTopic(place.changelog_topic, PARTITIONS, 1, config=compacted))
    create_topics(place.brokers, *topics)


def delete_named(brokers: str, prefix: str) -> None:
    """Everything whose name begins so: a program may have made topics of its own."""
    admin = AdminClient({"bootstrap.servers": brokers, "log_level": 3})
    made = [topic for topic in admin.list_topics(timeout=30).topics if topic.startswith(prefix)]
    for answer in (admin.delete_topics(made) if made else {}).values():
        answer.result()
