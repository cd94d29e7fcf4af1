"""The outbox keeps books: what became of each alert, and when it is tried again."""

from __future__ import annotations

from contextlib import closing

from alembic import op

from pipeline.database import MARTS_FOLDER

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Run the SQL files of this version, in the order of their names."""
    # The driver's own cursor: SQLAlchemy would take the percent signs of format() for parameters.
    with closing(op.get_bind().connection.cursor()) as cursor:
        for file in sorted((MARTS_FOLDER / "ddl").glob(f"{revision}_*.sql")):
            cursor.execute(file.read_text(encoding="utf-8"))
