"""Programs on their way into the stream: held against the catalogue, written everywhere, looked at again."""

from collections.abc import Sequence

from connectors.writer import InputsWriter
from ops.programs.catalogue import read_catalogue
from ops.programs.plan import Added, Refused, Step, plan
from ops.settings import Settings
from schemas.program_files import contradictions
from schemas.programs import ProgramSpec
from schemas.times import Micros


class PublishedTwice(Exception):
    """Somebody else published another content under the same version, or another asset, at the same time."""


def prepare(settings: Settings, programs: Sequence[ProgramSpec], now: Micros) -> list[Step]:
    """What publishing `programs` would do. Raises `CatalogueUnreadable`, KafkaException."""
    return plan(programs, read_catalogue(settings).programs, now)


def publish(settings: Settings, steps: Sequence[Step]) -> int:
    """Write the added versions into every partition and the catalogue; returns how many partitions.

    Idempotent: after a failure at any point it is done again from `prepare` on. Raises `InputsUnavailable`,
    `PublishedTwice`, `CatalogueUnreadable`, KafkaException.
    """
    assert not any(isinstance(step, Refused) for step in steps)
    added = [step.spec for step in steps if isinstance(step, Added)]
    with InputsWriter(settings) as writer:
        writer.write_programs(added)
    _look_again(settings, added)
    return writer.partitions


def _look_again(settings: Settings, added: list[ProgramSpec]) -> None:
    """Nothing locks the catalogue: of two who publish at once, whoever writes last sees both here."""
    found = read_catalogue(settings)
    names = {(spec.program_id, spec.version) for spec in found.contested}
    contested = [
        f"{spec.program_id} version {spec.version}"
        for spec in added
        if (spec.program_id, spec.version) in names
        or contradictions([each for each in found.programs if each.program_id == spec.program_id])
    ]
    if contested:
        raise PublishedTwice(
            f"{', '.join(contested)}: somebody else published another content at the same time, and "
            "partitions may have taken either; agree on one and publish it as a new version"
        )
