"""`ops/docs/books.md`: its example is run as it is written, and its tables leave no column out."""

import json
import re
import shlex
from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ops.cli import build
from sinks.books.credits import Credit
from sinks.books.issuing_sql import FIGURES
from sinks.ledger.bench import created_event, resolved
from sinks.reconcile import Total
from tests.contract.pages import blocks, rows
from tests.sinks.test_posting import Book, Event

Sql = Callable[..., list[tuple[Any, ...]]]
PAGE = Path(__file__).parents[2] / "ops" / "docs" / "books.md"


def micros(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


def event(line: dict[str, Any], known: dict[str, dict[str, Any]]) -> Event:
    """The event a line of the page stands for; `known`: those created before, by their reference."""
    at = micros(line["at"].removesuffix("Z"))
    if line["is"] != "created":
        outcome = resolved(known[line["ref"]], line["is"], timestamp=at)
        return f"Cashback{line['is'].capitalize()}", outcome
    also = {"employee_id": None, "receipt_id": None} | {
        name: line[name] for name in ("employee_id", "receipt_id", "webhook_id") if name in line
    }
    made = created_event(
        "bank", line["member"], line["ref"], line["amount"], merchant_id=line["merchant"], **also
    )
    known[line["ref"]] = made | {"timestamp": at}
    return "CashbackCreated", known[line["ref"]]


def post(book: Book, sql: Sql, text: str, known: dict[str, dict[str, Any]]) -> None:
    for each in text.splitlines():
        line = json.loads(each)
        stamp = f"'{line['posted']}'" if "posted" in line else "clock_timestamp()"
        sql(f"ALTER TABLE entries ALTER COLUMN posted_at SET DEFAULT {stamp}")
        book.post(event(line, known))


def told(url: str, block: str) -> str:
    text = ""
    for command in re.findall(r"^\$ cashback .*$", block, re.M):
        words = shlex.split(command)[2:]
        answer = CliRunner().invoke(build(words[0]), [*words, "--database", url])
        assert answer.exit_code == 0, answer.output
        text += f"{command}\n{answer.output}"
    return text


def shown(text: str) -> list[str]:
    """Lines without blank ones, ends of lines and the time at which a statement is made."""
    stamped = re.sub(r"issued \S+Z, of what was posted by \S+Z", "issued …, of what was posted by …", text)
    return [line.rstrip() for line in stamped.splitlines() if line.strip()]


def ran(url: str, sql: Sql) -> list[tuple[str, str]]:
    """Each console block of the page, and what it should be."""
    book, known, found = Book(url), dict[str, dict[str, Any]](), []
    for block in blocks(PAGE):
        if block.name:
            post(book, sql, block.text, known)
        elif block.text.startswith("$"):
            found.append((block.text, told(url, block.text)))
    book.connection.close()
    return found


def test_the_page_shows_what_comes_out(ledger_url: str, sql: Sql) -> None:
    for written, comes in ran(ledger_url, sql):
        assert shown(written) == shown(comes)


@pytest.mark.parametrize(
    ("head", "columns"),
    [
        ("figure", list(FIGURES)),
        (
            "column",
            [
                *(field.name for field in fields(Total) if field.name not in ("livemode", "asset")),
                *("mode" if field.name == "livemode" else field.name for field in fields(Credit)),
            ],
        ),
    ],
)
def test_every_column_is_explained(head: str, columns: list[str]) -> None:
    assert sorted(name for row in rows(PAGE, head) for name in row.spans(head)) == sorted(columns)
