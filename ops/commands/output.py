"""Files that commands write."""

from pathlib import Path

from schemas.errors import Rejected


def write_text(path: Path, text: str) -> None:
    """Write a whole file in UTF-8. Raises `Rejected` naming it when that cannot be."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Rejected(str(path), f"cannot be written ({error.strerror})", "choose another place") from None
