"""The whole stream on one page: the topic it reads, the agent, its stages in order, the topics it writes.

    inputs ──▶ decide ──▶ cashback-events    created, cleared, reverted
                 │   ├──▶ decisions          why each payment did or did not earn
                 │   ├──▶ budget-requests    how much a partition asks of a shared budget, or gives back
               state ├──▶ reversal-cases     cleared rewards that a refund left too high
                     └──▶ quarantine         what could not be accepted

All five stages run in one pass over one log: nothing has to meet across topics, so nothing can race.
"""

from typing import Any

from ops import metrics
from ops.settings import Settings
from schemas.topics import CASHBACK_EVENTS, DECISIONS, INPUTS, STATE, WORKER_GROUP
from streams import dedup, matching, pending, refunds, reward
from streams.engine import Engine, EngineSettings
from streams.fold import STATE_VERSION, CashbackFold
from streams.quarantine import BadRun
from streams.telemetry import WorkerTelemetry

APP = WORKER_GROUP

STAGES = (
    dedup,  # new, repeated, or contradicting what came first?
    matching,  # which programs name it, which of them reward it, and which one wins?
    reward,  # how much, in integers, on gross and on what is left after refunds?
    pending,  # hold it; clear it when it is due, revert it when it expires or changes
    refunds,  # park what comes before its purchase; open a case for what comes after clearing
)
"""In the order in which a payment passes them; `member_log` joins them by the row of the purchase."""


def build(settings: Settings) -> Engine:
    """The worker's engine with its one agent. Raises `UnknownVersion` on a Faust it was not tested with."""
    input_topic = INPUTS.full_name(settings.topic_prefix)
    telemetry = WorkerTelemetry()
    bad_run = BadRun(settings.bad_input_limit)

    def fold(partition: int, store: Any, send: Any) -> CashbackFold:
        return CashbackFold(
            partition,
            store,
            send,
            settings,
            input_topic=input_topic,
            bad_run=bad_run,
            report=telemetry.report,
            pause=pause,
        )

    def pause(reason: str) -> None:
        metrics.worker_paused.set(1)
        engine.pause(reason)

    engine = Engine(engine_settings(settings), fold, telemetry)

    @engine.app.agent(engine.input)
    async def decide(stream: Any) -> None:
        async for batch in engine.batches(stream):
            await engine.take(batch)

    return engine


def engine_settings(settings: Settings) -> EngineSettings:
    """What the engine is told of the settings of the process."""
    return EngineSettings(
        brokers=settings.brokers,
        app_id=settings.topic_prefix + APP,
        input_topic=INPUTS.full_name(settings.topic_prefix),
        changelog_topic=STATE.full_name(settings.topic_prefix),
        partitions=settings.partitions,
        output_topics=tuple(topic.full_name(settings.topic_prefix) for topic in (CASHBACK_EVENTS, DECISIONS)),
        instance_id=settings.instance_id,
        commit_interval_ms=settings.commit_interval_ms,
        transaction_timeout_ms=settings.transaction_timeout_ms,
        session_timeout_ms=settings.session_timeout_ms,
        progress_timeout_ms=settings.stall_timeout_ms,
        state=settings.state,
        state_directory=str(settings.state_directory or settings.home / "state"),
        state_version=STATE_VERSION,
        rebuild_remedy="stop all workers and run `cashback partitions rebuild`",
        failpoint=settings.failpoint,
    )
