"""Who leads what in the cluster: partitions, coordinators, the quorum of controllers."""

import socket
import struct

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from ops.embedded.ports import LOOPBACK
from ops.torture.looking import ASK_S, NoAnswer

OFFSETS, TRANSACTIONS = "__consumer_offsets", "__transaction_state"
_DESCRIBE_QUORUM, _VERSION, _CORRELATION = 55, 0, 1
_METADATA_LOG = b"__cluster_metadata"
_NO_TAGS = b"\0"


class Cluster:
    """Asks the brokers. Every method raises `NoAnswer` while they cannot say."""

    def __init__(self, brokers: str) -> None:
        self._admin = AdminClient({"bootstrap.servers": brokers, "log_level": 0})
        self._ports = [int(each.rpartition(":")[2]) for each in brokers.split(",")]

    def leader(self, topic: str, partition: int) -> int:
        """The id of the broker that leads a partition."""
        try:
            leader: int = (
                self._admin.list_topics(topic, timeout=ASK_S).topics[topic].partitions[partition].leader
            )
        except (KafkaException, KeyError) as error:
            raise NoAnswer(f"{topic}[{partition}] has no leader: {error}") from error
        if leader < 1:
            raise NoAnswer(f"{topic}[{partition}] has no leader")
        return leader

    def coordinator(self, topic: str, name: str) -> int:
        """The id of the broker that coordinates a group (topic `OFFSETS`) or a transactional id."""
        try:
            partitions = len(self._admin.list_topics(topic, timeout=ASK_S).topics[topic].partitions)
        except (KafkaException, KeyError) as error:
            raise NoAnswer(f"{topic}: {error}") from error
        return self.leader(topic, java_hash(name) % partitions)

    def controller(self) -> int:
        """The id of the active controller."""
        for port in self._ports:
            try:
                return quorum_leader(port)
            except OSError:
                continue
        raise NoAnswer("no broker says who the controller is")

    def is_whole(self) -> bool:
        """Whether every replica of every partition is in sync."""
        try:
            topics = self._admin.list_topics(timeout=ASK_S).topics.values()
        except KafkaException:
            return False
        return all(
            len(partition.isrs) == len(partition.replicas) and partition.leader > 0
            for topic in topics
            for partition in topic.partitions.values()
        )


def java_hash(text: str) -> int:
    """`String.hashCode`, made positive as Kafka does it."""
    code = 0
    for character in text:
        code = (31 * code + ord(character)) & 0xFFFFFFFF
    signed = code - (1 << 32) if code >> 31 else code
    return abs(signed) & 0x7FFFFFFF


def quorum_leader(port: int) -> int:
    """DescribeQuorum, asked by hand: no client library has it. Raises OSError."""
    topic = bytes([len(_METADATA_LOG) + 1]) + _METADATA_LOG
    body = b"\2" + topic + b"\2" + struct.pack(">i", 0) + _NO_TAGS + _NO_TAGS + _NO_TAGS
    head = struct.pack(">hhih", _DESCRIBE_QUORUM, _VERSION, _CORRELATION, -1) + _NO_TAGS
    request = head + body
    with socket.create_connection((LOOPBACK, port), timeout=ASK_S) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        length = struct.unpack(">i", _exactly(connection, 4))[0]
        answer = _exactly(connection, length)
    # correlation id, tags, error, one topic with its name, one partition: index, error, leader
    at = 4 + 1 + 2 + 1 + len(topic) + 1 + 4
    error, leader = struct.unpack_from(">hi", answer, at)
    if error or leader < 1:
        raise ConnectionError(f"no controller is known (error {error})")
    return int(leader)


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        if not more:
            raise ConnectionError("the broker hung up")
        data += more
    return data
