"""The connection to the records' database: SQLite so that a commit survives a power cut, or another one by URL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, insert, inspect, select
from sqlalchemy.exc import DBAPIError

from inspection_cell.records.images import StoreFull
from inspection_cell.records.tables import SCHEMA_VERSION, metadata, schema

_BUSY_S = 10.0


class RecordFailed(RuntimeError):
    """The database did not take or give a record; nothing of the attempt is kept."""


class Database:
    """Transactions on one database; threads may share it."""

    def __init__(self, url: str) -> None:
        self._engine = create_engine(url)
        if self._engine.dialect.name == "sqlite":
            _configure_sqlite(self._engine)
        self._writer = self._engine.execution_options(write=True)
        with self.read() as connection:
            version = _schema_version(connection)
        if version is None:
            with self.write() as connection:
                version = _create(connection)
        if version != SCHEMA_VERSION:
            raise RecordFailed(f"{url}: records of schema {version}, not {SCHEMA_VERSION}: migrate them first")

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction that writes; durable when the block has ended, undone when it raises.

        Raises:
            StoreFull: the disk is full.
            RecordFailed: the database refused otherwise.
        """
        with _named_errors(), self._writer.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent picture of the records; writers are not kept waiting.

        Raises:
            RecordFailed: the database cannot be read.
        """
        with _named_errors(), self._engine.begin() as connection:
            yield connection

    def close(self) -> None:
        """Closes every connection."""
        self._engine.dispose()


@contextmanager
def _named_errors() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        if "disk is full" in str(error.orig):
            raise StoreFull("the disk of the records is full; make room, then reset the cell") from error
        raise RecordFailed(f"the records' database failed: {error.orig}") from error


def _configure_sqlite(engine: Engine) -> None:
    """WAL, so that readers and the writer do not wait for each other; synchronous FULL, so that a commit is on disk."""

    @event.listens_for(engine, "connect")
    def _(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # transactions are begun below, not by the driver
        for pragma in (
            f"busy_timeout={int(_BUSY_S * 1000)}",
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _(connection: Connection) -> None:
        # A transaction that reads first and writes later would fail when another writer came between: lock at once.
        write = connection.get_execution_options().get("write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _schema_version(connection: Connection) -> int | None:
    """The version of the tables, None where there are none yet."""
    if not inspect(connection).has_table(schema.name):
        return None
    return connection.execute(select(schema.c.version)).scalar_one_or_none()


def _create(connection: Connection) -> int:
    """Makes the tables, unless another process was quicker; returns their version."""
    metadata.create_all(connection)
    version = connection.execute(select(schema.c.version)).scalar_one_or_none()
    if version is None:
        connection.execute(insert(schema).values(version=SCHEMA_VERSION))
        return SCHEMA_VERSION
    return version
