"""Refuses to run on versions whose inner parts nobody looked at.

The engine overrides methods Faust does not promise to keep (streams.engine.delivery, streams.engine.app).
A changed one could drop records silently, so an unknown version is an error, not a warning.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

KNOWN: Mapping[str, frozenset[str]] = {
    "faust-streaming": frozenset({"0.15.3"}),
    "mode-streaming": frozenset({"0.7.1"}),
    "aiokafka": frozenset({"0.14.0"}),
}


class UnknownVersion(RuntimeError):
    """An installed package is not one the engine was tested with."""


def require_known_versions(known: Mapping[str, frozenset[str]] = KNOWN) -> None:
    """Raises UnknownVersion naming what is installed, what is known and what to do."""
    for package, tested in known.items():
        try:
            installed = version(package)
        except PackageNotFoundError:
            installed = "none"
        if installed not in tested:
            raise UnknownVersion(
                f"{package}: installed is {installed}, known to the engine is {', '.join(sorted(tested))}. "
                "Install the locked versions (uv sync --frozen), or run tests/engine on the new one, "
                "compare the overridden methods and add it to streams/engine/versions.py."
            )
