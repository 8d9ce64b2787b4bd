"""A COMMIT is cut exactly where it is asked for: the server has committed, or it has not."""

from collections.abc import Callable, Iterator

import psycopg
import pytest

from ops.embedded.ports import lasting_ports
from ops.embedded.postgres import Postgres
from ops.torture.commits import Cut, Dialogue, When
from ops.torture.proxy import Gate, Network

Connect = Callable[[], psycopg.Connection]


@pytest.fixture
def gate(postgres: Postgres) -> Iterator[Gate]:
    """A gate before the real server."""
    with Network() as network:
        port = int(postgres.address.rpartition(":")[2])
        yield network.gate(lasting_ports(1)[0], port, speaks_postgres=True)


@pytest.fixture
def connect(gate: Gate, database: str) -> Connect:
    """Connects through the gate; there is a table `marks`."""
    with psycopg.connect(database, autocommit=True) as direct:
        direct.execute("CREATE TABLE marks (mark text)")
    before, _, name = database.rpartition("/")
    url = f"{before.rpartition(':')[0]}:{gate.port}/{name}"
    return lambda: psycopg.connect(url, autocommit=True)


def mark(connection: psycopg.Connection, text: str) -> None:
    """One row in a transaction."""
    with connection.transaction():
        connection.execute("INSERT INTO marks VALUES (%s)", (text,))


def mark_often(connection: psycopg.Connection, text: str) -> None:
    """Many rows in a transaction, in bulk, that look like what is looked for."""
    with connection.transaction():
        with connection.cursor().copy("COPY marks FROM STDIN") as copy:
            for _ in range(500):
                copy.write_row((f"{text} COMMIT",))
        connection.execute("SELECT 'COMMIT'")


@pytest.mark.parametrize(("when", "kept"), [(When.BEFORE, []), (When.AFTER, ["cut"])])
def test_the_client_cannot_tell_but_the_server_can(
    gate: Gate, connect: Connect, database: str, when: When, kept: list[str]
) -> None:
    cut = Cut(when)
    with connect() as connection:
        gate.cut_commit(cut)
        with pytest.raises(psycopg.OperationalError):
            mark(connection, "cut")
    assert cut.done.is_set()
    with psycopg.connect(database) as direct:
        assert [mark for (mark,) in direct.execute("SELECT mark FROM marks")] == kept
    with connect() as connection:
        mark(connection, "later")


def test_so_many_commits_are_spared_as_asked_also_after_bulk_data(
    gate: Gate, connect: Connect, database: str
) -> None:
    cut = Cut(When.BEFORE, spared=2)
    with connect() as connection:
        gate.cut_commit(cut)
        mark_often(connection, "one")
        mark_often(connection, "two")
        with pytest.raises(psycopg.OperationalError):
            mark_often(connection, "three")
    with psycopg.connect(database) as direct:
        found = direct.execute("SELECT DISTINCT mark FROM marks ORDER BY mark").fetchall()
    assert found == [("one COMMIT",), ("two COMMIT",)]


def test_a_message_is_found_however_it_is_cut_into_pieces() -> None:
    startup = (12).to_bytes(4, "big") + (196_608).to_bytes(4, "big") + b"a\0b\0"
    insert = b"Q" + (4 + 7).to_bytes(4, "big") + b"COMMAND"
    commit = b"Q" + (4 + 7).to_bytes(4, "big") + b"COMMIT\0"
    said = startup + insert + commit
    for size in range(1, len(said) + 1):
        cut, dialogue, passed = Cut(When.BEFORE), Dialogue(), b""
        for start in range(0, len(said), size):
            piece, is_cut = dialogue.said(said[start : start + size], cut)
            passed += piece
            if is_cut:
                break
        assert cut.done.is_set()
        assert passed.startswith(startup + insert)
        assert len(passed) < len(said)


def test_nothing_is_cut_when_nobody_asked() -> None:
    assert Dialogue().said(b"anything", None) == (b"anything", False)
