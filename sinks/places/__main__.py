"""The index of places as a process: `python -m sinks.places`."""

import os
import sys

from sinks.places import SINK
from sinks.places.indexing import PlacesWork
from sinks.serving import serve

if __name__ == "__main__":
    sys.stdout.flush()
    # Threads of the drivers must not hold up the end of a process whose work is in the database.
    os._exit(serve(SINK, PlacesWork))
