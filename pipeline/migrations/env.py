"""Alembic's entry point: runs the versions on the connection that `pipeline.database.upgrade` opened."""

from __future__ import annotations

from alembic import context
from sqlalchemy import text

connection = context.config.attributes["connection"]
connection.execute(text("CREATE SCHEMA IF NOT EXISTS daygate"))
context.configure(connection=connection, version_table_schema="daygate")
with context.begin_transaction():
    context.run_migrations()
