"""The year on its way into Kafka."""

import threading
import time
from dataclasses import dataclass, field

from connectors.writer import InputsWriter
from ops.demo.grocer import PROGRAMS_FILE, UNTIL, Payments
from ops.settings import Settings
from schemas.entitlements import Entitlement
from schemas.program_files import read_programs


@dataclass
class Loading:
    """One load, run in a thread of its own and looked at from another."""

    written: int = 0
    records: int = 0
    """Everything written to the input log, programs and ticks included; known at the end."""
    began_s: float = 0.0
    is_ending: threading.Event = field(default_factory=threading.Event)

    def run(self, settings: Settings, made: Payments) -> None:
        """Programs, then all else in the order of its arrival, and a last Tick into every partition."""
        self.began_s = time.monotonic()
        with InputsWriter(settings) as writer:
            writer.write_programs(read_programs(PROGRAMS_FILE).programs)
            for arrival in made.in_order():
                if isinstance(arrival, Entitlement):
                    writer.write_entitlement(arrival)
                else:
                    writer.write(arrival)
                self.written += 1
                if self.is_ending.is_set():
                    return
            writer.tick(UNTIL)
            writer.flush()
            self.records = writer.written
