"""Services as processes of their own, on the test's own home and database."""

from __future__ import annotations

import re
import secrets
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from house import DAY, LIGHT_CHILD, House
from process_fixtures import environment
from services import Served
from staged_days import administer

from pipeline import contract, simulate

QUICK = Path(__file__).parent / "quick_daygate.py"


@pytest.fixture
def variables(settings, tmp_path):
    """The environment of a service on the test's own home and database."""
    return environment(
        settings.home.parent,
        WARM_PLANS=str(tmp_path / "plans"),
        DAYGATE_DATABASE_URL=settings.database_url.get_secret_value(),
        DAYGATE_USERS=str(settings.users),
        DAYGATE_WEB_PORT="0",
        # Its yesterday, whatever the time at which the tests run.
        DAYGATE_RUN_AT="00:00",
    )


@pytest.fixture
def plan(tmp_path):
    """Leaves what the warm process that runs a day next is to suffer; `service` is the one that runs none."""
    folder = tmp_path / "plans"
    folder.mkdir()

    def plan(name, **what):
        lines = [f"{key}={value}\n" for key, value in what.items()]
        (folder / str(name)).write_text("".join(lines), encoding="utf-8")

    return plan


@pytest.fixture
def started(tmp_path):
    """Starts services by a command line, and ends them all."""
    running: list[Served] = []

    def start(command, variables) -> Served:
        running.append(Served(command, variables, tmp_path))
        return running[-1]

    yield start
    for served in running:
        served.process.kill()
        served.process.wait()
        served.file.close()


@pytest.fixture
def serve(started, variables):
    """Starts `daygate serve`."""

    def serve(**changes) -> Served:
        chosen = {name: value for name, value in {**variables, **changes}.items() if value}
        return started([sys.executable, "-m", "scheduler", "serve"], chosen)

    return serve


@pytest.fixture
def warm_serve(started, variables, warm_python):
    """The same, started warm, as are its runs; it looks every second."""

    def serve(**changes) -> Served:
        chosen = {name: value for name, value in {**variables, **changes}.items() if value}
        return started([warm_python, QUICK, "serve"], chosen)

    return serve


@pytest.fixture
def last_days(query):
    """So many days up to yesterday in Seoul, as the database has it, oldest first."""

    def last_days(count):
        ((yesterday,),) = query("SELECT (now() AT TIME ZONE 'Asia/Seoul')::date - 1")
        return [yesterday - timedelta(days=n) for n in reversed(range(count))]

    return last_days


@pytest.fixture
def land(settings):
    """Lands a small delivery of a day."""

    def land(day, **faults):
        file = settings.event_file(day)
        file.parent.mkdir(parents=True, exist_ok=True)
        shipped = contract.load()
        simulate.generate(day, contract=shipped, output=file, users=60, events=400, seed=7, faults=faults)
        return file

    return land


@pytest.fixture
def undisturbed(server_url, settings, variables, tmp_path, warm_python):
    """URL of a database in which the landed days from one to another were run one after the other, undisturbed."""
    name = f"undisturbed_{secrets.token_hex(4)}"
    administer(server_url, f"CREATE DATABASE {name} TEMPLATE migrated")
    # The same server, another database.
    url = re.sub(r"/[^/?]*(\?|$)", rf"/{name}\1", server_url)
    home = tmp_path / "undisturbed"

    def run(first, last):
        shutil.copytree(settings.events_folder, home / "events", dirs_exist_ok=True)
        words = ["backfill", "--start", str(first), "--end", str(last)]
        own = {"DAYGATE_HOME": str(home), "DAYGATE_DATABASE_URL": url, "DAYGATE_SOURCE": "landing"}
        done = subprocess.run(
            [warm_python, "-m", "scheduler", *words],
            cwd=tmp_path, env={**variables, **own}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode in (0, 1), done.stderr
        return url

    yield run
    administer(server_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def house(settings, database_url, monkeypatch):
    """A house whose day has not come yet."""
    monkeypatch.setenv("PYTHONPATH", str(LIGHT_CHILD.parent.parent))
    monkeypatch.setenv("LIGHT_CONTRACT", contract.load().sha256)
    changes = {"start_day": DAY, "attempt_seconds": 0.0, "grace_seconds": 1.0}
    return House(settings.model_copy(update=changes), database_url)
