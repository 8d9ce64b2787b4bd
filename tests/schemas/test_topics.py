"""The registry of topics agrees with the schemas and with itself."""

from itertools import combinations

import pytest

from schemas.registry import locked_schemas
from schemas.topics import CASHBACK_EVENTS, INPUTS, MEMBER_KEY, QUARANTINE, STATE, TOPICS, Topic

LOCKED_RECORDS = {schema.record for schema in locked_schemas()}
each_topic = pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)


def test_names_are_unique_even_where_the_broker_takes_dots_for_underscores() -> None:
    names = [topic.name.replace(".", "_") for topic in TOPICS]
    assert [pair for pair in combinations(names, 2) if pair[0] == pair[1]] == []


@each_topic
def test_records_of_a_topic_are_locked_schemas(topic: Topic) -> None:
    assert set(topic.records) <= LOCKED_RECORDS


def test_every_locked_record_travels_on_some_topic() -> None:
    assert {record for topic in TOPICS for record in topic.records} == LOCKED_RECORDS


@each_topic
def test_every_topic_has_an_owner_and_a_purpose(topic: Topic) -> None:
    assert topic.owner in {"connectors", "streams", "sinks"}
    assert topic.purpose.strip()
    assert topic.key.strip()


@each_topic
def test_all_that_one_member_does_is_keyed_alike_and_as_wide_as_inputs(topic: Topic) -> None:
    if topic.records and topic.name not in ("programs", "budget-requests", "quarantine-resolutions"):
        assert topic.key == MEMBER_KEY
        assert topic.partitions == INPUTS.partitions


def test_the_changelog_is_as_wide_as_inputs_because_it_is_the_state_of_its_partitions() -> None:
    assert STATE.partitions == INPUTS.partitions is None
    assert STATE.broker_config()["cleanup.policy"] == "compact"


def test_the_log_and_what_the_ledger_is_made_of_are_kept_for_ever() -> None:
    for topic in (INPUTS, CASHBACK_EVENTS):
        assert topic.broker_config()["retention.ms"] == "-1"
        assert topic.broker_config()["cleanup.policy"] == "delete"


def test_no_sender_moves_the_clock_of_the_log() -> None:
    assert INPUTS.broker_config()["message.timestamp.type"] == "LogAppendTime"


def test_the_quarantine_takes_the_largest_record_another_topic_takes_and_headers_beside_it() -> None:
    broker_default = 1_048_588
    others = [
        int(each.config.get("max.message.bytes", broker_default)) for each in TOPICS if each != QUARANTINE
    ]
    assert int(QUARANTINE.config["max.message.bytes"]) >= max(others) + 64 * 1024


def test_a_prefix_goes_before_the_name() -> None:
    assert INPUTS.full_name("t1-") == "t1-inputs"
