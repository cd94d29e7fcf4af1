"""The floor of loading: the rows of a published day, COPYed as ready-made CSV into a table without any index.

Run as `load_floor.py DATABASE_URL DAY [TIMES]` after the day was published; prints the seconds of each COPY.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time

import psycopg2


def main() -> None:
    """Write the rows once, then COPY them in `TIMES` times."""
    url, day, times = sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 3
    connection = psycopg2.connect(url)
    seconds = []
    with connection.cursor() as cursor, tempfile.TemporaryFile() as rows:
        cursor.execute("SET search_path = daygate")
        cursor.copy_expert(f"COPY (SELECT * FROM raw_events WHERE day = '{day}') TO STDOUT (FORMAT csv)", rows)
        for _ in range(times):
            rows.seek(0)
            cursor.execute("DROP TABLE IF EXISTS floor")
            cursor.execute("CREATE TABLE floor AS SELECT * FROM raw_events LIMIT 0")
            connection.commit()
            began = time.monotonic()
            cursor.copy_expert("COPY floor FROM STDIN (FORMAT csv)", rows)
            connection.commit()
            seconds.append(time.monotonic() - began)
        cursor.execute("DROP TABLE floor")
        connection.commit()
    connection.close()
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()
