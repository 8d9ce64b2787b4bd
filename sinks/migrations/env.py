"""Alembic's entry: one connection, one transaction, one migrator at a time."""

from alembic import context
from sqlalchemy import create_engine, text

engine = create_engine(context.config.attributes["url"])
with engine.begin() as connection:
    # Two starts at once: the second waits here and then finds nothing left to do.
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('cashback migrations', 0))"))
    context.configure(connection=connection)
    context.run_migrations()
engine.dispose()
