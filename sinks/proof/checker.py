"""The running proof beside the ledger sink: its own thread and session, at a low pace, told in metrics."""

import threading
import time
from collections.abc import Callable

import psycopg

from ops import metrics
from ops.logs import get_logger
from ops.settings import Settings
from sinks.database import READER_ROLE, become, session_options
from sinks.proof.running import Prover, Round, TooManyAccounts

REST = 9.0
"""It rests so many times as long as it worked: a tenth of a core at most, here and in the database."""
NAMED_MAX = 20
PATIENCE = "30min"
_BACK_OFF_S = 10.0


class Checker:
    """Proves while `is_wanted` says so; `start` and forget, or `stop`."""

    def __init__(self, settings: Settings, is_wanted: Callable[[], bool]) -> None:
        self._url = settings.database_url
        self._interval_s = settings.ledger_proof_interval_s
        self._is_wanted = is_wanted
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="proof", daemon=True)

    def start(self) -> None:
        """Begin; does nothing when the interval is 0."""
        if self._interval_s:
            self._thread.start()

    def stop(self) -> None:
        """End after the statement under way."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.wait(1.0):
            if not self._is_wanted():
                continue
            try:
                with psycopg.connect(self._url, autocommit=True, **session_options("proof")) as connection:
                    # An account that seems to drift is proved from its first transfer on.
                    connection.execute(f"SET statement_timeout = '{PATIENCE}'")
                    become(connection, READER_ROLE)
                    self._prove(Prover(connection))
            except TooManyAccounts as error:
                get_logger().error("balances are not proved any more", error=str(error))
                return
            except psycopg.Error as error:
                # The sink says itself when its database is away; here a proof is begun anew.
                get_logger().warning("proof interrupted", error=str(error).strip())
                self._stop.wait(_BACK_OFF_S)

    def _prove(self, prover: Prover) -> None:
        began_s = time.monotonic()
        for _ in prover.begin():
            if self._is_over_after((time.monotonic() - began_s) * REST):
                return
            began_s = time.monotonic()
        while True:
            began_s = time.monotonic()
            done = prover.round()
            if done is not None:
                tell(done)
            if self._is_over_after(max(self._interval_s, (time.monotonic() - began_s) * REST)):
                return

    def _is_over_after(self, seconds: float) -> bool:
        return self._stop.wait(seconds) or not self._is_wanted()


def tell(done: Round) -> None:
    """Set the metrics, and log each account that drifts (the first ones of many)."""
    metrics.ledger_drift_accounts.set(len(done.drifting))
    metrics.ledger_imbalance_minor.set(done.imbalance)
    metrics.ledger_proved_timestamp_seconds.set(time.time())
    for account, kept, proved in done.drifting[:NAMED_MAX]:
        get_logger().error("balance drifts", account_id=account, balance=kept, transfers=proved)
    if done.imbalance:
        get_logger().error("balances do not come to 0", imbalance=done.imbalance)
