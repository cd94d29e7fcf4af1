"""The contract: the schema is the only place where a domain value is typed."""

from __future__ import annotations

import ast
import copy
import json
from pathlib import Path

import jsonschema
import pytest

from pipeline import contract
from pipeline.errors import ContractError
from pipeline.settings import Settings

ROOT = Path(__file__).parent.parent
SCHEMA = json.loads(contract.default_path().read_text(encoding="utf-8"))


def test_the_schema_is_valid_draft_07():
    """`jsonschema` accepts the contract itself."""
    jsonschema.Draft7Validator.check_schema(SCHEMA)


def test_the_shipped_contract_has_the_five_event_types():
    """The vocabulary comes from the schema's enum."""
    assert contract.load().event_types == ("page_view", "click", "add_to_cart", "purchase", "search")


def test_patterns_are_anchored_to_the_whole_text():
    """`$` of the schema must not let a trailing newline through on any engine."""
    assert contract.load().field("user_id").engine_pattern == r"\A(?:U[0-9]{6})\z"


def _changed(path: str, value: object) -> dict:
    document = copy.deepcopy(SCHEMA)
    *parents, last = path.strip("/").split("/")
    place = document
    for key in parents:
        place = place[int(key) if isinstance(place, list) else key]
    place[last] = value
    return document


UNEXPRESSIBLE = [
    ("a keyword without meaning", "/properties/quantity/multipleOf", 5, "#/properties/quantity/multipleOf"),
    ("a nested object", "/properties/os/type", "object", "#/properties/os/type"),
    ("two types", "/properties/os/type", ["string", "integer"], "#/properties/os/type"),
    ("an engine-dependent class", "/properties/user_id/pattern", r"^U\d{6}$", "#/properties/user_id/pattern"),
    ("an unanchored pattern", "/properties/user_id/pattern", "U[0-9]{6}", "#/properties/user_id/pattern"),
    ("look-ahead", "/properties/user_id/pattern", "^(?=U)U[0-9]{6}$", "#/properties/user_id/pattern"),
    ("a range on a text", "/properties/os/minimum", 3, "#/properties/os/minimum"),
    ("an unknown required field", "/required", ["event_id", "nonsense"], "#/required/1"),
    ("an unknown funnel step", "/x-funnel-sequence/steps/0/event", "teleport", "#/x-funnel-sequence/steps/0"),
    ("an unknown scope", "/x-funnel-sequence/scope", "browser", "#/x-funnel-sequence/scope"),
    ("a missing key", "/x-order-total", {"event": "purchase"}, "#/x-order-total"),
    ("an unknown extension", "/x-magic", {}, "#/x-magic"),
    ("a column name that is none", "/properties/a b", {"type": "string"}, "#/properties/a b"),
    ("an instant without offset", "/properties/timestamp/formatMinimum", "2020-01-01", "formatMinimum"),
]


@pytest.mark.parametrize(("_", "path", "value", "place"), UNEXPRESSIBLE, ids=[name for name, *_ in UNEXPRESSIBLE])
def test_what_cannot_be_executed_is_refused_with_its_place(tmp_path, _, path, value, place):
    """No keyword is ever silently ignored."""
    file = tmp_path / "schema.json"
    file.write_text(json.dumps(_changed(path, value)), encoding="utf-8")

    with pytest.raises(ContractError) as error:
        contract.load(file)

    assert place in error.value.message


def test_no_enum_value_is_retyped_in_python():
    """Derive, do not retype: a shop with other events edits the schema, not Python."""
    vocabulary = {value for field in contract.load().fields for value in field.enum or ()}
    vocabulary -= set(Settings.model_fields)  # a page called home is no reason to rename the setting
    found = [
        f"{file.relative_to(ROOT)}:{node.lineno} {node.value!r}"
        for package in ("expectations_custom", "gx", "pipeline", "scheduler")
        for file in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value in vocabulary
    ]

    assert found == []
