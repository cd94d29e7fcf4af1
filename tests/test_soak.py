"""A month of faults, and 200 kills: `make test-slow`."""

from __future__ import annotations

import pytest
import soak

pytestmark = pytest.mark.slow


def test_thirty_days_with_a_fault_each_leave_no_trace():
    """Killed runs and services, cut connections, crashed databases: as if nothing had happened."""
    assert sum(soak.soak(30, seed=1).values()) == 30


def test_two_hundred_runs_killed_at_any_moment_leave_no_trace():
    """Kill -9 anywhere, not only at the places we thought of."""
    assert soak.soak(200, seed=2, faults=("killed",)) == {"killed": 200}
