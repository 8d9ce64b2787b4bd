"""Text from outside on a terminal: nothing of it is taken for markup, or for the terminal's own signs."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unicodedata import category

if TYPE_CHECKING:
    from rich.table import Table

_PIPE_WIDTH = 160
_SIGNS = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Control characters, and what turns the direction of a line or breaks it."""


def printable(text: str) -> str:
    """The text with such signs spelt: an escape sequence in a key is a sender's word to the terminal."""
    if text.isprintable():
        return text
    return "".join(_spelt(sign) if category(sign) in _SIGNS else sign for sign in text)


def print_plain(table: Table) -> None:
    """A table of which every text is taken as it is. Names in brackets are no markup."""
    from rich.console import Console

    console = Console()
    # A pipe has no width of its own; a table cut to 80 columns would hide figures.
    Console(width=None if console.is_terminal else _PIPE_WIDTH, markup=False, emoji=False).print(table)


def _spelt(sign: str) -> str:
    return sign.encode("unicode_escape").decode()
