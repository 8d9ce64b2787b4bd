"""See the SQL file beside this one."""

from sinks.migrations import run_sql

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    run_sql("0015_key_pairs_and_batches.sql")
