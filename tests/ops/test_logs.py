"""One JSON object a line, and no secret in any of them."""

import io
import json
import logging
import warnings
from collections.abc import Iterator

import pytest
import structlog

from ops.logs import configure_logging, get_logger, redact
from ops.settings import Settings


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Other tests find logging as it was."""
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    yield
    logging.captureWarnings(False)
    root.handlers[:], root.level = before
    structlog.reset_defaults()


def logged(settings: Settings, stream: io.StringIO) -> list[dict[str, object]]:
    """What two loggers wrote, parsed."""
    configure_logging(settings, "worker", stream)
    get_logger(partition=3).info("restored", rows=12)
    logging.getLogger("aiokafka.consumer").info("noise")
    logging.getLogger("aiokafka.consumer").warning("heartbeat %s", "failed")
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_every_event_is_one_json_line_with_time_level_and_process() -> None:
    ours, theirs = logged(Settings(log_format="json"), io.StringIO())

    assert ours.pop("timestamp")
    assert ours == {"event": "restored", "level": "info", "partition": 3, "rows": 12, "process": "worker"}
    assert theirs["event"] == "heartbeat failed"
    assert theirs["logger"] == "aiokafka.consumer"
    assert theirs["process"] == "worker"


def test_an_exception_stays_on_one_line_and_loses_its_secrets() -> None:
    stream = io.StringIO()
    configure_logging(Settings(log_format="json"), "ledger", stream)
    try:
        raise ConnectionError("postgresql://cashback:hunter2@db:5432/x refused")
    except ConnectionError:
        get_logger().exception("down")
    [line] = stream.getvalue().splitlines()

    assert "ConnectionError" in json.loads(line)["exception"]
    assert "hunter2" not in line


def test_python_warnings_are_logged() -> None:
    stream = io.StringIO()
    configure_logging(Settings(), "worker", stream)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("old ways", DeprecationWarning, stacklevel=1)

    assert "old ways" in stream.getvalue()


def test_a_terminal_gets_the_readable_form_unless_json_was_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CASHBACK_LOG_FORMAT", raising=False)
    terminal, chosen = Terminal(), Terminal()
    configure_logging(Settings(), "worker", terminal)
    get_logger().info("restored")
    configure_logging(Settings(log_format="json"), "worker", chosen)
    get_logger().info("restored")

    assert not terminal.getvalue().startswith("{")
    assert chosen.getvalue().startswith("{")


def test_levels_below_the_setting_are_not_logged() -> None:
    stream = io.StringIO()
    configure_logging(Settings(log_level="error"), "worker", stream)
    get_logger().warning("careful")
    logging.getLogger("faust").warning("careful")

    assert stream.getvalue() == ""


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("postgresql://cashback:s3cr%40t@127.0.0.1:5432/x", "postgresql://cashback:***@127.0.0.1:5432/x"),
        ("postgresql://cashback@127.0.0.1/x", "postgresql://cashback@127.0.0.1/x"),
        ("key whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw== used", "key whsec_*** used"),
        ("key whsk_6Xb/dCcHpPea21PS1N9VY/NZW7+23CEc77== used", "key whsk_*** used"),
        (
            "key whpk_1SiA4o9hyqTCpIqC5V9H+aki/aeACeqf= used",
            "key whpk_1SiA4o9hyqTCpIqC5V9H+aki/aeACeqf= used",
        ),
        ("Authorization: Bearer abcdef.ghi-123456", "Authorization: Bearer ***"),
        ("host=db password=hunter2 user=x", "host=db password=*** user=x"),
        ('{"webhook_secret": "hunter2", "a": 1}', '{"webhook_secret": "***", "a": 1}'),
        ("secret: must be whsec_ or whsk_, then base64", "secret: must be whsec_ or whsk_, then base64"),
        ("secret: holds 20 bytes; password: hunter2", "secret: holds 20 bytes; password: ***"),
        ("password=abc user=x", "password=*** user=x"),
        ("basic truths and the bearer of news", "basic truths and the bearer of news"),
        ("http://127.0.0.1:9092/a:b@c", "http://127.0.0.1:9092/a:b@c"),
    ],
)
def test_secrets_are_redacted_and_nothing_else(text: str, redacted: str) -> None:
    assert redact(text) == redacted
