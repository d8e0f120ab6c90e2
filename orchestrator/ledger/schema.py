"""Brings a ledger file to this fleet's schema: made, migrated after a backup, or refused."""

import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import Engine

from orchestrator.errors import FleetError, Owner

HEAD = "0002"
"""The newest revision below ``migrations/versions``; a test holds the two together."""

_KNOWN = ("0001", "0002")


class LedgerTooNew(FleetError):
    """The ledger was written by a newer fleet."""

    path = ("LEDGER", "VERSION")
    owner = Owner.CONTROLLER


class LedgerDamaged(FleetError):
    """The ledger's file is no database, or its hash chain does not hold."""

    path = ("LEDGER", "DAMAGED")
    owner = Owner.CONTROLLER


def revision(file: Path) -> str | None:
    """The revision a ledger file is at; None where there is no file or no table yet.

    Raises:
        LedgerDamaged: the file is not an SQLite database.
    """
    if not file.exists():
        return None
    try:
        with closing(sqlite3.connect(file)) as db:
            row = db.execute("select version_num from alembic_version").fetchone()
    except sqlite3.DatabaseError as error:
        if "no such table" in str(error):
            return None
        raise LedgerDamaged(
            f"{file} is not a ledger: {error}",
            hint="put it aside and restore it from a backup, or start a new one by removing it",
        ) from error
    return str(row[0]) if row else None


def ready(engine: Engine, file: Path) -> None:
    """Make sure the file has this fleet's tables.

    Raises:
        LedgerTooNew: it has a revision this fleet does not know; nothing is touched.
    """
    found = revision(file)
    if found == HEAD:
        return
    if found is not None and found not in _KNOWN:
        raise LedgerTooNew(
            f"{file} is at revision {found}, and this fleet knows up to {HEAD}",
            hint="upgrade fleet, or use another site",
        )
    if found is not None:
        backup(file, file.with_name(f"{file.name}.{found}.backup"))
    _migrate(engine)


def backup(file: Path, to: Path) -> None:
    """Copy a ledger while others may be reading it."""
    with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(to)) as target:
        source.backup(target)


def _migrate(engine: Engine) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    folder = str(Path(__file__).parent / "migrations")
    config.set_main_option("script_location", folder.replace("%", "%%"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, HEAD)
