"""Files and folders that appear whole or not at all, and what is done with what killed processes left half made."""

from __future__ import annotations

import fcntl
import os

import pytest

from pipeline import files
from pipeline.failing import remove

#: Longer ago than any process needs to lock what it makes.
LONG_AGO = 1_700_000_000


def left(folder, name, *, is_folder):
    """Something half made, long ago."""
    path = folder / name
    if is_folder:
        path.mkdir()
        (path / "page").write_text("half", encoding="utf-8")
    else:
        path.write_text("half", encoding="utf-8")
    os.utime(path, (LONG_AGO, LONG_AGO))
    return path


def test_what_nobody_makes_any_more_is_swept(tmp_path):
    """Half files and half folders go; what bears another name stays."""
    half = [
        left(tmp_path, ".index.html.0a1b2c3d.tmp", is_folder=False),
        left(tmp_path, ".taking-x1.tmp", is_folder=False),
        left(tmp_path, ".site.new.123", is_folder=True),
    ]
    others = [left(tmp_path, ".hidden", is_folder=False), left(tmp_path, "site", is_folder=True)]

    assert files.sweep(tmp_path) == len(half)
    assert sorted(tmp_path.iterdir()) == sorted(others)


def test_what_is_being_made_or_is_no_place_of_ours_stays(tmp_path):
    """A lock, a moment's age and a link each keep it."""
    locked = left(tmp_path, ".a.new.123", is_folder=True)
    young = tmp_path / ".b.0a1b2c3d.tmp"
    young.write_text("just begun", encoding="utf-8")
    (tmp_path / ".c.new.123").symlink_to(tmp_path / "elsewhere")
    handle = os.open(locked, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        before = sorted(tmp_path.iterdir())

        assert files.sweep(tmp_path) == 0
        assert sorted(tmp_path.iterdir()) == before
    finally:
        os.close(handle)


def test_a_folder_moved_aside_comes_back_only_where_nothing_took_its_place(tmp_path):
    """Of two renames the first was done: readers get what they had."""
    left(tmp_path, ".lost.old.123", is_folder=True)
    left(tmp_path, ".replaced.old.123", is_folder=True)
    (tmp_path / "replaced").mkdir()

    assert files.sweep(tmp_path) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lost", "replaced"]
    assert (tmp_path / "lost" / "page").read_text(encoding="utf-8") == "half"
    assert list((tmp_path / "replaced").iterdir()) == []


def test_a_folder_that_cannot_take_its_place_vanishes(tmp_path):
    """What stands there stays: here a link to a disk that is not mounted."""
    target = tmp_path / "site"
    target.symlink_to(tmp_path / "not mounted")
    with pytest.raises(NotADirectoryError), files.fresh_folder(target) as fresh:
        (fresh / "page").write_text("whole", encoding="utf-8")

    assert list(tmp_path.iterdir()) == [target]


def test_failing_lines_of_an_attempt_before_go_whatever_form_they_have(tmp_path):
    """One engine writes a file, the other a folder."""
    folder, file = left(tmp_path, "failing", is_folder=True), left(tmp_path, "failing.parquet", is_folder=False)
    for path in (folder, file, file):
        remove(path)

    assert list(tmp_path.iterdir()) == []
