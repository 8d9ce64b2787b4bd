"""Every setting, with its unit and its bound. The only reader of the environment."""

import os
from collections.abc import Iterable
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

_PREFIX = "CASHBACK_"


class MisspeltSetting(Exception):
    """A variable that nobody reads has nearly the name of a setting; the message says of which."""


class Settings(BaseSettings):
    """Settings of all processes, read from `CASHBACK_…` variables.

    Raises `pydantic.ValidationError` naming the variable when a value does not fit.
    """

    model_config = SettingsConfigDict(env_prefix=_PREFIX, frozen=True, extra="ignore")

    brokers: str = Field("127.0.0.1:9092", description="Kafka bootstrap servers, comma separated")
    database_url: str = Field("postgresql://127.0.0.1:5432/cashback", description="PostgreSQL, libpq URL")
    registry_url: str | None = Field(None, description="Schema registry; none: the lock file alone")
    home: Path = Field(Path.home() / ".cache" / "cashback", description="Embedded servers: jars and files")

    topic_prefix: str = Field(
        "",
        max_length=64,
        pattern=r"^[A-Za-z0-9._-]*$",
        description="Put before every topic, group and transactional id",
    )
    partitions: int = Field(4, ge=1, le=1024, description="Partitions of inputs, fixed at birth")
    replication_factor: int = Field(1, ge=1, le=5, description="Replicas of every topic")
    clock: Literal["broker", "event"] = Field(
        "broker", description="broker: append time of the log; event: the loader's stamp (history)"
    )

    commit_interval_ms: int = Field(100, ge=5, le=2_000, description="Longest time a transaction collects")
    transaction_timeout_ms: int = Field(
        10_000, ge=1_000, le=10_000, description="Broker aborts a transaction after"
    )
    session_timeout_ms: int = Field(6_000, ge=6_000, le=60_000, description="Group session of a worker")
    instance_id: str | None = Field(None, description="Static group membership of this worker")
    stall_timeout_ms: int = Field(
        30_000, ge=5_000, le=600_000, description="No progress while there is lag for so long ends the worker"
    )
    state: Literal["memory", "rocksdb"] = Field(
        "memory", description="memory: all rows in memory; rocksdb: on disk, a restart reads the tail only"
    )
    state_directory: Path | None = Field(
        None, description="state=rocksdb: where workers keep rows; none: `state` in home"
    )
    due_slice: int = Field(5_000, ge=1, le=1_000_000, description="Due items fired before a commit")
    failpoint: str | None = Field(None, description="Crash on purpose (tests only)")
    bad_input_limit: int = Field(
        1_000,
        ge=0,
        le=1_000_000,
        description="So many bad inputs in a row, of two partners, pause the worker for good; 0: never",
    )

    refund_horizon_days: int = Field(
        180, ge=1, le=3_650, description="How long a finished purchase is remembered"
    )
    parked_days: int = Field(60, ge=1, le=365, description="How long a refund waits for its purchase")
    max_age_days: int = Field(
        35, ge=1, le=3_650, description="Oldest occurred_at behind the clock (clock=broker)"
    )
    max_skew_minutes: int = Field(
        5, ge=0, le=1_440, description="Furthest occurred_at ahead of the clock (clock=broker)"
    )

    commission_bps: int = Field(
        1_000, ge=0, le=10_000, description="Commission on rewards, hundredths of a percent"
    )

    reversal_approvals: int = Field(
        1, ge=1, le=2, description="How many people must approve before a cleared cashback is taken back"
    )

    ledger_batch_events: int = Field(
        10_000, ge=1, le=100_000, description="Most events in one ledger transaction"
    )
    ledger_lanes: int = Field(
        2, ge=1, le=16, description="Sessions the ledger posts through, each for its share of the partitions"
    )
    ledger_proof_interval_s: float = Field(
        60, ge=0, le=86_400, description="Balances are held against transfers so often; 0: never"
    )
    sink_stale_ms: int = Field(
        10_000, ge=1_000, le=600_000, description="A sink silent for so long is taken over"
    )

    webhook_allow_loopback: bool = Field(
        False, description="Deliver to this machine, also over http (development)"
    )
    webhook_timeout_s: float = Field(
        15.0, gt=0, le=120, description="One whole attempt: connect, send, answer"
    )
    webhook_endpoint_requests: int = Field(
        32, ge=1, le=1_000, description="Attempts under way to one endpoint"
    )
    webhook_host_connections: int = Field(
        256, ge=1, le=10_000, description="Connections to one host and port"
    )
    webhook_retry_delays_s: tuple[float, ...] = Field(
        (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400),
        min_length=1,
        description="Wait before each repetition of a failed attempt; after the last it is given up",
    )
    webhook_circuit_failures: int = Field(
        8, ge=1, le=10_000, description="Failures in a row after which an endpoint gets one probe at a time"
    )
    webhook_circuit_pause_s: float = Field(
        30, ge=1, le=3_600, description="Longest time between two probes; the first is after 1 s"
    )
    webhook_disable_after_hours: float = Field(
        120, gt=0, description="An endpoint is disabled when all attempts failed for so long"
    )

    health_host: str = Field("127.0.0.1", description="Where /healthz, /readyz and /metrics listen")
    health_port: int = Field(0, ge=0, le=65_535, description="Port of the same; 0: a free one")
    exits: dict[int, int] = Field(
        {}, description="How often this process ended before, by exit code; its supervisor tells (JSON)"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least level that is logged"
    )
    log_format: Literal["json", "console"] = Field("json", description="One JSON object a line, or for eyes")


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The settings of this process, read once. Raises as `Settings`, and `MisspeltSetting`."""
    _refuse_misspelt(os.environ)  # noqa: TID251 - this is that reader
    return Settings()


def _refuse_misspelt(variables: Iterable[str]) -> None:
    # Not every unknown one: a platform may set CASHBACK_SERVICE_HOST for a service of this name.
    known = [_PREFIX + name.upper() for name in Settings.model_fields]
    for variable in variables:
        if variable.startswith(_PREFIX) and variable not in known:
            for near in get_close_matches(variable, known, n=1, cutoff=0.9):
                raise MisspeltSetting(
                    f"{variable}: no such setting; if you mean {near}, rename it, else unset it"
                )
