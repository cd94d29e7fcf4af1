"""The container's files keep their promises: closed as far as they can be, and the probe tells the truth."""

from __future__ import annotations

import re
import socket
import threading
from contextlib import closing
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipeline import settings
from pipeline.settings import Settings
from scheduler import probe, web
from scheduler.health import Heartbeat
from scheduler.web_api import STUCK_SECONDS

ROOT = Path(__file__).parent.parent
COMPOSE = YAML(typ="safe").load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES = COMPOSE["services"]


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_is_closed(name):
    """No rights, no writable root, limits, a log with an end."""
    service = SERVICES[name]

    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}
    assert service["deploy"]["resources"]["limits"].keys() == {"memory", "pids"}
    assert "privileged" not in service


def test_only_the_site_is_reached_from_outside_and_from_this_machine_only():
    """The database has neither a port nor a way into the world."""
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}

    assert published == {"scheduler": ["127.0.0.1:${DAYGATE_PORT:-8080}:8080"]}
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    assert [name for name, service in SERVICES.items() if "outside" in service["networks"]] == ["scheduler"]


@pytest.mark.parametrize("name", SERVICES)
def test_secrets_are_files_and_each_service_has_its_own(name):
    """No password in a variable, none in the file that git knows, and the owner's only where it migrates."""
    service = SERVICES[name]
    environment = service.get("environment", {})
    given = set(service.get("secrets", ()))

    for variable, value in environment.items():
        assert "PASSWORD" not in variable or value.startswith("/run/secrets/")
        assert not str(value).startswith("/run/secrets/") or str(value).removeprefix("/run/secrets/") in given
    assert given <= COMPOSE["secrets"].keys()
    assert "owner_password" not in given or name in ("postgres", "migrate")
    assert "superuser_password" not in given or name == "postgres"


def test_the_variables_of_the_containers_are_settings():
    """One that is misspelt would keep the service from starting."""
    known = {settings.PREFIX + name.upper() for name in Settings.model_fields}
    known |= {f"{secret}_FILE" for secret in settings.SECRETS}
    used = {variable for service in SERVICES.values() for variable in service.get("environment", {})}

    assert {variable for variable in used if variable.startswith(settings.PREFIX)} <= known


def test_the_service_is_given_more_time_to_stop_than_it_takes():
    """A kill in the middle would cost the attempt."""
    grace = Settings().grace_seconds

    assert float(SERVICES["scheduler"]["stop_grace_period"].removesuffix("s")) >= grace + 15


def test_the_scripts_make_every_secret_that_the_containers_want():
    """`make up` leaves nothing to be made by hand."""
    made = (ROOT / "deploy" / "up").read_text(encoding="utf-8")

    assert all(name in made for name in COMPOSE["secrets"])


def test_the_image_is_built_from_what_it_needs_and_no_more():
    """Neither data nor secrets nor tests reach the builder."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()

    assert next(line for line in lines if not line.startswith("#")) == "*"
    assert {line[1:].strip("/") for line in lines if line.startswith("!")} == {
        *("LICENSE", "README.md", "pyproject.toml", "requirements/base.txt", "requirements/spark.txt"),
        *("expectations_custom", "gx", "marts", "pipeline", "scheduler", "schemas"),
    }


def test_the_pages_name_services_and_folders_that_the_containers_have():
    """Who types a command of docs/deploy.md meets a container; what is saved and copied are folders of its data."""
    page = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    named = re.findall(r"docker compose (?:exec(?: -T)?|stop|start|restart|logs(?: --\S+)?) ([\w-]+)", page)
    saved = set(re.search(r"tar -C /data -c (.*) >", page)[1].split())
    house = Settings(home=Path("/data"))
    kept = {house.events_folder, house.deliveries_folder, house.site_folder, house.runs_folder}

    assert len(named) > 10
    assert set(named) <= SERVICES.keys()
    assert saved == {folder.name for folder in kept}


class Pulse(Heartbeat):
    """A heartbeat whose age is the test's."""

    age = 0.0

    def heartbeat_age(self) -> float:
        """As told."""
        return self.age


def test_the_probe_says_what_the_service_says(tmp_path, capsys):
    """Well, stuck, gone: exit code 0 only for the first."""
    pulse = Pulse()
    running = web.start(Settings(home=tmp_path, web_port=0), pulse)
    port = running.address.rpartition(":")[2]
    try:
        well = probe.main({"DAYGATE_WEB_PORT": port, "DAYGATE_WEB_HOST": "0.0.0.0"})
        pulse.age = STUCK_SECONDS + 1
        stuck = probe.main({"DAYGATE_WEB_PORT": port})
    finally:
        running.stop()
    gone = probe.main({"DAYGATE_WEB_PORT": port})

    assert (well, stuck, gone) == (0, 1, 1)
    assert capsys.readouterr().out == "200\n503\nno answer (ConnectionRefusedError)\n"


@pytest.mark.parametrize(
    ("host", "asked"),
    [("", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("10.0.0.5", "10.0.0.5"), ("gate", "gate")],
)
def test_the_probe_asks_where_the_service_listens(host, asked):
    """Everywhere includes this machine."""
    assert probe.where({"DAYGATE_WEB_HOST": host}) == (asked, 8080)


def test_the_probe_does_not_take_rubbish_for_an_answer():
    """Whatever else listens there."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def answer() -> None:
            taken, _ = listener.accept()
            with taken:
                taken.recv(1024)
                taken.sendall(b"SSH-2.0-x\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        code = probe.main({"DAYGATE_WEB_PORT": str(listener.getsockname()[1])})
        thread.join()

    assert code == 1
