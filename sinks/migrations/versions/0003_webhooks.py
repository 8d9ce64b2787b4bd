"""See the SQL file beside this one."""

from sinks.migrations import run_sql

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    run_sql("0003_webhooks.sql")
