"""The contract: the schema is the only place where a domain value is typed."""

from __future__ import annotations

import ast
import copy
import json
from pathlib import Path

import jsonschema
import pytest

from expectations_custom import rules
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
    """The contract with one place changed; a change to `...` removes it."""
    document = copy.deepcopy(SCHEMA)
    *parents, last = path.strip("/").split("/")
    place = document
    for key in parents:
        place = place[int(key) if isinstance(place, list) else key]
    if value is ...:
        del place[last]
    else:
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
    ("lines that are lists", "/type", "array", "#/type"),
    ("fields that are a list", "/properties", [], "#/properties"),
    ("a field that is true", "/properties/os", True, "#/properties/os"),
    ("a name of our own", "/properties/line_no", {"type": "integer"}, "#/properties/line_no"),
    ("the word for a whole line", "/properties/line", {"type": "string"}, "#/properties/line"),
    ("an enum that is a text", "/properties/os/enum", "iOS", "#/properties/os/enum"),
    ("an enum value twice", "/properties/os/enum", ["iOS", "iOS"], "#/properties/os/enum/1"),
    ("a pattern that is a number", "/properties/user_id/pattern", 3, "#/properties/user_id/pattern"),
    ("a broken pattern", "/properties/user_id/pattern", "^(U$", "#/properties/user_id/pattern"),
    ("a huge pattern", "/properties/user_id/pattern", "^U{5000000}$", "#/properties/user_id/pattern"),
    ("a possessive pattern", "/properties/user_id/pattern", "^U++$", "#/properties/user_id/pattern"),
    ("a bound that no engine keeps", "/properties/quantity/maximum", 2**60, "#/properties/quantity/maximum"),
    ("half a character", "/properties/element_id/minLength", 1.5, "#/properties/element_id/minLength"),
    ("a range upside down", "/properties/quantity/minimum", 100, "#/properties/quantity"),
    ("required as a text", "/required", "event_id", "#/required"),
    ("a field required twice", "/required", ["event_id", "event_id"], "#/required/1"),
    ("branches that are no list", "/allOf", {}, "#/allOf"),
    ("a branch with else", "/allOf/0/else", {"required": ["os"]}, "#/allOf/0"),
    ("a second condition", "/allOf/0/if/properties/platform", {"const": "web"}, "#/allOf/0"),
    ("a second branch", "/allOf/1/if/properties/event_type/const", "page_view", "#/allOf/1/if"),
    ("a keyword in a branch", "/allOf/0/then/minProperties", 3, "#/allOf/0/then/minProperties"),
    ("another type in a branch", "/allOf/0/then/properties/page_url", {"type": "integer"}, "#/allOf/0/then/prop"),
    ("an unknown field in a branch", "/allOf/0/then/properties/x", {"type": "string"}, "#/allOf/0/then/properties/x"),
    ("a platform of numbers", "/x-platform-device-rules/field", "quantity", "#/x-platform-device-rules/field"),
    ("no platform ruled", "/x-platform-device-rules/allowed", {}, "#/x-platform-device-rules/allowed"),
    ("no value allowed", "/x-platform-device-rules/allowed/ios/os", [], "#/x-platform-device-rules/allowed/ios/os"),
    ("rules for free text", "/x-platform-device-rules/allowed/ios/page_url", ["x"], "allowed/ios/page_url"),
    ("no step", "/x-funnel-sequence/steps", [], "#/x-funnel-sequence/steps"),
    ("after nothing", "/x-funnel-sequence/steps/0/after_any", [], "#/x-funnel-sequence/steps/0/after_any"),
    ("after itself", "/x-funnel-sequence/steps/0/after_any", ["add_to_cart"], "#/x-funnel-sequence/steps/0"),
    ("a step twice", "/x-funnel-sequence/steps/1/event", "add_to_cart", "#/x-funnel-sequence/steps/1"),
    ("a total that is text", "/x-order-total/total", "os", "#/x-order-total/total"),
    ("details that are a number", "/x-order-total/details", "quantity", "#/x-order-total/details"),
    ("orders named like events", "/x-order-total/order_id", "event_id", "#/x-order-total"),
    ("one member for two", "/x-order-total/discount", "products", "#/x-order-total"),
    ("a tolerance below zero", "/x-order-total/tolerance", -1, "#/x-order-total/tolerance"),
    ("a kind that cannot be staged", "/properties/os/type", "boolean", "#/properties/os/type"),
    ("a format of another field", "/properties/os/format", "email", "#/properties/os/format"),
    ("a timestamp that is any text", "/properties/timestamp/format", ..., "#/properties/timestamp"),
    ("an id that is a number", "/properties/event_id", {"type": "integer"}, "#/properties/event_id/type"),
    ("a length of a number", "/properties/quantity/minLength", 1, "#/properties/quantity/minLength"),
    ("an instant that is none", "/properties/timestamp/formatMinimum", "soon", "formatMinimum"),
    ("no session", "/properties/session_id", ..., "the field session_id must be declared"),
    ("event types without a list", "/properties/event_type/enum", ..., "#/properties/event_type"),
    ("a branch without a condition", "/allOf/0/if", {}, "#/allOf/0"),
    ("a branch of no event type", "/allOf/0/if/properties/event_type/const", "return", "#/allOf/0/if"),
    ("a step with another key", "/x-funnel-sequence/steps/0/before", ["search"], "#/x-funnel-sequence/steps/0"),
    ("a tolerance that is true", "/x-order-total/tolerance", True, "#/x-order-total/tolerance"),
]


@pytest.mark.parametrize(("_", "path", "value", "place"), UNEXPRESSIBLE, ids=[name for name, *_ in UNEXPRESSIBLE])
def test_what_cannot_be_executed_is_refused_with_its_place(tmp_path, _, path, value, place):
    """No keyword is ever silently ignored."""
    file = tmp_path / "schema.json"
    file.write_text(json.dumps(_changed(path, value)), encoding="utf-8")

    with pytest.raises(ContractError) as error:
        contract.load(file)

    assert place in error.value.message


@pytest.mark.parametrize(
    "text", ["", "[]", "[" * 100_000, '{"type": "object", "type": "object"}', '{"minimum": NaN}', "\ud83d"]
)
def test_a_file_that_is_no_unambiguous_json_object_is_refused(tmp_path, text):
    """A repeated key, NaN or endless nesting must not pass as something else."""
    file = tmp_path / "schema.json"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))

    with pytest.raises(ContractError):
        contract.load(file)


def test_a_contract_needs_no_extensions_and_no_branches(tmp_path):
    """What is left out is not checked; nothing else changes."""
    document = {key: value for key, value in SCHEMA.items() if not key.startswith("x-") and key != "allOf"}
    file = tmp_path / "schema.json"
    file.write_text(json.dumps(document), encoding="utf-8")
    plain = contract.load(file)

    assert (plain.platform, plain.funnel, plain.order_total) == (None, None, None)
    assert set(plain.required_by_type.values()) == {()}
    assert {rule.check for rule in rules.table(plain).rules} == {
        "required_fields",
        "unique_event_id",
        "value_ranges",
        "timestamp_validity",
    }


def test_every_rule_names_the_place_in_the_schema_it_came_from(tmp_path):
    """The pointers resolve, also when the branches stand in another order than the event types."""
    document = {**SCHEMA, "allOf": SCHEMA["allOf"][::-1]}
    file = tmp_path / "schema.json"
    file.write_text(json.dumps(document), encoding="utf-8")
    for rule in rules.table(contract.load(file)).rules:
        place = document
        for key in rule.source.strip("/").split("/"):
            place = place[int(key) if isinstance(place, list) else key]
        if rule.check == "required_fields" and rule.field:
            assert place == rule.field


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
