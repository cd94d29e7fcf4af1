"""A node of a cluster is named in the words of a container's command."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import SettingsError
from pipeline.spark import node

WORK = Path("/tmp/work")


def test_a_master_is_reached_by_its_address():
    """On the port that workers and drivers are told."""
    assert node.command(["master"], address="10.0.0.2", work=WORK)[1:] == ["--host", "10.0.0.2", "--port", "7077"]


def test_a_worker_names_its_master_last():
    """Its executors work in a folder that the container may write."""
    words = node.command(["worker", "spark://spark-master:7077"], address="10.0.0.3", work=WORK)

    assert words[1:] == ["--host", "10.0.0.3", "--work-dir", "/tmp/work", "spark://spark-master:7077"]


@pytest.mark.parametrize("words", [[], ["driver"], ["worker"], ["worker", "local[2]"], ["master", "more"]])
def test_other_words_are_refused(words):
    """With what would have been right."""
    with pytest.raises(SettingsError, match="a worker and the master's URL"):
        node.command(words, address="10.0.0.2", work=WORK)
