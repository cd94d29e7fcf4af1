"""`daygate …` and `python -m scheduler …`."""

from __future__ import annotations

from scheduler.boundary import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
