"""The worker process: `python -m streams.worker`."""

from typing import NoReturn

from ops.health import HealthServer, NotReady, Ready
from ops.process import begin
from ops.topics import check
from streams.topology import build


def main() -> NoReturn:
    """Runs until SIGTERM; any other end is an exit code of `streams.engine.exits`.

    Raises `TopicsDiffer` when the topics are not as the registry says.
    """
    settings = begin("worker")
    check(settings)
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
