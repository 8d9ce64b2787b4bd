"""How long `cashback why` takes on a running system: the whole command, and the search inside it.

Payments are drawn from the index of places, each as likely as another, so that those that earned nothing
have their share.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from random import Random
from statistics import median
from typing import Any

import psycopg

from ops.bench.measure import BenchFailed
from ops.embedded.jars import Say
from ops.settings import Settings
from ops.up import environment_of
from ops.why.finding import Asked, facts_of
from ops.why.log import LogReader
from schemas.codec import decode
from schemas.topics import INPUTS, PROGRAMS, WORKER_GROUP
from sinks.places.references import Whereabouts

_DRAW = """
SELECT topic, partition, record_offset FROM payment_places
WHERE reference >= %s AND topic = %s ORDER BY reference LIMIT 1
"""
_INDEXED = "SELECT count(*) FROM payment_places WHERE topic = %s"
_SEED = 20_170_101
_COMMAND_S_MAX = 60


def bench_why(lookups: int, settings: Settings, *, say: Say = lambda _: None) -> dict[str, Any]:
    """Figures of `lookups` payments, in seconds; CPU is that of a whole command, Python's start included.

    Raises `BenchFailed` when there is no payment or a command fails.
    """
    say(f"Looking {lookups} payments up")
    payments = list(_drawn(lookups, settings))
    search_s, wall_s, cpu_s, earned = [], [], [], 0
    for asked in payments:
        began_s = time.perf_counter()
        facts_of(asked, settings)
        search_s.append(time.perf_counter() - began_s)
        used_s, took_s, answer = _command(asked, settings)
        cpu_s.append(used_s)
        wall_s.append(took_s)
        earned += any(payment["cashbacks"] for payment in answer["payments"])
    return {
        "inputs": _indexed(settings),
        "lookups": lookups,
        "earned": earned,
        "command_s_p50": round(median(wall_s), 3),
        "command_s_max": round(max(wall_s), 3),
        "command_cpu_s_p50": round(median(cpu_s), 3),
        "search_s_p50": round(median(search_s), 3),
        "search_s_max": round(max(search_s), 3),
    }


def _indexed(settings: Settings) -> int:
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        row = connection.execute(_INDEXED, (INPUTS.full_name(settings.topic_prefix),)).fetchone()
    return int(row[0]) if row else 0


def _drawn(lookups: int, settings: Settings) -> Iterator[Asked]:
    random = Random(_SEED)
    topic = INPUTS.full_name(settings.topic_prefix)
    with (
        psycopg.connect(settings.database_url, autocommit=True) as connection,
        LogReader(settings.brokers, settings.topic_prefix + WORKER_GROUP) as log,
    ):
        for _ in range(lookups):
            row = connection.execute(_DRAW, (random.randrange(-(2**63), 2**62), topic)).fetchone()
            if row is None:
                raise BenchFailed("no payment is indexed here: load some, and let `sinks.places` run")
            messages, __ = log.read([Whereabouts(*row)], PROGRAMS.full_name(settings.topic_prefix))
            datum = decode(messages[0].value())[1]
            yield Asked(datum["partner_id"], datum["external_id"], datum["livemode"])


def _command(asked: Asked, settings: Settings) -> tuple[float, float, dict[str, Any]]:
    """CPU and wall seconds of one whole command, and what it said."""
    command = [sys.executable, "-m", "ops.cli", "why", asked.partner_id, asked.external_id, "--json"]
    command += [] if asked.livemode else ["--test"]
    environment = {**os.environ, **environment_of(settings)}  # noqa: TID251 - handed on, not read
    before, began_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_COMMAND_S_MAX)
    took_s, after = time.perf_counter() - began_s, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise BenchFailed(f"`cashback why {asked.partner_id} {asked.external_id}`: {done.stderr.strip()}")
    used_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    answer: dict[str, Any] = json.loads(done.stdout)
    return used_s, took_s, answer
