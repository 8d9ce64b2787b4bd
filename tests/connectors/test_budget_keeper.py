"""The keeper of budgets as a process, on a real broker."""

import json
import signal
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from os import environ
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from typer.testing import CliRunner

from connectors.budgets import Datum, Keeper
from ops import topics
from ops.cli import build
from ops.embedded.kafka import Kafka
from ops.embedded.ports import free_port
from ops.health import Ready, ask_readiness
from ops.settings import Settings, get_settings
from schemas.codec import decode, encode
from schemas.topics import BUDGET_GROUP, BUDGET_REQUESTS
from tests.connectors.conftest import ReadAll
from tests.connectors.test_budgets import request
from tests.eventually import eventually

Answer = tuple[tuple[str, Any], ...]


NOBODY_COORDINATES = (
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
)


class Keepers:
    """Keeper processes of one test; all are ended with it."""

    def __init__(self, settings: Settings, logs: Path) -> None:
        self.settings = settings
        self.running: list[subprocess.Popen[bytes]] = []
        self._logs = logs

    def start(self) -> int:
        """One more; returns its health port."""
        port = free_port()
        variables = {
            **environ,
            "CASHBACK_BROKERS": self.settings.brokers,
            "CASHBACK_TOPIC_PREFIX": self.settings.topic_prefix,
            "CASHBACK_CLOCK": self.settings.clock,
            "CASHBACK_HEALTH_PORT": str(port),
        }
        with (self._logs / f"{len(self.running)}.log").open("wb") as log:
            program = [sys.executable, "-m", "connectors.budget_keeper"]
            self.running.append(subprocess.Popen(program, env=variables, stderr=log))
        return port

    def start_ready(self) -> int:
        """One more, that answers."""
        port = self.start()
        eventually(lambda: isinstance(ask_readiness(port), Ready), timeout_s=30)
        return port

    def kill(self, number: int = -1) -> None:
        """Kill -9."""
        self.running[number].kill()
        self.running[number].wait()

    def end(self, number: int = -1) -> int:
        """SIGTERM; its exit code."""
        self.running[number].send_signal(signal.SIGTERM)
        return self.running[number].wait(20)

    def said(self, number: int = -1) -> str:
        """What it logged."""
        return (self._logs / f"{range(len(self.running))[number]}.log").read_text()

    def place(self) -> int:
        """Up to where answers are known to have arrived; below 0 when nothing is known, or not yet."""
        name = self.settings.topic_prefix + BUDGET_GROUP
        consumer = Consumer({"bootstrap.servers": self.settings.brokers, "group.id": name, "log_level": 0})
        topic = BUDGET_REQUESTS.full_name(self.settings.topic_prefix)
        try:
            [place] = consumer.committed([TopicPartition(topic, 0)], timeout=10)
        except KafkaException as error:
            if error.args[0].code() not in NOBODY_COORDINATES:
                raise
            return -1  # the group's broker has just come back
        finally:
            consumer.close()
        return place.offset


class Asking:
    """Sends requests as a worker does: in transactions."""

    def __init__(self, settings: Settings) -> None:
        self.asked: list[Datum] = []
        self._topic = BUDGET_REQUESTS.full_name(settings.topic_prefix)
        name = settings.topic_prefix + "asking"
        self._producer = Producer(
            {"bootstrap.servers": settings.brokers, "transactional.id": name, "log_level": 0}
        )
        self._producer.init_transactions(30)

    def ask(self, *requests: Datum, commits: bool = True) -> None:
        """All of them, or none."""
        self._producer.begin_transaction()
        for each in requests:
            self._producer.produce(self._topic, encode("BudgetRequest", each), each["program_id"].encode())
        if not commits:
            self._producer.flush(10)
            self._producer.abort_transaction(10)
            return
        self._producer.commit_transaction(10)
        self.asked += requests

    def answers(self) -> list[Datum]:
        """What must be said, each once."""
        keeper = Keeper()
        return [grant for each in self.asked for grant in keeper.fold(each)]


@pytest.fixture
def keepers(settings: Settings, tmp_path: Path) -> Iterator[Keepers]:
    made = Keepers(settings, tmp_path)
    yield made
    for process in made.running:
        process.kill()
        process.wait()


@pytest.fixture
def asking(settings: Settings) -> Asking:
    return Asking(settings)


@pytest.fixture
def said(read_all: ReadAll) -> Callable[[], Counter[Answer]]:
    """The grants on `inputs`, each with how often it was said; where they belong, and without a clock."""

    def read() -> Counter[Answer]:
        found: Counter[Answer] = Counter()
        for record in read_all("inputs"):
            name, grant = decode(record.value())
            assert name == "BudgetGrant"
            assert (record.partition(), record.key()) == (grant["partition"], grant["program_id"].encode())
            assert record.headers() is None
            found[answer(grant)] += 1
        return found

    return read


def answer(grant: Datum) -> Answer:
    return tuple(grant.items())


def storm(number: int) -> list[Datum]:
    """A round of three partitions that ask, are refused and give back."""
    back = {"number": 2 * number, "wanted": 0, "returned": 300 if number % 2 else 1, "figure": 1_000}
    return [
        each
        for partition in range(3)
        for each in (
            request(partition=partition, number=2 * number - 1, figure=1_000, wanted=301),
            request(partition=partition, **back),
        )
    ]


Said = Callable[[], Counter[Answer]]


def test_it_answers_what_is_committed_once_and_goes_on_where_it_was(
    keepers: Keepers, asking: Asking, said: Said
) -> None:
    keepers.start_ready()
    asking.ask(request(wanted=1), commits=False)
    asking.ask(request(wanted=60), request(partition=1, wanted=50))
    eventually(lambda: len(said()) == 2)
    assert keepers.end() == 0
    asking.ask(request(partition=2, wanted=1), request(number=2, wanted=0, returned=20))

    keepers.start_ready()
    eventually(lambda: len(said()) == 5)
    assert keepers.end() == 0
    assert said() == Counter(map(answer, asking.answers()))


@pytest.mark.slow
def test_killed_over_and_over_and_beside_another_it_says_the_same(
    keepers: Keepers, asking: Asking, said: Said
) -> None:
    struck_between = 0
    for number in range(1, 7):
        before = keepers.place()
        keepers.start()
        if number % 3 == 0:
            keepers.start()
        asking.ask(*storm(number))
        expected = {answer(grant) for grant in asking.answers()}
        last = answer(asking.answers()[-1])
        eventually(lambda last=last: last in said(), timeout_s=30)  # type: ignore[misc]
        keepers.kill()
        struck_between += keepers.place() == before
        assert set(said()) <= expected
        if number % 3 == 0:
            keepers.kill(-2)
    assert struck_between, "no kill came between the answers and the commit"
    keepers.start_ready()
    eventually(lambda: set(said()) == {answer(grant) for grant in asking.answers()})
    assert max(said().values()) > 1, "nothing was said again"


def test_what_is_no_request_is_passed_over_and_what_a_newer_version_wrote_is_not(
    settings: Settings, keepers: Keepers, asking: Asking, said: Said
) -> None:
    topic = BUDGET_REQUESTS.full_name(settings.topic_prefix)
    producer = Producer({"bootstrap.servers": settings.brokers})
    cut, other = encode("BudgetRequest", request())[:-1], encode("Tick", {"emitted_at": 1})
    for value in (None, b"", b"text", cut, other):
        producer.produce(topic, value)
    producer.flush(10)
    asking.ask(request())
    keepers.start_ready()
    eventually(lambda: set(said()) == {answer(grant) for grant in asking.answers()})
    assert keepers.said().count("passed over") == 5

    producer.produce(topic, b"\0" + (2**31 - 1).to_bytes(4, "big") + b"what is to come")
    producer.flush(10)
    asking.ask(request(number=2))
    assert keepers.running[-1].wait(20) == 1
    assert "update the keeper" in keepers.said()
    assert len(said()) == 1


def test_requests_that_are_gone_are_missed_at_the_start(settings: Settings, keepers: Keepers) -> None:
    topic = BUDGET_REQUESTS.full_name(settings.topic_prefix)
    name = settings.topic_prefix + BUDGET_GROUP
    consumer = Consumer({"bootstrap.servers": settings.brokers, "group.id": name, "log_level": 0})
    consumer.commit(offsets=[TopicPartition(topic, 0, 7)], asynchronous=False)
    consumer.close()
    keepers.start()
    assert keepers.running[-1].wait(30) == 1
    assert "bring the others back" in keepers.said()


def test_it_shows_budgets_as_metrics_and_on_the_command_line(
    settings: Settings, keepers: Keepers, asking: Asking
) -> None:
    port = keepers.start_ready()
    asking.ask(
        request(figure=1_000, wanted=999),
        request(partition=2, figure=1_000, wanted=2),
        request(number=2, figure=1_000, wanted=0, returned=4),
        request(livemode=False, scope="2026-03-28", figure=50),
        request(livemode=False, scope="2026-03-29", figure=60),
        request(program_id="other", number=2),
    )
    of_program = 'mode="live",program="one-percent",scope="total"'
    lines = (
        f"cashback_budget_granted_minor{{{of_program}}} 996.0",
        f"cashback_budget_left_minor{{{of_program}}} 4.0",
        f"cashback_budget_closed_partitions{{{of_program}}} 1.0",
        'cashback_budget_left_minor{mode="test",program="one-percent",scope="day"} 50.0',
        'cashback_budget_requests_total{outcome="granted"} 3.0',
        'cashback_budget_requests_total{outcome="refused"} 1.0',
        "cashback_budget_oldest_unanswered_seconds 0.0",
    )
    eventually(lambda: [line for line in lines if line not in metrics(port)] == [])

    def shown(*options: str) -> tuple[int, str]:
        environment = {"CASHBACK_BROKERS": settings.brokers, "CASHBACK_TOPIC_PREFIX": settings.topic_prefix}
        get_settings.cache_clear()
        result = CliRunner().invoke(build("budgets"), ["budgets", *options], env=environment)
        get_settings.cache_clear()
        return result.exit_code, result.stdout

    code, out = shown("--program", "one-percent", "--json")
    assert code == 0
    found = json.loads(out)["budgets"]
    assert [(each["livemode"], each["scope"]) for each in found] == [
        (False, "2026-03-28"), (False, "2026-03-29"), (True, "total")
    ]  # fmt: skip
    assert found[2] == {
        "program_id": "one-percent", "livemode": True, "scope": "total", "figure": 1_000, "granted": 996,
        "left": 4, "closed": [2], "requests": 3, "broken": False, "granted_to": {"0": 995, "2": 1},
    }  # fmt: skip
    code, out = shown()
    assert code == 1, "requests of one budget are missing"
    assert "broken" in out


def metrics(port: int) -> list[str]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answered:
        return answered.read().decode().splitlines()  # type: ignore[no-any-return]


def test_it_waits_for_a_broker_that_is_away(tmp_path: Path) -> None:
    keepers = Keepers(Settings(brokers="127.0.0.1:1"), tmp_path)
    port = keepers.start()
    try:
        eventually(lambda: "no Kafka at" in getattr(ask_readiness(port), "reason", ""), timeout_s=30)
        assert keepers.end() == 0
    finally:
        keepers.kill()


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_it_goes_on_after_the_broker_was_away(tmp_path: Path, kafka: Kafka) -> None:
    own = Kafka(tmp_path / "kafka", kafka.home)
    own.start()
    settings = Settings(brokers=own.bootstrap, partitions=1)
    keepers = Keepers(settings, tmp_path)
    try:
        topics.ensure(settings)
        asking = Asking(settings)
        port = keepers.start_ready()
        asking.ask(request())
        eventually(lambda: keepers.place() > 0)
        own.stop()
        eventually(lambda: "is Kafka up?" in getattr(ask_readiness(port), "reason", ""), timeout_s=30)
        own.start()
        before = eventually(lambda: max(0, keepers.place()), timeout_s=30)
        Asking(settings).ask(request(number=2))
        eventually(lambda: keepers.place() > before, timeout_s=60)
        eventually(lambda: isinstance(ask_readiness(port), Ready), timeout_s=30)
        assert keepers.end() == 0
    finally:
        for number in range(len(keepers.running)):
            keepers.kill(number)
        own.stop()
