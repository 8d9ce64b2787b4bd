"""Structured logs: one JSON object a line on standard error, or a readable form for eyes.

Everything passes one redaction, also what other libraries log and what exceptions quote.
"""

import logging
import re
import sys
from collections.abc import Callable, MutableMapping
from typing import Any, TextIO

import structlog

from ops.settings import Settings

Processor = Callable[[Any, str, MutableMapping[str, Any]], Any]
"""One step of a log line's making, in structlog's form."""

REDACTED = "***"
_SECRETS = (
    (re.compile(r"(://[^/\s:@]*:)[^/\s@]+(?=@)"), rf"\1{REDACTED}"),
    (re.compile(r"\b(whsec|whsk)_[A-Za-z0-9+/_=-]+"), rf"\1_{REDACTED}"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}"), rf"\1 {REDACTED}"),
    # name=value and "name": "value", also inside a quoted string; not what an error says of the field
    (
        re.compile(
            r"""(?i)([\w-]*(?:password|secret|token))(\\?["']?\s*[=:]\s*\\?["']?)"""
            r"""(?!(?<=: )(?-i:[a-z]{1,5})\s)[^\s"'\\,;&}]+"""
        ),
        rf"\1\2{REDACTED}",
    ),
)
# They log every rebalance and fetch; below warning that is noise, and building the records costs time.
_TALKATIVE = ("faust", "mode", "aiokafka", "kafka", "asyncio", "alembic", "aiohttp")


def redact(text: str) -> str:
    """`text` without passwords of URLs, webhook secrets, bearer tokens and `password=…` pairs."""
    for secret, replacement in _SECRETS:
        text = secret.sub(replacement, text)
    return text


def configure_logging(settings: Settings, process: str, stream: TextIO | None = None) -> None:
    """Send all logging of this process to `stream` (standard error), each line naming `process`.

    `log_format` decides the form; when nobody chose one, a terminal gets the readable form.
    """
    stream = stream or sys.stderr
    for_eyes = settings.log_format == "console"
    if "log_format" not in settings.model_fields_set:
        for_eyes = stream.isatty()
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    before: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _naming(process),
        structlog.processors.format_exc_info,
    ]
    render = _redacting(_renderer(for_eyes, stream))
    structlog.configure(
        processors=[*before, render],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    _route_stdlib(stream, [structlog.stdlib.add_logger_name, *before], render, level)


def get_logger(**context: object) -> structlog.typing.FilteringBoundLogger:
    """A logger whose every line carries `context`: ``log.info("restored", rows=12)``."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(**context)
    return logger


def _route_stdlib(stream: TextIO, before: list[Processor], render: Processor, level: int) -> None:
    to_stream = logging.StreamHandler(stream)
    to_stream.setLevel(level)
    to_stream.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
            foreign_pre_chain=before,
        )
    )
    logging.basicConfig(handlers=[to_stream], level=max(level, logging.WARNING), force=True)
    logging.captureWarnings(True)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)


def _naming(process: str) -> Processor:
    def name(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["process"] = process
        return event

    return name


def _renderer(for_eyes: bool, stream: TextIO) -> Processor:
    if for_eyes:
        return structlog.dev.ConsoleRenderer(colors=stream.isatty())
    return structlog.processors.JSONRenderer(ensure_ascii=False, default=str)


def _redacting(render: Processor) -> Processor:
    # The finished line is redacted, not the values: nothing nested or quoted slips past.
    def redacted(logger: Any, method: str, event: MutableMapping[str, Any]) -> str:
        return redact(str(render(logger, method, event)))

    return redacted
