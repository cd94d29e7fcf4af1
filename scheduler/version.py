"""The version that is installed."""

from __future__ import annotations

from importlib import metadata


def installed() -> str:
    """The version of the installed package; of a checkout that was never installed, `0+checkout`."""
    try:
        return metadata.version("daygate")
    except metadata.PackageNotFoundError:
        return "0+checkout"
