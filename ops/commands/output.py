"""Files that commands read and write."""

from collections.abc import Sequence
from pathlib import Path

import typer

from schemas.errors import Rejected
from schemas.programs import ProgramSpec


def write_text(path: Path, text: str) -> None:
    """Write a whole file in UTF-8. Raises `Rejected` naming it when that cannot be."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Rejected(str(path), f"cannot be written ({error.strerror})", "choose another place") from None


def tell_if_none(path: Path, programs: Sequence[ProgramSpec]) -> None:
    """Say on standard error that a file of programs is empty: nothing else would say why nothing earns."""
    if not programs:
        typer.echo(f"{path}: it holds no program, so nothing can earn under it", err=True)
