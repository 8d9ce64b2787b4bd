"""Numbered migrations of the ledger's database: alembic runs them, each is plain SQL."""

from pathlib import Path

import psycopg

_HERE = Path(__file__).parent
_VERSIONS = _HERE / "versions"


class WrongSchema(Exception):
    """The database is not at the revision this code knows. The message names the command that helps."""


def upgrade(database_url: str) -> None:
    """Bring the database to the newest revision; does nothing when it is there.

    `database_url` is a libpq URL. Raises `WrongSchema` when the database is further than this code.
    """
    known = _revisions()
    found = _found(database_url)
    if found is not None and found not in known:
        raise _too_new(found, known[-1])
    if found == known[-1]:
        return
    from alembic import command  # takes a second to import, and a later start has nothing to do
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_HERE))
    config.set_main_option("path_separator", "os")
    config.attributes["url"] = database_url.replace("postgresql://", "postgresql+psycopg://", 1)
    command.upgrade(config, "head")


def check(database_url: str) -> None:
    """Raises `WrongSchema` unless the database is exactly at the newest revision this code knows."""
    known = _revisions()
    found = _found(database_url)
    if found is None:
        raise WrongSchema(
            "the database has no tables of ours; run `cashback migrate` (or `cashback up`, which does it)"
        )
    if found not in known:
        raise _too_new(found, known[-1])
    if found != known[-1]:
        raise WrongSchema(
            f"the database is at revision {found}, the code needs {known[-1]}; run `cashback migrate`"
        )


def run_sql(name: str) -> None:
    """Run one file of `versions/` inside the migration's transaction."""
    from alembic import op

    # Straight to psycopg: several statements in one go, and no placeholder syntax to escape.
    driver = op.get_bind().connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    driver.execute((_VERSIONS / name).read_bytes())


def _revisions() -> list[str]:
    return sorted(path.name[:4] for path in _VERSIONS.glob("[0-9]*.py"))


def _found(database_url: str) -> str | None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        if connection.execute("SELECT to_regclass('alembic_version')").fetchone() == (None,):
            return None
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        return str(row[0]) if row else None


def _too_new(found: str, newest: str) -> WrongSchema:
    return WrongSchema(
        f"the database is at revision {found}, further than {newest}, the newest this code knows; "
        "run the newer code, or restore a backup of its time and run `cashback migrate`"
    )
