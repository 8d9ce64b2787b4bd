"""The worker process: `python -m streams.worker`."""

from typing import NoReturn

from confluent_kafka import KafkaException

from ops.health import HealthServer, NotReady, Ready
from ops.process import begin
from ops.topics import TopicsDiffer, check
from streams.engine import ExitCode
from streams.engine.exits import FailStop
from streams.topology import build


def main() -> NoReturn:
    """Runs until SIGTERM; any other end is an exit code of `streams.engine.exits`.

    Raises as `begin` does when settings or schemas are wrong.
    """
    settings = begin("worker")
    try:
        check(settings)
    except TopicsDiffer as error:
        FailStop().end(ExitCode.TOPICS_UNFIT, str(error))
    except KafkaException as error:
        FailStop().end(ExitCode.BROKERS_AWAY, str(error))
    engine = build(settings)

    def readiness() -> Ready | NotReady:
        state, reason = engine.readiness.state, engine.readiness.reason
        return (
            Ready({"state": state}) if engine.readiness.ready else NotReady(reason or state, {"state": state})
        )

    HealthServer(settings.health_host, settings.health_port, readiness)
    engine.run()


if __name__ == "__main__":
    main()
