"""The container's health check: `python -m scheduler.probe` asks the service's own /healthz and exits 0 or 1.

It runs twice a minute for as long as the service does, so it imports next to nothing and reads no settings file:
DAYGATE_WEB_HOST and DAYGATE_WEB_PORT are where the service listens.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException
from ipaddress import ip_address
from typing import Final

#: Shorter than the deadline of the container's engine, which would kill without a word.
_SECONDS: Final = 4.0


def main(environment: Mapping[str, str] = os.environ) -> int:
    """0 when the service answers that it is well, else 1 and one line that says why."""
    host, port = where(environment)
    connection = HTTPConnection(host, port, timeout=_SECONDS)
    try:
        connection.request("GET", "/healthz")
        status = connection.getresponse().status
    except (OSError, HTTPException) as error:
        sys.stdout.write(f"no answer ({type(error).__name__})\n")
        return 1
    finally:
        connection.close()
    sys.stdout.write(f"{status}\n")
    return 0 if status == 200 else 1  # noqa: PLR2004  # HTTP's own word for well


def where(environment: Mapping[str, str]) -> tuple[str, int]:
    """Host and port of the service on this machine; one that listens everywhere is asked on loopback."""
    host = environment.get("DAYGATE_WEB_HOST") or "127.0.0.1"
    try:
        everywhere = ip_address(host).is_unspecified
    except ValueError:
        everywhere = False
    if everywhere:
        host = "::1" if ":" in host else "127.0.0.1"
    return host, int(environment.get("DAYGATE_WEB_PORT") or "8080")


if __name__ == "__main__":
    sys.exit(main())
