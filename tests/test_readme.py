"""The documents cannot drift from the code."""

from __future__ import annotations

import re

import alert_docs
import docs_parts
import pytest

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


@pytest.mark.parametrize("file", sorted({*docs_parts.FILES, *docs_parts.ROOT.glob("*.md")}), ids=lambda file: file.name)
def test_every_link_to_a_file_leads_somewhere(file):
    """Documents name only what is there."""
    links = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", file.read_text(encoding="utf-8"))

    assert [link for link in links if not (file.parent / link).exists()] == []
