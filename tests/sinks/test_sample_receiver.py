"""The page about webhooks: its receiver, run as it stands there, and its tables."""

import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from prometheus_client import REGISTRY, generate_latest

from ops.embedded.ports import free_port
from ops.settings import Settings
from schemas.webhooks import EVENT_TYPES, webhook_object
from sinks.webhooks import trial
from sinks.webhooks.endpoints import OLD_SECRET_FOR, register
from sinks.webhooks.figures import figures
from sinks.webhooks.replay import Booked, replay
from sinks.webhooks.signing import Scheme, new_secret
from tests.contract.pages import GUIDES, blocks, rows
from tests.eventually import eventually
from tests.sinks.scene import BY, Scene
from tests.sinks.test_posting import cleared, created

PAGE = next(page for page in GUIDES if page.stem == "webhooks")
_UNITS = {"s": 1, "min": 60, "h": 3_600}


def written(name: str) -> str:
    """The file `name` of the page."""
    [text] = [each.text for each in blocks(PAGE) if each.name == name]
    return text


@dataclass
class Sample:
    """The receiver of the page as a process."""

    directory: Path
    port: int
    secret: str
    variable: str = "WEBHOOK_SECRET"
    running: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def start(self) -> None:
        environment = {**os.environ, "PORT": str(self.port), self.variable: self.secret}
        command = [sys.executable, str(self.directory / "receiver.py")]
        with (self.directory / "receiver.log").open("ab") as log:
            self.running = subprocess.Popen(
                command, cwd=self.directory, env=environment, stdout=log, stderr=log
            )
        eventually(lambda: self.status(b"{}", {}) == 401, timeout_s=20)

    def kill(self) -> None:
        assert self.running is not None
        self.running.kill()
        self.running.wait(10)

    def status(self, body: bytes, headers: dict[str, str]) -> int | None:
        """What it answers; None: nothing."""
        try:
            with urlopen(Request(self.url, body, headers), timeout=5) as answer:
                return int(answer.status)
        except HTTPError as error:
            with error:
                return error.code
        except OSError:
            return None

    def events(self) -> dict[str, tuple[str, Any]]:
        with sqlite3.connect(self.directory / "webhooks.db") as store:
            rows = store.execute("SELECT * FROM events")
            found = {event_id: (kind, json.loads(event)) for event_id, kind, event in rows}
        store.close()
        return found


@pytest.fixture
def sample(tmp_path: Path) -> Iterator[Sample]:
    (tmp_path / "receiver.py").write_text(written("receiver.py"), encoding="utf-8")
    made = Sample(tmp_path, free_port(None), new_secret())
    made.start()
    yield made
    made.kill()


def test_the_receiver_with_a_public_key_is_made_by_the_lines_of_the_page(
    sample: Sample, scene: Scene
) -> None:
    known = {"scheme": Scheme.ED25519, "allow_loopback": True, **BY}
    made = register(scene.url, partner_id="shop", livemode=True, url=sample.url, **known)
    assert made.public_key is not None
    sample.kill()
    code = written("receiver.py")
    for row in rows(PAGE, "instead of"):
        old, new = row.cells["instead of"].strip("`"), row.cells["this"].strip("`")
        assert code.count(old) == 1
        code = code.replace(old, new)
    (sample.directory / "receiver.py").write_text(code, encoding="utf-8")
    (sample.directory / "verify.py").write_text(written("verify.py"), encoding="utf-8")
    sample.variable, sample.secret = "WEBHOOK_PUBLIC_KEY", made.public_key
    sample.start()
    scene.book.post(created())
    scene.dispatch()
    scene.delivered(1)
    assert sample.events().keys() == {created()[1]["event_id"]}


@pytest.mark.parametrize("batch_max", [None, 10])
def test_the_receiver_of_the_page_takes_everything_once_also_when_it_is_killed_and_all_is_replayed(
    sample: Sample, scene: Scene, batch_max: int | None
) -> None:
    endpoint = register(
        scene.url,
        partner_id="shop",
        livemode=True,
        url=sample.url,
        secret=sample.secret,
        batch_max=batch_max,
        allow_loopback=True,
        **BY,
    )
    events = [created(f"order-{number}") for number in range(150)]
    events += [cleared(event) for event in events]
    scene.book.post(*events)
    scene.dispatch(webhook_retry_delays_s=(0.2,) * 50)
    eventually(lambda: figures(scene.url)["delivered"] > 30, timeout_s=30)
    sample.kill()
    eventually(lambda: figures(scene.url)["failed_attempts"] > 0, timeout_s=30)
    sample.start()
    scene.delivered(300)
    expected = {
        event["event_id"]: (EVENT_TYPES[record], webhook_object(record, event)) for record, event in events
    }
    assert sample.events() == expected
    everything = Booked(datetime(2000, 1, 1, tzinfo=UTC), datetime(2099, 1, 1, tzinfo=UTC))
    assert replay(scene.url, endpoint.endpoint_id, everything, **BY).queued == 300
    repeated = "SELECT count(*) FROM webhook_attempts WHERE outcome = 'repeated'"
    eventually(lambda: scene.sql(repeated) == [(300,)], timeout_s=30)
    assert sample.events() == expected


def test_the_receiver_goes_on_while_its_secret_is_rotated_and_takes_a_test_event(
    sample: Sample, scene: Scene
) -> None:
    known = {"secret": sample.secret, "allow_loopback": True, **BY}
    register(scene.url, partner_id="shop", livemode=True, url=sample.url, **known)
    new = scene.rotate("/hook")
    with_old = scene.try_out("/hook")
    sample.kill()
    sample.secret = new
    sample.start()
    with_new = scene.try_out("/hook")
    assert (with_old.answer.status, with_new.answer.status) == (204, 204)
    taken = sample.events()
    assert taken.keys() == {with_old.event_id, with_new.event_id}
    assert {kind for kind, _ in taken.values()} == {trial.TYPE}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"webhook-id": "evt_1", "webhook-timestamp": "1700000000", "webhook-signature": "v1,AAAA"},
        {"webhook-id": "evt_1", "webhook-timestamp": "now", "webhook-signature": "v1,AAAA"},
        {"webhook-id": "evt_1", "webhook-timestamp": "1700000000", "webhook-signature": "nonsense"},
    ],
)
def test_the_receiver_refuses_what_is_not_from_us(sample: Sample, headers: dict[str, str]) -> None:
    assert sample.status(b'{"event_id":"evt_1","type":"cashback.cleared"}', headers) == 401
    assert sample.status(b"\xff\xfe", headers) == 401
    assert sample.events() == {}


def test_the_tables_of_the_page_are_the_settings() -> None:
    settings = Settings.model_construct()
    waits = [row.cells["after the one before"] for row in rows(PAGE, "attempt")]
    assert waits[0] == "at once"
    seconds = [int(number) * _UNITS[unit] for number, unit in (wait.split() for wait in waits[1:])]
    assert tuple(seconds) == settings.webhook_retry_delays_s
    text = PAGE.read_text(encoding="utf-8")
    assert f"failures only, for {settings.webhook_disable_after_hours} hours" in text
    assert f"{settings.webhook_circuit_failures} failures in a row" in text
    assert f"… {settings.webhook_circuit_pause_s} s, until one succeeds" in text
    assert f"within {settings.webhook_timeout_s:g} seconds" in text
    requests, connections = settings.webhook_endpoint_requests, settings.webhook_host_connections
    assert f"each has {requests} attempts under way at most, a host {connections}" in text
    assert f"For {OLD_SECRET_FOR.total_seconds() / 3_600:g} hours each webhook is signed" in text
    served = generate_latest(REGISTRY).decode()
    assert all(f"# TYPE {name}" in served for name in re.findall(r"`(cashback_webhook_\w+)`", text))
    [shown] = re.findall(r'^ +(\{"event_id":"test_.*\})$', text, re.M)
    body = trial.trial_body("test_5f0c0e5d2f1b4c7a9e8d7c6b", datetime(2026, 1, 1, tzinfo=UTC))
    assert shown == body.decode()
