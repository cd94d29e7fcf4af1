"""`make compose-test`: the containers from a fresh copy to the last volume, with a transcript.

Each step is a promise of docs/deploy.md; the first that does not hold ends the test with exit code 1. Everything it
made is removed again, unless DAYGATE_KEEP is set.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from stack import Stack, wait_for

YESTERDAY = datetime.now(ZoneInfo("Asia/Seoul")).date() - timedelta(days=1)
PORT = 18_099


def published(stack: Stack, days: int) -> list[str]:
    """The ids of the published runs, once so many days back from yesterday are."""
    wanted = {str(YESTERDAY - timedelta(days=back)) for back in range(days)}
    found = [run for run in stack.runs() if run["is_current"]]
    return sorted(run["run_id"] for run in found) if {run["day"] for run in found} == wanted else []


def running(stack: Stack) -> bool:
    """Whether a run is under way."""
    return any(run["status"] == "running" for run in stack.runs())


def settings(stack: Stack, *, days: int) -> None:
    """A small shop, and how far back the service answers for."""
    first = YESTERDAY - timedelta(days=days - 1)
    (stack.folder / "daygate.env").write_text(f"DAYGATE_USERS=200\nDAYGATE_START_DAY={first}\n", encoding="utf-8")


# -- the promises, in order ----------------------------------------------------------------------


def without_secrets_it_says_what_to_do(stack: Stack) -> str:
    """`docker compose up` in a fresh clone."""
    told = stack.compose("up", "-d")
    assert told.returncode != 0
    line = next(line for line in told.stderr.splitlines()[::-1] if "make up" in line)
    return line.strip()[-150:]


def make_up_builds_and_starts(stack: Stack) -> str:
    """One command makes passwords, image and containers, and says where to look."""
    settings(stack, days=2)
    told = stack.script("up")
    assert told.returncode == 0, told.stdout[-2000:] + told.stderr[-3000:]
    assert stack.secret("web_password") in told.stdout
    assert stack.secrets.stat().st_mode & 0o777 == 0o700
    return "\n".join(line for line in told.stdout.splitlines() if "answers at" in line or "password" in line).replace(
        stack.secret("web_password"), "…"
    )


def days_are_published(stack: Stack) -> str:
    """The service finds by itself what is due."""
    return ", ".join(wait_for(lambda: published(stack, 2)))


def the_site_is_read_with_its_login_only(stack: Stack) -> str:
    """From outside of the containers."""
    run = published(stack, 2)[-1]
    status, page = stack.get(f"/runs/{run}/index.html")
    seen = {
        "stranger": stack.get("/", login=False)[0],
        "index": stack.get("/")[0],
        "run's page": status,
        "under another name": stack.get("/", host="evil.example")[0],
        "/healthz": stack.get("/healthz", login=False)[0],
        "/readyz": stack.get("/readyz", login=False)[0],
        "/metrics": stack.get("/metrics")[0],
    }
    assert list(seen.values()) == [401, 200, 200, 421, 200, 200, 200], seen
    assert b"PASS" in page
    return str(seen)


def nothing_is_open_that_need_not_be(stack: Stack) -> str:
    """Users, rights, roots, ports, and where secrets show."""
    for service in ("scheduler", "postgres"):
        words = ("sh", "-c", "id -u; grep -E 'CapEff|NoNewPrivs' /proc/1/status; touch /usr/x 2>&1 || true")
        user, *rest = stack.inside(service, *words).stdout.split("\n")
        text = " ".join(rest)
        assert user != "0", user
        assert "0000000000000000" in text, text
        assert "NoNewPrivs:\t1" in text, text
        assert "Read-only" in text, text
        whole = json.dumps(stack.inspect(service))
        shown = [
            file.name for file in stack.secrets.iterdir() if file.stat().st_size and stack.secret(file.name) in whole
        ]
        assert not shown, shown
    ports = {service: stack.inspect(service)["HostConfig"]["PortBindings"] for service in ("scheduler", "postgres")}
    assert not any((ports["postgres"] or {}).values()), ports
    assert [bound["HostIp"] for bound in ports["scheduler"]["8080/tcp"]] == ["127.0.0.1"], ports
    assert stack.inside("scheduler", "python", "-m", "scheduler.probe").stdout == "200\n"
    first = stack.inside("scheduler", "cat", "/proc/1/cmdline").stdout.split("\0")
    assert first[-2] == "serve", first
    return "users not root, no capabilities, read-only roots, one port on 127.0.0.1, no secret in what inspect shows"


def each_login_has_its_own_rights(stack: Stack) -> str:
    """Over the network, with the passwords of the files."""
    assert int(stack.psql("reader", "SELECT count(*) FROM daygate.raw_events").stdout) > 0
    refused = {
        "reader reads quarantine": stack.psql("reader", "SELECT raw FROM daygate.quarantine_events"),
        "reader writes": stack.psql("reader", "DELETE FROM daygate.mart_orders"),
        "loader drops a mart": stack.psql("loader", "DROP TABLE daygate.mart_orders"),
        "loader creates a table": stack.psql("loader", "CREATE TABLE daygate.x ()"),
    }
    assert all(done.returncode for done in refused.values()), refused
    return "; ".join(f"{name}: {done.stderr.strip().splitlines()[0]}" for name, done in refused.items())


def orphans_are_buried(stack: Stack) -> str:
    """Process 1 is the service itself."""
    orphan = stack.inside("scheduler", "python", "-c", "import subprocess; print(subprocess.Popen(['sleep', '2']).pid)")
    stat = ("cat", f"/proc/{int(orphan.stdout)}/stat")
    parent = stack.inside("scheduler", *stat).stdout.rpartition(")")[2].split()[1]
    assert parent == "1", parent
    began = time.monotonic()
    wait_for(lambda: stack.inside("scheduler", *stat).returncode, seconds=120)
    return f"gone after {time.monotonic() - began:.0f} s"


def a_restart_of_postgres_costs_nothing(stack: Stack) -> str:
    """In the middle of a run; the service stays up and the run ends well."""
    before = stack.inspect("scheduler")["State"]["StartedAt"]
    run = stack.start_inside("scheduler", "daygate", "run", "--date", str(YESTERDAY), "--force")
    wait_for(lambda: running(stack))
    stack.engine("restart", stack.container("postgres"))
    out, err = run.communicate(timeout=300)
    assert run.returncode == 0, out + err
    wait_for(lambda: stack.get("/readyz", login=False)[0] == 200)
    assert stack.inspect("scheduler")["State"]["StartedAt"] == before
    return next(line for line in out.splitlines() if line.startswith("PASS"))


def a_killed_service_finishes_what_it_began(stack: Stack) -> str:
    """SIGKILL in the middle of a run, and a start: every day is published, once, and nothing is left running."""
    settings(stack, days=4)
    assert stack.compose("down").returncode == 0
    assert stack.script("up").returncode == 0
    wait_for(lambda: running(stack))
    stack.engine("kill", "-s", "KILL", stack.container("scheduler"))
    stack.engine("start", stack.container("scheduler"))
    found = wait_for(lambda: published(stack, 4))
    assert not running(stack)
    twice = "SELECT count(*) - count(DISTINCT day) FROM daygate.pipeline_run_log WHERE is_current"
    assert stack.psql("reader", twice).stdout.strip() == "0"
    ended = [f"{run['run_id']} {run['status']}" for run in stack.runs() if run["run_id"] not in found]
    return f"published: {', '.join(found)}; also: {', '.join(ended)}"


def a_service_that_ends_is_started_again(stack: Stack) -> str:
    """By the engine, without a person."""
    before = stack.inspect("scheduler")["State"]["StartedAt"]
    stack.inside("scheduler", "python", "-c", "import os; os.kill(1, 15)")
    wait_for(lambda: stack.inspect("scheduler")["State"]["StartedAt"] != before)
    wait_for(lambda: stack.get("/healthz", login=False)[0] == 200)
    return "restarted"


def it_stops_in_order(stack: Stack) -> str:
    """Within its grace time, with exit code 0 and a last word."""
    began = time.monotonic()
    stack.engine("stop", "-t", "45", stack.container("scheduler"))
    took = time.monotonic() - began
    state = stack.inspect("scheduler")["State"]
    assert state["ExitCode"] == 0, state
    assert '"service.stopped"' in stack.log("scheduler").splitlines()[-1]
    stack.engine("start", stack.container("scheduler"))
    wait_for(lambda: stack.get("/healthz", login=False)[0] == 200)
    return f"exit code 0 after {took:.1f} s"


def data_outlive_the_containers(stack: Stack) -> str:
    """Down and up again."""
    before = published(stack, 4)
    assert stack.script("down").returncode == 0
    assert stack.get("/healthz", login=False)[0] == 0
    assert stack.script("up").returncode == 0
    after = wait_for(lambda: published(stack, 4))
    assert after == before
    assert stack.get(f"/runs/{before[0]}/index.html")[0] == 200
    return f"{len(after)} days and their pages are there"


def a_backup_brings_everything_back(stack: Stack) -> str:
    """The commands of docs/deploy.md: dump, lose the database, restore."""
    count = "SELECT count(*), sum(total_amount) FROM daygate.mart_orders"
    before = stack.psql("reader", count).stdout
    admin = ("--username", "postgres")
    assert stack.inside("postgres", "pg_dump", *admin, "-Fc", "-f", "/tmp/daygate.dump", "daygate").returncode == 0
    kept = "tar -C /data -c events deliveries site runs -f /tmp/data.tar && rm -r /data/site /data/deliveries"
    assert stack.inside("scheduler", "sh", "-c", kept).returncode == 0
    assert stack.inside("scheduler", "tar", "-C", "/data", "-x", "-f", "/tmp/data.tar").returncode == 0
    stack.engine("stop", "-t", "45", stack.container("scheduler"))
    for words in (
        ("dropdb", *admin, "--force", "daygate"),
        ("pg_restore", *admin, "--create", "-d", "postgres", "--exit-on-error", "/tmp/daygate.dump"),
    ):
        done = stack.inside("postgres", *words)
        assert done.returncode == 0, done.stderr
    stack.engine("start", stack.container("scheduler"))
    assert stack.psql("reader", count).stdout == before
    assert wait_for(lambda: published(stack, 4))
    again = stack.inside("scheduler", "daygate", "run", "--date", str(YESTERDAY), "--force")
    assert again.returncode == 0, again.stderr
    assert stack.get(f"/runs/{published(stack, 4)[0]}/index.html")[0] == 200
    return f"orders and revenue before and after: {before.strip()}; the next run: {again.stdout.splitlines()[-1]}"


def secrets_are_rotated(stack: Stack) -> str:
    """New passwords everywhere; the old ones open nothing."""
    old = {name: stack.secret(f"{name}_password") for name in ("loader", "reader", "web")}
    done = stack.script("rotate")
    assert done.returncode == 0, done.stderr
    wait_for(lambda: stack.get("/readyz", login=False)[0] == 200)
    assert stack.get("/")[0] == 200
    for role in ("loader", "reader"):
        address = f"postgresql://daygate_{role}:{old[role]}@127.0.0.1/daygate"
        assert stack.inside("postgres", "psql", "-X", "-c", "SELECT 1", address).returncode != 0
        assert stack.psql(role, "SELECT 1").returncode == 0
    assert all(stack.secret(f"{name}_password") != password for name, password in old.items())
    return "site, loader and reader: the new opens, the old does not"


def the_log_is_json_and_keeps_secrets(stack: Stack) -> str:
    """One event a line; no password, no customer."""
    lines = stack.log("scheduler").splitlines()
    events = [json.loads(line)["event"] for line in lines]
    customers = stack.psql(
        "reader",
        "SELECT user_id FROM daygate.raw_events UNION SELECT order_id FROM daygate.mart_orders",
    )
    values = customers.stdout.split()
    assert len(values) > 100
    values += [stack.secret(file.name) for file in stack.secrets.iterdir() if file.stat().st_size]
    for service in ("scheduler", "postgres", "migrate"):
        log = stack.log(service)
        assert not [value for value in values if value in log], service
    return f"{len(events)} lines, {len(set(events))} kinds of event, none of {len(values)} values"


STEPS: tuple[Callable[[Stack], str], ...] = (
    without_secrets_it_says_what_to_do,
    make_up_builds_and_starts,
    days_are_published,
    the_site_is_read_with_its_login_only,
    nothing_is_open_that_need_not_be,
    each_login_has_its_own_rights,
    orphans_are_buried,
    a_restart_of_postgres_costs_nothing,
    a_killed_service_finishes_what_it_began,
    a_service_that_ends_is_started_again,
    it_stops_in_order,
    data_outlive_the_containers,
    a_backup_brings_everything_back,
    secrets_are_rotated,
    the_log_is_json_and_keeps_secrets,
)


def main() -> int:
    """Run every step; 1 at the first that does not hold."""
    with tempfile.TemporaryDirectory(prefix="daygate-compose-") as folder:
        stack = Stack(Path(folder), port=PORT)
        stack.copy()
        stack.adapt()
        try:
            for step in STEPS:
                began = time.monotonic()
                name = step.__name__.replace("_", " ")
                try:
                    said = step(stack)
                except AssertionError as wrong:
                    sys.stdout.write(f"✗ {name}\n    {wrong}\n")
                    return 1
                told = "\n    ".join(said.splitlines())
                sys.stdout.write(f"✓ {name} ({time.monotonic() - began:.1f} s)\n    {told}\n")
                sys.stdout.flush()
        finally:
            if "DAYGATE_KEEP" not in os.environ:
                stack.compose("--profile", "spark", "down", "--volumes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
