"""Habits of the house that no linter knows: sizes, words left behind, tests that read as a specification."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator

from tree import ROOT, SOURCES, files

#: Lines. What is longer says why: a module by "Long because …" in its docstring, a function by `# long: …` where it
#: begins. Docstrings of functions are not counted, so that nobody saves words there. Tests are read one at a time.
MODULE, TESTS_OF_A_THING, FUNCTION = 400, 600, 40


TREES = {path: ast.parse(text) for path, text in SOURCES.items()}


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """All of a module, methods and inner ones included."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def docstring(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function's docstring."""
    return 0 if ast.get_docstring(node) is None else node.body[0].end_lineno - node.body[0].lineno + 1


def test_no_module_is_longer_than_can_be_read_at_once():
    """At most 400 lines, 600 of tests, or a reason in the docstring."""
    long = {
        str(path.relative_to(ROOT)): text.count("\n")
        for path, text in SOURCES.items()
        if text.count("\n") > (TESTS_OF_A_THING if path.name.startswith("test_") else MODULE)
        and "Long because" not in (ast.get_docstring(TREES[path]) or "")
    }

    assert long == {}


def test_no_function_is_longer_than_can_be_read_at_once():
    """At most 40 lines without its docstring, or a reason where it begins."""
    long = {
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}": node.end_lineno - node.lineno + 1 - docstring(node)
        for path, tree in TREES.items()
        for node in functions(tree)
        if node.end_lineno - node.lineno + 1 - docstring(node) > FUNCTION
        and "# long: " not in SOURCES[path].splitlines()[node.lineno - 1]
    }

    assert long == {}


def test_nothing_is_left_for_later():
    """What is to be done is an issue, not a remark in the tree."""
    word = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|X" r"XX|HA" r"CK)\b")

    assert [str(path) for path, text in SOURCES.items() if word.search(text)] == []


TESTS = [
    (path, node)
    for path, tree in TREES.items()
    if path.name.startswith("test_")
    for node in tree.body
    if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
]


def test_every_test_says_what_the_product_promises():
    """The name, then a sentence."""
    silent = [
        f"{path.name}::{node.name}"
        for path, node in TESTS
        if not (ast.get_docstring(node) or "").partition("\n\n")[0].rstrip("\"'`)").endswith((".", "?", "…"))
    ]

    assert silent == []


def test_no_test_hides_another():
    """Two tests of one name in a module would be one."""
    names = [(path, node.name) for path, node in TESTS]

    assert sorted(set(names)) == sorted(names)


def test_make_help_lists_every_target():
    """A newcomer finds everything there, and nothing twice."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    shown = subprocess.check_output(["make", "--no-print-directory", "help"], cwd=ROOT, text=True)
    listed = [line.split()[1] for line in shown.splitlines() if line.startswith("  make ")]

    assert sorted(listed) == sorted(re.findall(r"^([a-z-]+):", text, re.MULTILINE))


def test_every_decision_has_a_number_of_its_own():
    """`docs/adr/0007-….md` begins with `# 0007 · …`, and there is one of them."""
    decisions = [path for path in files(".md") if path.parent == ROOT / "docs" / "adr"]
    numbers = [path.name[:4] for path in decisions]
    texts = {path: path.read_text(encoding="utf-8") for path in decisions}

    assert sorted(set(numbers)) == sorted(numbers)
    assert [path.name for path, text in texts.items() if not text.startswith(f"# {path.name[:4]} · ")] == []
