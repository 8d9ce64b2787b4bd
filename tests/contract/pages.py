"""The pages of `ops/docs` as something to run: their files, commands, cases and tables of fields.

A page is read from top to bottom. A fenced block is a file, named at the end of the line before it
(`` `name`: ``), or a `console` block whose commands are run where those files lie. A file that the latest
command wrote is what must come out; any other is what goes in.

`python -m tests.contract.pages` writes what comes out anew.
"""

import re
import shlex
from collections.abc import Iterator
from contextlib import chdir
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from typer.testing import CliRunner

from ops.cli import build
from schemas.program_files import PlainLoader

_ALL = sorted((Path(__file__).parents[2] / "ops" / "docs").glob("*.md"))
GUIDES = [page for page in _ALL if page.stem in ("accounts", "backup", "books", "commands", "webhooks")]
"""Pages about running it; the others are about programs, and made of examples."""
PAGES = [page for page in _ALL if page not in GUIDES]
OUTPUTS = ("--events", "--decisions")
INPUTS = ("--programs", "--against", "--transactions", "--entitlements")
COMMANDS = ("simulate", "compare")
_SPAN = re.compile(r"`([^`]+)`")


class PageWrong(AssertionError):
    """A page that cannot be run as it is written: where, and what about it."""


@dataclass
class Block:
    """A fenced block: the line of the page it opens in (from 1), and the file it is, empty for commands."""

    line: int
    name: str
    text: str


@dataclass
class Shown:
    """What came out where a block shows something; equal when the page is right."""

    block: Block
    text: str


@dataclass
class Ran:
    """A page that was run: what its blocks show, against what came out, and the files that went in last."""

    shown: list[Shown] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    commands: int = 0


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page. Raises `PageWrong` for one that is neither a named file nor commands."""
    before, opened, language, text = "", 0, "", ""
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        if opened and line == "```":
            name = re.search(r"`([^`]+)`:$", before)
            if (name is None) == (language != "console"):
                raise PageWrong(f"{page.name}:{opened}: a block is a file (`name`: before it) or a console")
            yield Block(opened, name[1] if name else "", text)
            opened, before = 0, ""
        elif opened:
            text += line + "\n"
        elif line.startswith("```"):
            opened, language, text = number, line.removeprefix("```"), ""
        elif line.strip():
            before = line
    if opened:
        raise PageWrong(f"{page.name}:{opened}: the block has no end")


@cache
def run(page: Path) -> Ran:
    """Runs a page. Raises `PageWrong` when it leaves out what came out, or shows what nothing reads."""
    ran = Ran()
    unread: dict[str, int] = {}
    unshown: dict[str, str] = {}
    with TemporaryDirectory() as directory, chdir(directory):
        for block in blocks(page):
            if not block.name:
                _all_shown(page, unshown)
                read, unshown, told = _run_commands(page, block)
                ran.shown.append(Shown(block, told))
                ran.commands += 1
                for name in read:
                    unread.pop(name, None)
            elif block.name in unshown:
                ran.shown.append(Shown(block, unshown.pop(block.name)))
            else:
                Path(block.name).write_text(block.text, encoding="utf-8")
                ran.files[block.name] = block.text
                unread[block.name] = block.line
    _all_shown(page, unshown)
    if unread:
        raise PageWrong(f"{page.name}: no command reads {unread}")
    return ran


def _all_shown(page: Path, unshown: dict[str, str]) -> None:
    if unshown:
        raise PageWrong(f"{page.name}: does not show {sorted(unshown)}")


def _run_commands(page: Path, block: Block) -> tuple[list[str], dict[str, str], str]:
    """The files that were read, those that were written, and the block with what is told now."""
    read: list[str] = []
    written: dict[str, str] = {}
    told = ""
    for command in re.findall(r"^\$ (?:.*\\\n)*.*\n", block.text, re.M):
        words = shlex.split(command.removeprefix("$ ").replace("\\\n", " "))
        if words[0] != "cashback" or words[1] not in COMMANDS:
            raise PageWrong(f"{page.name}:{block.line}: only {COMMANDS} are run, not {words[:2]}")
        answer = CliRunner().invoke(build(words[1]), words[1:])
        if answer.exception is not None and not isinstance(answer.exception, SystemExit):
            raise answer.exception
        told += command + answer.output + (f"[{answer.exit_code}]\n" if answer.exit_code else "")
        options = dict(zip(words[2::2], words[3::2], strict=True))
        read += [options[option] for option in INPUTS if option in options]
        names = [options[option] for option in OUTPUTS if option in options]
        written |= {name: Path(name).read_text(encoding="utf-8") for name in names if name != "-"}
    if not told:
        raise PageWrong(f"{page.name}:{block.line}: a console block without a command")
    return read, written, told


@dataclass
class Row:
    """A row of a table: its line in the page, its cells by the words of the head."""

    line: int
    cells: dict[str, str]

    def spans(self, head: str) -> list[str]:
        """The code in a cell, in order."""
        return _SPAN.findall(self.cells[head])


def rows(page: Path, first: str) -> list[Row]:
    """The rows of all tables of a page whose first head is `first`."""
    found: list[Row] = []
    heads: list[str] = []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        cells = [cell.strip() for cell in line.strip()[1:-1].split("|")] if line.startswith("|") else []
        if not cells:
            heads = []
        elif not heads:
            heads = cells
        elif heads[0] == first and not line.startswith("| -"):
            if len(cells) != len(heads):
                raise PageWrong(f"{page.name}:{number}: {len(cells)} cells under {len(heads)} heads")
            found.append(Row(number, dict(zip(heads, cells, strict=True))))
    return found


def programs(ran: Ran, changes: list[str]) -> list[dict[str, Any]]:
    """The programs of a page, changed by spans in their order.

    `only gift, card` leaves the others out; `hold_days: 0` changes the first one, `gift.priority: 9` gift.
    """
    forms: list[dict[str, Any]] = _yaml(ran.files["programs.yaml"])
    for change in changes:
        if change.startswith("only "):
            names = change.removeprefix("only ").split(", ")
            forms = [next(form for form in forms if form["program_id"] == name) for name in names]
            continue
        for name, value in _yaml(change).items():
            target, _, its = name.rpartition(".")
            form = next(form for form in forms if target in ("", form["program_id"]))
            form[its] = value
    return forms


def changed(form: dict[str, Any], change: str) -> dict[str, Any]:
    """A program with fields changed by a span such as `hold_days: 31`."""
    return {**form, **_yaml(change)}


def _yaml(text: str) -> Any:
    return yaml.load(text, Loader=PlainLoader)


def _write_anew(page: Path) -> None:
    lines = page.read_text(encoding="utf-8").splitlines(keepends=True)
    for shown in reversed(run(page).shown):
        first = shown.block.line
        lines[first : first + shown.block.text.count("\n")] = [shown.text]
    page.write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    for each in PAGES:
        _write_anew(each)
