"""The ledger sink as a process: `python -m sinks.ledger`."""

import os
import sys

from sinks.ledger import SINK
from sinks.ledger.consumer import LedgerWork
from sinks.proof.checker import Checker
from sinks.serving import serve

if __name__ == "__main__":
    sys.stdout.flush()
    # Threads of the drivers must not hold up the end of a process whose work is in the database.
    os._exit(serve(SINK, LedgerWork, beside=lambda *about: Checker(*about).start()))
