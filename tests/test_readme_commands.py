"""What the README tells a person to type works as told, and its queries answer."""

from __future__ import annotations

import gzip
import io
import os
import re
import shlex
import sys
from contextlib import closing

import docs_parts
import psycopg2
import pytest
from consoles import consoles

from pipeline import contract, simulate
from pipeline.settings import PREFIX
from scheduler.boundary import call

TEXT = docs_parts.README.read_text(encoding="utf-8")
KOREAN = docs_parts.README.with_name("README.ko.md")
#: Commands whose answer is not 0: the day of the README's examples is bad, and half corrected it still is.
CODES = {"": 0, "check events": 1, "check events_20260115.jsonl --explain": 0, "run --file": 1, "quarantine replay": 1}
#: Not of one day: the service, and what other tests of their own run.
ELSEWHERE = ("serve", "spark-batch", "dashboard", "docs build", "calibrate")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An empty folder with the bad day of the README's examples, and a good one in a log."""
    folder = tmp_path_factory.mktemp("reader")
    bad = folder / "events_20260115.jsonl"
    simulate.generate(
        docs_parts.EXAMPLE_DAY, contract=contract.load(), output=bad, users=150, seed=7, faults={"quantity_zero": 0.5}
    )
    good = folder / "log"
    simulate.generate(docs_parts.EXAMPLE_DAY, contract=contract.load(), output=good, users=150, seed=7, faults={})
    (folder / "log.gz").write_bytes(gzip.compress(good.read_bytes()))
    return folder


def test_every_command_of_the_readme_does_what_it_says(folder, database_url, monkeypatch, capsys):
    """In the order of the page, on a machine where nothing has run yet: the exit codes are those a reader expects."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DAYGATE_HOME", str(folder / "data"))
    monkeypatch.setenv("DAYGATE_DATABASE_URL", database_url)
    monkeypatch.chdir(folder)
    found = {}
    for command, _ in consoles(re.sub(r"^\$ zcat (\S+) \| daygate", r"$ daygate", TEXT, flags=re.MULTILINE)):
        if command.startswith(ELSEWHERE) or "--engine spark" in command:
            continue
        words = shlex.split(command, comments=True)
        if "-" in words:
            log = io.BytesIO(gzip.decompress((folder / "log.gz").read_bytes()))
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(log, encoding="utf-8"))
        told = max((len(start), code) for start, code in CODES.items() if command.startswith(start))[1]
        code = call(words)
        if code != told:
            found[command] = (code, told, capsys.readouterr().err)

    assert found == {}


def test_every_query_of_the_readme_answers(run_day, delivery, database_url):
    """On a published day each of them finds something."""
    run_day(file=delivery())
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        for query in re.findall(r"```sql\n(.*?)```", TEXT, re.DOTALL)[0].split(";\n")[:-1]:
            cursor.execute(query)
            assert cursor.fetchall(), query


def typed(console):
    """The command line without its comment and without words for people."""
    return re.sub(r'"[^"]*"', '""', console[0]).partition("#")[0].split()


def told(text):
    """What two languages have in common: outline, addresses, samples, queries, first words and figures of tables."""
    text = re.sub(r"<details>.*?</details>|<!-- settings:begin -->.*?<!-- settings:end -->", "", text, flags=re.DOTALL)
    rows = [row.split("|")[1:-1] for row in re.findall(r"^\|.*\|$", text, re.MULTILINE)]
    return {
        "outline": re.findall(r"^#+ ", text, re.MULTILINE),
        "commands": list(map(typed, consoles(text))),
        "made": re.findall(r"^\$ (make [\w-]+)", text, re.MULTILINE),
        "samples": re.findall(r"```text\n(day .*?)```", text, re.DOTALL),
        "queries": [
            re.sub(r"^--.*$", "", query, flags=re.MULTILINE)
            for query in re.findall(r"```sql\n(.*?)```", text, re.DOTALL)
        ],
        "links": {link for link in re.findall(r"\]\(([^)#\s]+)", text) if "README" not in link},
        "rows": len(rows),
        "tables": [re.findall(r"`[^`]+`|\d[\d.,]*", " ".join(row)) for row in rows if len(row) > 2 or "`" in row[0]],
        "codes": [row[0].strip() for row in rows if row[0].strip().isdigit()],
    }


def test_the_korean_readme_tells_the_same():
    """Outline, commands, samples, queries, links, exit codes and measured figures are those of the English one."""
    english, korean = told(TEXT), told(KOREAN.read_text(encoding="utf-8"))
    # There the table of faults stands in the page itself.
    english["links"].add("docs/fault-matrix.md")

    assert korean == english
