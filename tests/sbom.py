"""The parts of an installation as CycloneDX, from the lock file and what is installed; asks no network.

`python tests/sbom.py requirements/base.txt` prints it; `make sbom` keeps it in dist/.
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
#: A licence that the package gives as its whole text says too much for a list.
LONGEST = 60


def bill(lock: Path) -> dict[str, Any]:
    """The document: daygate itself, and every locked package that this machine takes."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "name": project["name"],
                "version": project["version"],
                "licenses": _licences(project["license"]),
            }
        },
        "components": [_component(name, version, licence(name)) for name, version in locked(lock)],
    }


def locked(lock: Path) -> Iterator[tuple[str, str]]:
    """Name and version of each package that is for this Python and this system."""
    for line in re.findall(r"^([a-z0-9][^\\\n]*)", lock.read_text("utf-8"), re.MULTILINE):
        wanted = Requirement(line)
        if wanted.marker is None or wanted.marker.evaluate():
            (pin,) = wanted.specifier
            yield wanted.name, pin.version


def licence(name: str) -> str:
    """What the installed package says its licence is, in its own words; `not stated` when it is nowhere short."""
    about = metadata.metadata(name)
    named = [text.rpartition(" :: ")[2] for text in about.get_all("Classifier", []) if text.startswith("License")]
    short = (about.get("License-Expression"), about.get("License"), " / ".join(named))
    return next((text for text in short if text and len(text) <= LONGEST), "not stated")


def _component(name: str, version: str, licensed: str) -> dict[str, Any]:
    purl = f"pkg:pypi/{name}@{version}"
    about = {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
    return {**about, "licenses": _licences(licensed)}


def _licences(named: str) -> list[dict[str, Any]]:
    return [{"license": {"name": named}}]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(bill(Path(sys.argv[1])), indent=1) + "\n")
