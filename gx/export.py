"""Writes suite, validation definition and checkpoint as JSON into the Great Expectations project `gx/`.

The code is the source; the files let a plain Great Expectations user open the project:

    import expectations_custom  # first, or the seven are dropped silently
    import great_expectations
    context = great_expectations.get_context(mode="file", project_root_dir=".")
    context.checkpoints.get("daygate").run(batch_parameters={"dataframe": staged})

Run as `python -m gx.export` after changing checks or defaults; a test compares.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import uuid
from pathlib import Path
from typing import Any, Final

import great_expectations
from great_expectations.data_context import AbstractDataContext

import expectations_custom
from gx import gate
from gx import suite as suites
from pipeline import contract
from pipeline.errors import ContractError
from pipeline.settings import Settings

FILES: Final = ("expectations/daygate.json", "validation_definitions/daygate.json", "checkpoints/daygate.json")
_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_PROJECT: Final = Path(__file__).parent


def export(project: Path = _PROJECT) -> None:
    """Write the three JSON files below `project`, the same bytes every time."""
    with tempfile.TemporaryDirectory() as root:
        shutil.copy(_PROJECT / "great_expectations.yml", _made(Path(root) / "gx"))
        context = great_expectations.get_context(mode="file", project_root_dir=root)
        batch = context.data_sources.get(gate.DATASOURCE).get_asset(gate.ASSET).get_batch_definition(gate.BATCH)
        gate.checkpoint(context, batch, suites.build(Settings(), contract.load()), [])
        texts = {name: (Path(root) / "gx" / name).read_text(encoding="utf-8") for name in FILES}
        fixed = _UUID.findall((_PROJECT / "great_expectations.yml").read_text(encoding="utf-8"))
        for name, text in _with_stable_ids(texts, keep=fixed).items():
            _made((project / name).parent).joinpath(Path(name).name).write_text(text, encoding="utf-8")


def load(project_root: Path) -> AbstractDataContext:
    """Open the exported project, refusing one that lost expectations on the way.

    Raises:
        ContractError: Great Expectations dropped something (it only logs that).
    """
    written = json.loads((project_root / "gx" / FILES[0]).read_text(encoding="utf-8"))["expectations"]
    context = great_expectations.get_context(mode="file", project_root_dir=project_root)
    loaded: list[Any] = context.suites.get(suites.NAME).expectations
    if len(loaded) != len(written) or not _all_checks(loaded):
        raise ContractError(
            f"{project_root}/gx/{FILES[0]} holds {len(written)} expectations, but {len(loaded)} were loaded.",
            hint="import expectations_custom before opening the project, or: python -m gx.export",
        )
    return context


def _all_checks(loaded: list[Any]) -> bool:
    return {type(found) for found in loaded} >= set(expectations_custom.ALL)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _with_stable_ids(texts: dict[str, str], *, keep: list[str]) -> dict[str, str]:
    """Random ids replaced by ones derived from their order, the same wherever the same id stands."""
    found = dict.fromkeys(identity for text in texts.values() for identity in _UUID.findall(text))
    fresh = [identity for identity in found if identity not in keep]
    stable = {identity: str(uuid.uuid5(uuid.NAMESPACE_URL, f"urn:daygate:{i}")) for i, identity in enumerate(fresh)}
    return {
        name: _UUID.sub(lambda match: stable.get(match[0], match[0]), text).rstrip() + "\n"
        for name, text in texts.items()
    }


if __name__ == "__main__":
    export()
