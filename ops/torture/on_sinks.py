"""Blows to the sinks, to the receiver, and to the database between them."""

import time
from contextlib import ExitStack

import psycopg

from ops.torture.commits import Cut, When
from ops.torture.load import PARTNERS
from ops.torture.looking import Table
from ops.torture.proxy import Gate
from ops.torture.receiver import Behaviour, behave
from ops.torture.strike import Strike
from ops.torture.system import LEDGER, RIVAL, WEBHOOKS

CUT_S_MAX = 60.0
_DISABLED = "SELECT endpoint_id FROM webhook_endpoints WHERE disabled_at IS NOT NULL"


def kill_ledger(strike: Strike) -> None:
    """SIGKILL, wherever it is."""
    _kill(strike, LEDGER)


def kill_webhooks(strike: Strike) -> None:
    """SIGKILL, wherever it is."""
    _kill(strike, WEBHOOKS)


def suspend_ledger(strike: Strike) -> None:
    """Asleep while a second one takes over; when it wakes up it must not post, nor be lost."""
    supervisor = strike.system.supervisor
    strike.system.begin(RIVAL)
    strike.await_ready(LEDGER)
    strike.await_there(RIVAL)
    struck_s = time.monotonic()
    supervisor.pause(LEDGER)
    strike.felt_since(struck_s)
    strike.hold(strike.rng.uniform(0, 3))
    supervisor.resume(LEDGER)
    strike.rest(strike.rng.uniform(0, 2))
    struck_s = time.monotonic()
    supervisor.stop(RIVAL)
    strike.felt_since(struck_s, back=[LEDGER])


def cut_commit_before(strike: Strike) -> None:
    """The COMMIT of a ledger batch never reaches the server."""
    _cut(strike, strike.system.ledger_gate, When.BEFORE)


def cut_commit_after(strike: Strike) -> None:
    """The server commits a ledger batch, and its answer never arrives: nobody told the ledger."""
    _cut(strike, strike.system.ledger_gate, When.AFTER)


def cut_webhooks_commit(strike: Strike) -> None:
    """The same for the dispatcher's notes of what was delivered."""
    _cut(strike, strike.system.webhooks_gate, strike.rng.choice(list(When)))


def misbehave(strike: Strike) -> None:
    """A receiver that refuses, hangs, resets, talks without end, or forgets that it took something."""
    behaviour = strike.rng.choice([each for each in Behaviour if each is not Behaviour.GOOD])
    path, port = f"/{strike.rng.choice(PARTNERS)}", strike.system.layout.receiver
    strike.note(f"{path} {behaviour}")
    behave(port, path, behaviour)
    try:
        strike.hold(strike.rng.uniform(3, 7))
    finally:
        behave(port, path, Behaviour.GOOD)
        healed_s = time.monotonic()
    if behaviour is Behaviour.GONE:
        _enable_endpoints(strike)
    strike.felt_since(healed_s)


def kill_postgres(strike: Strike) -> None:
    """SIGKILL of the server, then started again on what lay on its disk."""
    postgres, struck_s = strike.system.postgres, time.monotonic()
    postgres.kill()
    strike.rest(strike.rng.uniform(0, 2))
    strike.system.on_the_ground(postgres.start)
    strike.lasted_s = time.monotonic() - struck_s
    strike.felt_since(time.monotonic())


def postgres_away(strike: Strike) -> None:
    """Connections are cut, and none is let in for a while."""
    for gate in strike.system.database_gates:
        gate.refuse()
    _heal_after(strike, strike.rng.uniform(5, 20))


def postgres_slow(strike: Strike) -> None:
    """Every message takes its time both ways."""
    delay_s = strike.rng.uniform(0.02, 0.2)
    strike.note(f"{delay_s * 1_000:.0f} ms")
    for gate in strike.system.database_gates:
        gate.slow(delay_s=delay_s)
    _heal_after(strike, strike.rng.uniform(5, 10))


def postgres_full(strike: Strike) -> None:
    """All connections there may be are somebody else's, just when ours are cut."""
    taken = 0
    with ExitStack() as held:
        for gate in strike.system.database_gates:
            gate.refuse()
        for _ in range(200):
            try:
                connection = psycopg.connect(strike.system.postgres.url, connect_timeout=5)
            except psycopg.OperationalError:
                break
            held.callback(connection.close)
            taken += 1
        for gate in strike.system.database_gates:
            gate.open()
        strike.note(f"{taken} connections")
        strike.hold(strike.rng.uniform(3, 8))
    strike.felt_since(time.monotonic(), back=[LEDGER, WEBHOOKS])


def _kill(strike: Strike, name: str) -> None:
    strike.felt_since(strike.kill(name), back=[name])


def _cut(strike: Strike, gate: Gate, when: When) -> None:
    cut = Cut(when, spared=strike.rng.randint(0, 3))
    strike.note(when)
    gate.cut_commit(cut)
    try:
        strike.wait_until(cut.done.is_set, "a COMMIT to cut", timeout_s=CUT_S_MAX)
    finally:
        cut.done.set()  # one that comes too late is not cut
    strike.felt_since(time.monotonic())


def _heal_after(strike: Strike, seconds: float) -> None:
    try:
        strike.hold(seconds)
    finally:
        for gate in strike.system.database_gates:
            gate.open()
    strike.felt_since(time.monotonic())


def _enable_endpoints(strike: Strike) -> None:
    """What an operator does when a receiver that said 410 is back."""
    from sinks.webhooks.endpoints import enable

    url = strike.system.postgres.url
    table = Table(url)
    try:
        disabled = [endpoint_id for (endpoint_id,) in table.rows(_DISABLED)]
    finally:
        table.close()
    missed = sum(
        enable(url, endpoint_id, actor="torture", reason="it is back") or 0 for endpoint_id in disabled
    )
    strike.note(f"{len(disabled)} endpoints enabled again, {missed} messages queued that they missed")
