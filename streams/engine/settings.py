"""What the engine is told: plain values, read from no environment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

TRANSACTION_TIMEOUT_MS_MAX = 10_000
"""Longer would freeze every read_committed reader of the outputs for that long after a crash."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """Names are full names (prefixes already applied); durations carry their unit in the name.

    Raises ValueError naming the field, the problem and the remedy.
    """

    brokers: str
    """host:port, comma separated."""
    app_id: str
    """Consumer group, and stem of the transactional ids `{app_id}-{partition}`."""
    input_topic: str
    changelog_topic: str
    """Compacted, as many partitions as the input topic, written by this app alone."""
    partitions: int
    """Partitions of input and changelog; checked against the brokers at the start."""
    instance_id: str | None = None
    """Static group membership: a restart within the session moves no partition."""

    commit_interval_ms: int = 100
    """Outputs become visible this often; larger is faster, smaller is fresher."""
    idle_commit_interval_ms: int = 10_000
    """How often the position alone is committed when records changed nothing."""
    transaction_timeout_ms: int = TRANSACTION_TIMEOUT_MS_MAX
    session_timeout_ms: int = 6_000
    progress_timeout_ms: int = 60_000
    """Lag without progress for this long ends the process."""
    restore_timeout_ms: int = 60_000
    """A restore that reads nothing for this long ends the process."""
    startup_timeout_ms: int = 60_000
    """How long to wait for the brokers to answer at the start."""
    poll_records_max: int = 4_000
    """Half of how many records of a partition may wait for its fold; a fetch is taken whole."""
    fetch_bytes_max: int = 1_048_576
    """A partition and fetch."""
    queue_kbytes_max: int = 65_536
    """Output waiting for the brokers, a partition; beyond it the fold waits."""
    output_topics: tuple[str, ...] = ()
    """Topics only this app writes, with as many partitions: records there while the changelog is empty mean
    that the changelog was lost."""
    state: Literal["memory", "rocksdb"] = "memory"
    """Where rows are kept between commits; the changelog has them all in any case."""
    state_directory: str | None = None
    """With rocksdb: the directory under which each worker makes its own."""
    state_version: int = 1
    """Form of the fold's rows; rows of another version are never read."""
    rebuild_remedy: str = "rebuild the state from the input log"
    """What an operator does when the state cannot be used; ends messages that say so."""
    failpoint: str | None = None
    """Tests only: where to crash, see streams.engine.failpoints."""

    def __post_init__(self) -> None:
        for name in ("brokers", "app_id", "input_topic", "changelog_topic"):
            if not getattr(self, name):
                raise ValueError(f"{name} is empty: give the engine a {name}")
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            if isinstance(value, int) and value < 1:
                raise ValueError(f"{name}={value}: must be at least 1")
        if self.state == "rocksdb" and not self.state_directory:
            raise ValueError("state_directory is empty: state=rocksdb needs a directory")
        if self.transaction_timeout_ms > TRANSACTION_TIMEOUT_MS_MAX:
            raise ValueError(
                f"transaction_timeout_ms={self.transaction_timeout_ms}: a crash would hold back readers that "
                f"long; at most {TRANSACTION_TIMEOUT_MS_MAX}"
            )
        if self.commit_interval_ms * 4 > self.transaction_timeout_ms:
            raise ValueError(
                f"commit_interval_ms={self.commit_interval_ms}: at most a quarter of transaction_timeout_ms="
                f"{self.transaction_timeout_ms}, or a slow commit would be aborted by the broker"
            )

    @property
    def half_transaction_s(self) -> float:
        """Longest time a transaction stays open, and for which its commit is retried (seconds)."""
        return self.transaction_timeout_ms / 2_000

    def transactional_id(self, partition: int) -> str:
        return f"{self.app_id}-{partition}"
