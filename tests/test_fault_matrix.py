"""Every named fault through the real gate: caught by the check meant for it, line for line, and by no other."""

from __future__ import annotations

import fault_matrix
import oracle
import pytest

from pipeline import simulate
from pipeline.check_ids import CHECK_IDS
from pipeline.records import Verdict

#: 37 days through the gate.
pytestmark = pytest.mark.long

FAULTS = tuple(simulate.FAULTS.values())


@pytest.fixture(scope="module")
def row(tmp_path_factory):
    """The matrix's row of a fault, measured once."""
    rows = {}

    def measured(fault):
        if fault.name not in rows:
            rows[fault.name] = fault_matrix.measure(fault, tmp_path_factory.mktemp(fault.name))
        return rows[fault.name]

    return measured


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_closes_the_gate_by_its_own_check_alone(row, fault):
    """The day fails, its check fails, the six others pass, and not one line more or less than planted fails."""
    found = row(fault)

    assert found.report.verdict is Verdict.FAIL
    assert found.failed == {fault.caught_by}
    assert {check: len(lines) for check, lines in found.lines.items()} == {fault.caught_by: found.planted}
    assert found.exact


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_the_failing_lines_are_those_an_independent_judge_finds(row, fault):
    """The plain-Python reference reads the same file and names the same lines, and looks at as many."""
    found, expected = row(fault), oracle.judge(row(fault).delivery, fault_matrix.DAY)

    assert found.lines == {check: lines for check, lines in expected.failing.items() if lines}
    assert {check.id: check.evaluated_rows for check in found.report.checks} == expected.evaluated


def test_the_table_in_the_documentation_is_what_the_gate_says(row):
    """Wherever the markers stand, the block between them is measured; `make fault-matrix` writes it anew."""
    table = fault_matrix.markdown(row(fault) for fault in FAULTS)
    files = fault_matrix.marked(fault_matrix.FILES)

    assert files
    for file in files:
        found = fault_matrix.block(file.read_text(encoding="utf-8"))
        assert found == table, f"{file.name} is out of date: run make fault-matrix"


def test_the_table_shows_a_fault_that_is_not_caught(row):
    """The sentence above the table counts; it does not claim."""
    rows = [row(fault) for fault in FAULTS[:2]]
    missed = fault_matrix.Row(
        fault=FAULTS[-1], delivery=rows[0].delivery, planted=1, report=rows[0].report, failing=rows[0].failing
    )

    assert not missed.exact
    assert "2 of 3 are caught" in fault_matrix.markdown([*rows, missed])


def test_the_block_is_replaced_and_nothing_else():
    """Text around the markers stays; a file without markers is refused by name."""
    text = f"# Above\n\n{fault_matrix.BEGIN}\nold\n{fault_matrix.END}\n\nbelow\n"
    written = fault_matrix.replaced(text, "| new |")

    assert written == f"# Above\n\n{fault_matrix.BEGIN}\n| new |\n{fault_matrix.END}\n\nbelow\n"
    assert fault_matrix.block(written) == "| new |"
    assert fault_matrix.block("# no markers") is None


def test_a_file_without_the_markers_is_a_usage_error(tmp_path, capsys):
    """Nothing is measured and nothing is written when a named file cannot take the table."""
    file = tmp_path / "other.md"
    file.write_text("# no markers\n", encoding="utf-8")

    with pytest.raises(SystemExit) as stopped:
        fault_matrix.main(["--write", str(file)])

    assert stopped.value.code == 2
    assert "other.md" in capsys.readouterr().err
    assert file.read_text(encoding="utf-8") == "# no markers\n"


def test_every_check_stands_in_the_matrix():
    """No column is empty: each check has faults that it alone must catch."""
    assert {fault.caught_by for fault in FAULTS} == set(CHECK_IDS)
