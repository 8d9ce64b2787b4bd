"""The programs that are compared, each started the same way at a place of its own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ops.bench.measure import BenchFailed, module
from ops.bench.peers import kafka_streams, quix_environment
from ops.bench.peers.step import Place, has_compiled_codec
from ops.embedded.jars import Say


@dataclass(frozen=True)
class Build:
    """What a program may need to be built: where compiled files go, the cache, where progress goes."""

    directory: Path
    home: Path
    say: Say


Command = Callable[[Place, Build], tuple[str, ...]]
"""The command line of a program at a place. May raise `StartError`: it cannot run here, and why."""


@dataclass(frozen=True)
class Program:
    """One of those compared.

    exactly_once: whether its outputs must be exact. slow: it gets fewer records. changelog: the name of its
    changelog, from its group; made before it starts where `makes_changelog` is False.
    """

    command: Command
    exactly_once: bool = True
    slow: bool = False
    makes_changelog: bool = False
    changelog: Callable[[str], str] = lambda group: f"{group}-changelog"
    note: str = ""


def _ours(codec: str, state: str = "memory") -> Command:
    return lambda place, _: module("ops.bench.peers.ours", *place.arguments(), codec, state)


def _bare(codec: str) -> Command:
    return lambda place, _: module("ops.bench.peers.bare", *place.arguments(), codec)


def _stock(guarantee: str) -> Command:
    return lambda place, _: module("ops.bench.peers.stock_faust", *place.arguments(), guarantee)


def _kafka_streams(store: str) -> Program:
    def command(place: Place, build: Build) -> tuple[str, ...]:
        return kafka_streams.program(place, build.directory, build.home, store, build.say)

    note = f"exactly_once_v2, 1 thread, store {store}, linger 50 ms, batches of 256 KB, parallel collector"
    return Program(command, makes_changelog=True, note=note)


def programs() -> dict[str, Program]:
    """All, by the name they have in the report.

    Kafka Streams runs with the store it has by default, and in memory without a cache: of its four kinds the
    one that costs it least (and its brokers most, for nothing is coalesced).
    """
    compiled = {
        "ours": Program(_ours("compiled"), note="compiled codec, state in memory"),
        "ours_rocksdb": Program(_ours("compiled", "rocksdb"), note="compiled codec, state in RocksDB"),
        "bare_loop_compiled": Program(
            _bare("compiled"), exactly_once=False, note="at least once, compiled codec"
        ),
    }
    return {
        **(compiled if has_compiled_codec() else {}),
        "ours_fastavro": Program(_ours("fastavro"), note="fastavro, state in memory"),
        "kafka_streams": _kafka_streams("rocksdb-cached"),
        "kafka_streams_in_memory": _kafka_streams("memory"),
        "quix": Program(
            lambda place, build: quix_environment.program(place, build.home, build.say),
            makes_changelog=True,
            note="exactly-once, fastavro, RocksDB as it comes, linger 50 ms, batches of 256 KB",
        ),
        "stock_faust": Program(
            _stock("at_least_once"), exactly_once=False, slow=True, makes_changelog=True,
            changelog=_table, note="default settings, fastavro",
        ),
        "stock_faust_exactly_once": Program(
            _stock("exactly_once"), exactly_once=False, slow=True, makes_changelog=True,
            changelog=_table, note="default settings, fastavro",
        ),
        "bare_loop": Program(_bare("fastavro"), exactly_once=False, note="at least once, fastavro"),
    }  # fmt: skip


def named(known: Mapping[str, Program], only: Sequence[str]) -> dict[str, Program]:
    """Those of `known` that are wanted; all where `only` is empty. Raises `BenchFailed` for other names."""
    if unknown := [name for name in only if name not in known]:
        raise BenchFailed(f"nothing here is called {', '.join(unknown)}: choose of {', '.join(known)}")
    return {name: program for name, program in known.items() if not only or name in only}


def _table(group: str) -> str:
    return f"{group}-members-changelog"
