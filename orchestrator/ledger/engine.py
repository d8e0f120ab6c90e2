"""The connection to a ledger's file, and whether another controller that wrote there still lives."""

import os
import sqlite3
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, event
from sqlmodel import create_engine


def connected(file: Path) -> Engine:
    """An engine whose writers, those with the option ``first_to_write``, wait for each other."""
    url = URL.create("sqlite", database=str(file))
    engine = create_engine(url, connect_args={"timeout": 30})

    @event.listens_for(engine, "connect")
    def _settings(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None  # transactions are begun below
        connection.execute("pragma journal_mode=wal")
        connection.execute("pragma synchronous=full")
        connection.execute("pragma foreign_keys=on")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # Whoever will write takes the lock first: what is read before stays true, and another
        # controller waits for its turn instead of being told that the database is locked.
        first = connection.get_execution_options().get("first_to_write")
        connection.exec_driver_sql("begin immediate" if first else "begin")

    return engine


def alive(pid: int) -> bool:
    """Whether a process of that number runs on this machine."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
