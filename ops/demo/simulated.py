"""What the stream published, held against `simulate` of the same payments and entitlements: byte for byte.

`simulate` knows all entitlements from the start and judges all members in one log; the stream learns of them
as they come, over partitions. What is said of one member must be the same records in the same order.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from hashlib import blake2b

from confluent_kafka import Message

from ops.demo.grocer import PROGRAMS_FILE, UNTIL, payments
from ops.demo.source import grocery_year
from ops.oracle.differences import Difference, Differs, Missing, Unexpected
from ops.settings import Settings
from schemas.codec import decode, encode
from schemas.program_files import read_programs
from schemas.topics import CASHBACK_EVENTS, DECISIONS, REVERSAL_CASES, Topic
from streams.purchase import PurchaseId
from streams.settlement import Datum
from streams.simulate import SimulationResult, simulate

COMPARED = (CASHBACK_EVENTS, DECISIONS, REVERSAL_CASES)
"""The topics that are compared."""


class Simulated(SimulationResult):
    """A simulation that keeps what a stream would publish, as digests by topic and member."""

    def __init__(self) -> None:
        super().__init__()
        self.published: dict[str, defaultdict[bytes, list[bytes]]] = {
            topic.name: defaultdict(list) for topic in COMPARED
        }

    def event(self, who: PurchaseId, record: str, datum: Datum) -> None:
        self._publish(CASHBACK_EVENTS, who, encode(record, datum))

    def decision(self, who: PurchaseId, datum: Datum) -> None:
        self._publish(DECISIONS, who, encode("Decision", datum))

    def case(self, who: PurchaseId, datum: Datum) -> None:
        self._publish(REVERSAL_CASES, who, encode("ReversalCase", datum))

    def _publish(self, topic: Topic, who: PurchaseId, value: bytes) -> None:
        self.published[topic.name][who.member_key].append(_digest(value))


def simulate_year(settings: Settings, households: int | None, seed: int) -> Simulated:
    """The demo's year as `simulate` judges it."""
    made = payments(grocery_year(households, seed))
    result = Simulated()
    simulate(
        read_programs(PROGRAMS_FILE).programs,
        made.transactions,
        made.entitlements,
        UNTIL,
        refund_horizon_days=settings.refund_horizon_days,
        parked_days=settings.parked_days,
        into=result,
    )
    return result


def compare_topic(
    expected: Simulated, topic: Topic, found: Iterable[Message]
) -> tuple[int, list[Difference]]:
    """How many records of a topic were held against the simulation's, and where they differ."""
    left = expected.published[topic.name]
    subject = f"simulated {topic.name}"
    at: Counter[bytes] = Counter()
    compared = 0
    differences: list[Difference] = []
    for message in found:
        compared += 1
        key, value = message.key() or b"", message.value() or b""
        mine, place = left.get(key, []), at[key]
        at[key] += 1
        if place >= len(mine):
            differences.append(Unexpected(subject, _name(key, place), decode(value)))
        elif mine[place] != _digest(value):
            differences.append(Differs(subject, _name(key, place), "record", "another", decode(value)))
    for key, mine in left.items():
        if at[key] < len(mine):
            differences.append(Missing(subject, _name(key, at[key]), f"{len(mine) - at[key]} records"))
    return compared, differences


def _name(key: bytes, place: int) -> str:
    return f"{place + 1} of {key.decode('utf-8', 'replace')}"


def _digest(value: bytes) -> bytes:
    return blake2b(value, digest_size=16).digest()
