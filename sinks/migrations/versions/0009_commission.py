"""See the SQL file beside this one."""

from sinks.migrations import run_sql

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    run_sql("0009_commission.sql")
