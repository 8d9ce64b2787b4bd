"""The page for accountants is run as it stands, command after command, against a real ledger."""

import re
import shlex
from contextlib import chdir
from pathlib import Path

from typer.testing import CliRunner

from ops.cli import build, explained
from schemas.times import from_iso
from tests.contract.pages import GUIDES, blocks
from tests.sinks.test_posting import Book, cleared, created

PAGE = next(page for page in GUIDES if page.stem == "accounts")
_COMMAND = re.compile(r"^\$ (?:.*\\\n)*.*\n", re.M)
# What is another one each time, and the widths of columns that depend on it.
_VARYING = (
    (re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "TIME"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "HASH"),
    (re.compile(r"─+"), "─"),
    (re.compile(r" +"), " "),
)


def plain(text: str) -> list[str]:
    for varying, name in _VARYING:
        text = varying.sub(name, text)
    return [line.strip() for line in text.splitlines()]


def history(url: str) -> None:
    """A January in which 1,200.00 cleared at the grocer's, and the first of February."""

    def on(day: str) -> int:
        return from_iso(f"{day}T12:00:00Z", "day")

    book = Book(url)
    bought = created("jan-1", 120_000, timestamp=on("2024-01-10"))
    book.post(bought, created("jan-2", 500, merchant_id="baker", timestamp=on("2024-01-10")))
    book.post(cleared(bought, timestamp=on("2024-01-25")))
    book.post(created("feb-1", 500, timestamp=on("2024-02-01")))
    book.connection.close()


def told(command: str, url: str) -> str:
    words = shlex.split(command.removeprefix("$ ").replace("\\\n", " "))
    assert words[0] == "cashback"
    answer = CliRunner().invoke(build(words[1]), [*words[1:], "--database", url])
    said = answer.output
    if answer.exception is not None and not isinstance(answer.exception, SystemExit):
        said += f"{explained(answer.exception)}\n"  # type: ignore[arg-type]
    return command + said + (f"[{answer.exit_code}]\n" if answer.exit_code else "")


def test_the_page_shows_what_comes_out(ledger_url: str, tmp_path: Path) -> None:
    ran = 0
    with chdir(tmp_path):
        for block in blocks(PAGE):
            if block.name:
                Path(block.name).write_text(block.text, encoding="utf-8")
                continue
            if "rates list" in block.text:
                history(ledger_url)
            commands = _COMMAND.findall(block.text)
            shown = "".join(told(command, ledger_url) for command in commands)
            assert plain(block.text) == plain(shown), f"{PAGE.name}:{block.line}\n{shown}"
            ran += len(commands)
    assert ran == 9
