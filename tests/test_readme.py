"""The documents cannot drift from the code."""

from __future__ import annotations

import re

import alert_docs
import docs_parts
import pytest
from tree import ROOT, SOURCES, files

from pipeline.check_ids import CHECK_IDS
from pipeline.errors import ExitCode
from pipeline.marts import all_marts

TEXT = docs_parts.README.read_text(encoding="utf-8")


@pytest.mark.parametrize("file", [file for file in docs_parts.FILES if file.exists()], ids=lambda file: file.name)
def test_what_the_code_writes_into_the_documents_is_there(file, database_url):
    """`make docs` changes nothing: settings, rules and tables are told as they are."""
    text = file.read_text(encoding="utf-8")

    assert docs_parts.updated(text, docs_parts.parts(database_url)) == text


@pytest.mark.parametrize("test", sorted({test for *_, test in alert_docs.FAULTS}))
def test_every_fault_of_the_sender_has_its_test(test):
    """The table of docs/alerts.md names tests that there are."""
    assert f"def {test}(" in (docs_parts.ROOT / "tests" / "test_outbox_sender.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("word", [*CHECK_IDS, *(mart.name for mart in all_marts())])
def test_every_check_and_mart_is_told(word):
    """A reader finds each by its name."""
    assert f"`{word}`" in TEXT


def test_every_exit_code_is_told():
    """Scripts rely on them."""
    table = TEXT.split("## Exit codes")[1]

    assert {int(code) for code in re.findall(r"^\| (\d) \|", table, re.MULTILINE)} == {int(code) for code in ExitCode}


def test_every_make_target_the_readme_names_exists():
    """The two commands are the product's face."""
    targets = set(re.findall(r"^([a-z-]+):", (docs_parts.README.parent / "Makefile").read_text("utf-8"), re.MULTILINE))

    assert set(re.findall(r"make ([a-z-]+)", TEXT)) - {"lists"} <= targets | {"lists"}


DOCUMENTS = {file: file.read_text(encoding="utf-8") for file in files(".md")}


def anchors(text):
    """What a heading is called in an address."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_link_leads_somewhere(file):
    """Documents name only files and headings that are there."""
    dead = []
    for link in re.findall(r"\]\(([^)\s]+)\)", DOCUMENTS[file]):
        path, _, anchor = link.partition("#")
        target = file.parent / path if path else file
        if ":" not in path and not (target.exists() and (not anchor or anchor in anchors(target.read_text("utf-8")))):
            dead.append(link)

    assert dead == []


def test_every_test_that_a_document_names_is_there():
    """Who doubts a promise finds what proves it."""
    tests = "".join(text for path, text in SOURCES.items() if path.parent.name == "tests")
    modules = {path.stem for path in SOURCES}
    named = {name for text in DOCUMENTS.values() for name in re.findall(r"`(?:tests/)?(test_\w+)(?:\.py)?`", text)}

    assert {name for name in named - modules if f"def {name}(" not in tests} == set()
