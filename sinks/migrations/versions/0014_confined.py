"""See the SQL file beside this one."""

from sinks.migrations import run_sql

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    run_sql("0014_confined.sql")
