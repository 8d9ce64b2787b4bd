"""The demo's own directory: emptied or kept, and who receives its webhooks."""

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from ops.embedded.children import StartError, end_leftover
from ops.embedded.ports import free_port
from ops.running import Claim
from sinks.webhooks.signing import new_secret

_LOCK = "up.lock"
_SERVERS = ("kafka", "postgres")


@dataclass(frozen=True)
class Publisher:
    """Where webhooks go and what they are signed with; the same as long as the directory is kept."""

    port: int
    secret: str
    is_registered: bool

    @property
    def url(self) -> str:
        """The endpoint as it is registered."""
        return f"http://127.0.0.1:{self.port}/webhooks"


def prepare(data: Path, *, keep: bool) -> Publisher:
    """Empty `data` unless `keep`; the publisher known there, else a new one.

    Raises `AlreadyRunningError` when something runs on it, `StartError` when the publisher's port is taken.
    """
    claim = Claim(data)
    try:
        if not keep:
            _empty(data)
        return _publisher(data)
    finally:
        claim.release()


def remember(data: Path, publisher: Publisher) -> None:
    """The publisher is registered: the next run with --keep finds it."""
    _file(data).write_text(json.dumps(asdict(publisher) | {"is_registered": True}))


def secret_file(data: Path) -> Path:
    """Where the receiver reads the secret, readable by us alone."""
    return data / "receiver.secret"


def _publisher(data: Path) -> Publisher:
    if _file(data).exists():
        known = Publisher(**json.loads(_file(data).read_text()))
        if free_port(known.port) != known.port:
            raise StartError(
                f"port {known.port} of the demo's receiver is taken by another program: "
                "end that one, or start afresh without --keep"
            )
        return known
    made = Publisher(free_port(), new_secret(), is_registered=False)
    for path, text in ((_file(data), json.dumps(asdict(made))), (secret_file(data), made.secret)):
        path.touch(mode=0o600)
        path.write_text(text)
    return made


def _file(data: Path) -> Path:
    return data / "publisher.json"


def _empty(data: Path) -> None:
    for server in _SERVERS:
        end_leftover(data / server / f"{server}.pid")
    for path in data.iterdir():
        if path.name == _LOCK:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
