"""Memory that blocks of megabytes leave is used again instead of being cleared by the system each time."""

from __future__ import annotations

import subprocess
import sys

import pytest

_ARRAYS = """
import resource, sys
import numpy as np
from pipeline import heap
def faults(times):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        np.ones(16 << 20, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
by_itself = faults(20)
with heap.kept_blocks():
    faults(1)
    kept = faults(20)
print(by_itself, kept, faults(20))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's settings")
def test_within_the_block_the_system_clears_no_page_twice():
    """Twenty arrays of 16 MB cost hardly a page fault, and after the block as many as ever."""
    done = subprocess.run([sys.executable, "-c", _ARRAYS], capture_output=True, text=True, check=True)
    by_itself, kept, after = map(int, done.stdout.split())
    assert kept < by_itself / 10
    assert after > by_itself / 2
