"""The list of faults, its tests and its document are one."""

from __future__ import annotations

import fault_table


def test_every_fault_has_a_test_and_every_such_test_a_fault():
    """No row without a test, and no number that the list does not have."""
    named = fault_table.named()

    assert [number for number, names in named.items() if not names] == []
    assert set(named) == set(fault_table.FAULTS)


def test_the_document_is_what_the_tests_say():
    """`make fault-table` writes it."""
    assert fault_table.FILE.read_text(encoding="utf-8") == fault_table.table()
