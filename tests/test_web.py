"""The web: who gets in, what the site shows, what abuse gets, and what comes from the ledger.

Long because every section asks the same small server in the same words; a section is read on its own.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import http.client
import json
import os
import re
import socket
import struct
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import date, timedelta
from datetime import time as clock_time
from pathlib import Path

import psycopg2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as prometheus_families
from pydantic import SecretStr
from staged_days import DAY, claim, event, purchase, run_day, stage_day

from gx.policy import POLICY
from pipeline import database, ledger_figures, postgres
from pipeline.check_ids import CHECK_IDS
from pipeline.errors import SettingsError
from pipeline.records import Alert
from pipeline.settings import Settings
from scheduler import web
from scheduler.web_database import Ledger
from scheduler.web_server import ImpatientProtocol

ROOT = Path(__file__).parent.parent
SECRET = "SECRETCANARY-of-the-site"
RUN = "20260115-1-0badcafe"
PAGE = "<!doctype html><title>days</title>"
#: A port where nothing listens: answers at once that there is no database.
NOWHERE = "postgresql://nobody:DSNCANARY@127.0.0.1:9/none"


@dataclass
class Loop:
    """The service's loop as the web sees it."""

    age: float = 1.0

    def heartbeat_age(self):
        return self.age


@dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


class Client:
    """Asks a running server over sockets of its own."""

    def __init__(self, running):
        self.running = running
        self.port = int(running.address.rpartition(":")[2])

    def ask(self, path, method="GET", **headers):
        """One request; `_` in a header's name stands for a hyphen."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)) as connection:
            connection.request(method, path, headers={name.replace("_", "-"): text for name, text in headers.items()})
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())

    def connect(self):
        """A bare connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def send(self, data):
        """Everything that comes back until the server closes the connection."""
        with self.connect() as connection:
            connection.sendall(data)
            return read_all(connection)


def together(times, do):
    """What many threads get that do the same at one time."""
    with ThreadPoolExecutor(times) as pool:
        return [one.result() for one in [pool.submit(do) for _ in range(times)]]


def read_all(connection):
    found = b""
    try:
        while chunk := connection.recv(65536):
            found += chunk
    except ConnectionResetError:
        pass
    return found


def publish_site(home):
    """A small published site."""
    for folder in (home / "site", home / "site" / "runs" / RUN):
        (folder / "assets").mkdir(parents=True)
        (folder / "index.html").write_text(PAGE)
        (folder / "assets" / "daygate.css").write_text("body{}")
    return home


@pytest.fixture(scope="module")
def quiet(tmp_path_factory):
    """A server for all tests that change nothing, and its home."""
    home = publish_site(tmp_path_factory.mktemp("home"))
    (home / "secret.html").write_text(SECRET)
    (home / "site" / ".hidden.html").write_text(SECRET)
    (home / "site" / "notes.txt").write_text(SECRET)
    running = web.start(Settings(home=home, web_port=0, database_url=SecretStr(NOWHERE)), Loop())
    yield Client(running)
    running.stop()


@pytest.fixture
def home(tmp_path):
    """A home of the test's own."""
    return publish_site(tmp_path / "data")


@pytest.fixture
def serve(home):
    """Starts a server on a free port and stops it after the test."""
    running = []

    def start(*, health=None, database_url=NOWHERE, protocol=ImpatientProtocol, **changes):
        chosen = Settings(home=home, web_port=0, database_url=SecretStr(database_url), **changes)
        running.append(web.start(chosen, health or Loop(), protocol=protocol))
        return Client(running[-1])

    yield start
    for one in running:
        one.stop()
        assert not one.alive


@pytest.fixture
def client(serve):
    """A server of the test's own, without any setting."""
    return serve()


def day_of(folder):
    """A small day with one bad line."""
    folder.mkdir(exist_ok=True)
    events = [event(n, user=n % 3, session=n, second=n) for n in range(8)] + [purchase(100, (1, 2, "500"), second=50)]
    return stage_day(folder, events, reasons={1: [("value_ranges", "os", "os", "not allowed")]})


# -- the site ------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/index.html", f"/runs/{RUN}/", f"/runs/{RUN}/index.html", "/?x=../.."])
def test_pages_are_served(quiet, path):
    """A folder shows its index; a query changes nothing."""
    answer = quiet.ask(path)

    assert (answer.status, answer.body.decode()) == (200, PAGE)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "private, no-cache"


@pytest.mark.parametrize(
    ("path", "status"),
    [("/", 200), ("/none", 404), ("/healthz", 200), ("/readyz", 503), ("/metrics", 200), ("/api/runs", 503)],
)
def test_every_answer_bears_the_security_headers(quiet, path, status):
    """The policy the pages are written for, and nothing that tells what serves them."""
    answer = quiet.ask(path)

    assert answer.status == status
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cross-origin-opener-policy"] == "same-origin"
    assert answer.headers["server"] is None


def test_a_page_that_did_not_change_is_not_sent_again(client, home):
    """Asked with its tag it is 304, until it is replaced."""
    tag = client.ask("/").headers["etag"]
    assert client.ask("/", If_None_Match=tag).status == 304

    (home / "site" / "new").write_text("<!doctype html>new")
    (home / "site" / "new").replace(home / "site" / "index.html")

    assert client.ask("/", If_None_Match=tag).body == b"<!doctype html>new"


def test_assets_are_kept_long_and_those_of_a_run_for_good(quiet):
    """Assets of the front page may change with an upgrade, those of a run never."""
    assert quiet.ask("/assets/daygate.css").headers["cache-control"] == "private, max-age=86400"
    kept = quiet.ask(f"/runs/{RUN}/assets/daygate.css").headers["cache-control"]

    assert kept == "private, max-age=31536000, immutable"


def test_head_tells_the_size_and_sends_nothing(quiet):
    """The same headers as GET."""
    answer = quiet.ask("/", "HEAD")

    assert (answer.status, answer.headers["content-length"], answer.body) == (200, str(len(PAGE)), b"")


def test_a_folder_without_its_slash_leads_to_it_and_is_never_listed(quiet):
    """Relative links of the page work; a folder without an index is nothing."""
    answer = quiet.ask(f"/runs/{RUN}")

    assert (answer.status, answer.headers["location"]) == (308, f"/runs/{RUN}/")
    assert [quiet.ask(path).status for path in ("/runs/", "/assets/")] == [404, 404]


def test_a_site_that_is_not_there_yet_is_404(client, home):
    """Before the first run there is no folder; whoever looks is told to come again."""
    (home / "site").rename(home / "gone")
    answer = client.ask("/")

    assert (answer.status, answer.body) == (404, b"No day was run yet; its page will be here.\n")


@pytest.mark.parametrize(
    "path",
    [
        *("/../secret.html", "/..%2fsecret.html", "/%2e%2e/secret.html", "/%2e%2e%2fsecret.html"),
        *("/%252e%252e/secret.html", "/assets/../../secret.html", "/..\\secret.html", "/..%5csecret.html"),
        *("//secret.html", "//etc/passwd", "/%2fetc/passwd", "/assets//daygate.css", "/./index.html", "/~root"),
        *("/index.html%00.css", "/index.html%00", "/%0aindex.html", "/%ff%fe", "/\u00e9.html", "/%E2%80%AE.html"),
        *("/%c0%ae%c0%ae/secret.html", "/.hidden.html", "/assets/.x/index.html", "/notes.txt", "/index.html/"),
        *("/index.html/x.html", "/" + "a" * 5000, "/a" * 500, "/file:///etc/passwd", "/index.html;x"),
        *("/index.html.", "/INDEX.HTML"),
    ],
)
def test_what_is_no_plain_path_of_the_site_does_not_exist(quiet, path):
    """Traversal in every spelling, hidden files, unknown types, names too long or too deep."""
    answer = quiet.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode("latin-1"))

    assert answer.split()[1] in (b"404", b"400")
    assert SECRET.encode() not in answer


@settings(max_examples=150)
@given(st.lists(st.sampled_from(["..", ".", "", "site", "%2e", "%2f", "\\", "secret.html", "assets", "%00", "%", "é"])))
def test_no_path_leads_out_of_the_site(quiet, pieces):
    """However the pieces of a way out are put together."""
    for glue in ("/", "", "%2f"):
        path = ("/" + glue.join(pieces)).encode()
        answer = quiet.send(b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert answer.split()[1] in (b"200", b"308", b"400", b"404")
        assert SECRET.encode() not in answer


@settings(max_examples=150)
@given(st.binary(max_size=300))
def test_no_bytes_bring_it_down(quiet, noise):
    """Whatever stands in the head of a request, there is an answer or a closed connection, and no bug."""
    answer = quiet.send(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + noise + b"\r\nConnection: close\r\n\r\n")

    assert not answer or answer.split()[1] in (b"200", b"400", b"421")


def test_links_and_odd_files_inside_the_site_are_not_followed(client, home):
    """A link to a file or a folder, a pipe, a folder named like a page."""
    (home / "outside").mkdir()
    (home / "outside" / "index.html").write_text(SECRET)
    site = home / "site"
    (site / "linked").symlink_to(home / "outside")
    (site / "linked.html").symlink_to(home / "outside" / "index.html")
    (site / "dangling.html").symlink_to(home / "none")
    os.mkfifo(site / "pipe.html")

    asked = ["/linked/", "/linked/index.html", "/linked", "/linked.html", "/dangling.html", "/pipe.html"]
    assert [client.ask(path).status for path in asked] == [404] * len(asked)


@pytest.mark.parametrize("ranges", ["bytes=0-0", "bytes=0-,0-,0-" + ",5-" * 500, "bytes=-1", "bytes=9999-", "x"])
def test_ranges_are_not_offered(quiet, ranges):
    """However many are asked for, the page comes once."""
    answer = quiet.ask("/", Range=ranges)

    assert (answer.status, answer.body.decode(), answer.headers["accept-ranges"]) == (200, PAGE, "none")


# -- who may read --------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "get"])
@pytest.mark.parametrize("path", ["/", "/api/runs", "/healthz"])
def test_the_site_is_for_reading(quiet, method, path):
    """Any other method is refused, and told so."""
    answer = quiet.ask(path, method)

    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "", "localhost:80:80", "[::1", "a@localhost"],
)
def test_a_name_that_is_not_ours_gets_nothing(quiet, host):
    """Another site that lets its name point here reads neither pages nor the ledger."""
    for path in ("/", "/api/runs", "/metrics"):
        answer = quiet.ask(path, Host=host)
        assert (answer.status, PAGE in answer.body.decode()) == (421, False)
    assert quiet.ask("/healthz", Host=host).status == 200


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8080", "127.0.0.1:1", "[::1]:8080", "gate.example", "Gate.Example:443"]
)
def test_names_of_ours_are_answered(serve, host):
    """Whatever the port: a proxy may stand in front."""
    assert serve(web_hosts=("gate.example",)).ask("/", Host=host).status == 200


@pytest.mark.parametrize("target", ["http://evil.example/", "evil.example:443", "*", "index.html"])
def test_a_target_that_is_no_path_is_refused(quiet, target):
    """This is no proxy."""
    answer = quiet.send(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())

    assert answer.split()[1] in (b"404", b"400")


def test_with_a_login_nothing_but_health_is_open(serve):
    """Without it: 401, no body, no ledger."""
    client = serve(web_user="reader", web_password=SecretStr(SECRET))

    for path in ("/", "/none", "/metrics", "/api/runs", f"/api/runs/{RUN}"):
        answer = client.ask(path)
        assert (answer.status, answer.body) == (401, b"")
        assert answer.headers["www-authenticate"].startswith("Basic ")
    assert client.ask("/healthz").status == 200
    assert client.ask("/readyz").status == 503


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (b"Basic " + base64.b64encode(f"reader:{SECRET}".encode()), 200),
        (b"basic " + base64.b64encode(f"reader:{SECRET}".encode()), 200),
        (b"Basic " + base64.b64encode(b"reader:wrong"), 401),
        (b"Basic " + base64.b64encode(b"reader:"), 401),
        (b"Basic " + base64.b64encode(f"other:{SECRET}".encode()), 401),
        (b"Basic " + base64.b64encode(f"reader:{SECRET}x".encode()), 401),
        (b"Basic " + base64.b64encode(f"reader:{SECRET}".encode()) + b"!", 401),
        (b"Basic \xff\xfe", 401),
        (b"Basic", 401),
        (b"Bearer " + base64.b64encode(f"reader:{SECRET}".encode()), 401),
        (b"", 401),
    ],
)
def test_only_the_whole_login_opens(serve, header, status):
    """Half of it, more of it, or something else does not."""
    client = serve(web_user="reader", web_password=SecretStr(SECRET))
    answer = client.send(b"GET / HTTP/1.0\r\nHost: localhost\r\nAuthorization: " + header + b"\r\n\r\n")

    assert int(answer.split()[1]) == status


@pytest.mark.parametrize(
    "changes",
    [
        {"web_host": "0.0.0.0"},
        {"web_host": "::"},
        {"web_host": ""},
        {"web_host": "gate.example"},
        {"web_user": "reader"},
        {"web_password": SecretStr(SECRET)},
        {"web_user": "reader", "web_password": SecretStr("")},
        {"web_user": "re:ader", "web_password": SecretStr(SECRET)},
    ],
)
def test_an_open_door_beyond_this_machine_is_refused(home, changes):
    """The service does not start rather than show days to everyone, and says what to set."""
    with pytest.raises(SettingsError) as refused:
        web.start(Settings(home=home, web_port=0, **changes), Loop())

    assert SECRET not in f"{refused.value} {refused.value.hint}"
    assert "DAYGATE_WEB" in f"{refused.value} {refused.value.hint}"


def test_with_a_login_it_may_be_bound_anywhere(serve):
    """A container binds all addresses."""
    client = serve(web_host="0.0.0.0", web_user="reader", web_password=SecretStr(SECRET))
    login = base64.b64encode(f"reader:{SECRET}".encode()).decode()

    assert client.ask("/", Authorization=f"Basic {login}").status == 200


def test_a_port_that_is_taken_is_told(home, client):
    """Before anything is served, in words."""
    with pytest.raises(SettingsError, match=f"port {client.port}"):
        web.start(Settings(home=home, web_port=client.port), Loop())


# -- slow and broken clients ---------------------------------------------------------------------


class Hurried(ImpatientProtocol):
    """Waits a fraction of the usual time."""

    head_seconds = 0.3
    exchange_seconds = 0.6
    most_connections = 20


@pytest.mark.parametrize("start", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: "])
def test_a_client_that_does_not_finish_its_request_is_left(serve, start):
    """Nor does it gain time by sending byte after byte."""
    client = serve(protocol=Hurried)
    began = time.monotonic()
    with client.connect() as connection:
        connection.sendall(start)
        connection.settimeout(0.05)
        while time.monotonic() - began < 10:
            try:
                if start:
                    connection.sendall(b"x")
                if connection.recv(100) == b"":
                    break
            except TimeoutError:
                continue
            except (ConnectionResetError, BrokenPipeError):
                break

    assert time.monotonic() - began < 5


def test_a_client_that_takes_nothing_is_left(serve, home):
    """A large answer does not wait in memory for ever."""
    (home / "site" / "big.json").write_bytes(b" " * 20_000_000)
    client = serve(protocol=Hurried)
    with client.connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(b"GET /big.json HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_until(lambda: open_connections(client) == 1)
        wait_until(lambda: open_connections(client) == 0)


def test_many_slow_clients_leave_room_for_others(serve):
    """Who waits longest without a request makes room; everyone else is answered meanwhile."""

    class Crowded(ImpatientProtocol):
        most_connections = 20

    client = serve(protocol=Crowded)
    slow = [client.connect() for _ in range(60)]
    try:
        for connection in slow[40:]:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: lo")
        assert [client.ask("/").status for _ in range(5)] == [200] * 5
        assert open_connections(client) <= 20
    finally:
        for connection in slow:
            connection.close()


def test_a_large_file_comes_whole(client, home):
    """In pieces, with its length said before."""
    (home / "site" / "big.json").write_bytes(os.urandom(3_000_000))

    answer = client.ask("/big.json")

    assert answer.body == (home / "site" / "big.json").read_bytes()
    assert answer.headers["content-length"] == "3000000"


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\r\n\r\n\r\n" * 100,
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 2_000_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\nGET /secret HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    ],
)
def test_broken_requests_get_a_400_or_a_closed_door(quiet, request_bytes):
    """And the server goes on."""
    answer = quiet.send(request_bytes)

    assert not answer or answer.split()[1] in (b"400", b"431", b"405")
    assert answer.count(b"HTTP/1.1 ") <= 1
    assert quiet.ask("/").status == 200


def test_a_connection_serves_many_requests(quiet):
    """One after the other, and sent ahead without waiting; a refusal ends it."""
    page = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with closing(http.client.HTTPConnection("127.0.0.1", quiet.port, timeout=20)) as connection:
        for _ in range(3):
            connection.request("GET", "/")
            assert connection.getresponse().read().decode() == PAGE

    assert quiet.send(page * 3 + b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\n" + page).count(PAGE.encode()) == 3


def test_a_websocket_is_not_offered(quiet):
    """The request to switch is answered like any other."""
    answer = quiet.send(
        b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )

    assert answer.split()[1] == b"200"


def test_clients_that_break_off_harm_nobody(quiet):
    """Reset in the middle of an answer, many times."""
    for _ in range(30):
        with quiet.connect() as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    assert quiet.ask("/").status == 200


def test_requests_side_by_side_are_all_answered(quiet):
    """From many quiets at once."""
    assert together(40, lambda: quiet.ask("/").status) == [200] * 40


def test_stopping_ends_every_connection(client):
    """Also of those that only wait; afterwards nobody listens."""
    with client.connect() as connection:
        client.running.stop()

        assert not client.running.alive
        assert read_all(connection) == b""
    with pytest.raises(ConnectionRefusedError):
        client.connect()


def open_connections(client):
    """What the server itself counts."""
    return len(client.running.server.server_state.connections)


def wait_until(holds, seconds=10):
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.01)


# -- the boundary --------------------------------------------------------------------------------


def guarded(app, path="/", times=1):
    """The statuses of requests to an app behind the guard, all under way at once."""
    guard = web.Guard(app, doorkeeper=lambda _: True, names=frozenset({"localhost"}))
    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": [(b"host", b"localhost")]}

    async def one():
        sent = []

        async def send(message):
            sent.append(message)

        await guard(dict(scope), None, send)
        return sent[0]["status"]

    async def all_of_them():
        return await asyncio.gather(*(one() for _ in range(times)))

    return asyncio.run(all_of_them())


async def slowly_answering(scope, receive, send):
    for _ in range(5):
        await asyncio.sleep(0)
    await send({"type": "http.response.start", "status": 200, "headers": []})


def test_a_bug_costs_one_answer(caplog):
    """500, and in the log its type without what it says."""

    async def broken(scope, receive, send):
        raise KeyError(SECRET)

    assert guarded(broken) == [500]
    assert "KeyError" in caplog.text
    assert SECRET not in caplog.text


def test_too_many_requests_at_once_are_told_to_come_again():
    """As many as are allowed are answered, and health always."""
    found = guarded(slowly_answering, times=web.MOST_REQUESTS + 5)

    assert (found.count(200), found.count(503)) == (web.MOST_REQUESTS, 5)
    assert guarded(slowly_answering, "/healthz", times=web.MOST_REQUESTS + 5) == [200] * (web.MOST_REQUESTS + 5)


def test_the_web_loads_neither_great_expectations_nor_spark():
    """The service stays small; a run brings them in a process of its own."""
    code = "import sys, scheduler.web; print(sorted({'great_expectations', 'pyspark'} & set(sys.modules)))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)

    assert told.stdout == "[]\n"


# -- health and readiness ------------------------------------------------------------------------


def test_health_is_the_heartbeat_of_the_loop(serve):
    """A loop that does not turn is to be restarted, whatever the database does."""
    loop = Loop()
    client = serve(health=loop)
    assert (client.ask("/healthz").status, client.ask("/healthz").json) == (200, {"status": "ok"})

    loop.age = 1000.0

    assert (client.ask("/healthz").status, client.ask("/healthz").json) == (503, {"status": "stuck"})


def test_ready_when_the_due_day_is_decided(serve, database_url, tmp_path):
    """Late as long as the gate has not answered, ready whatever it answered."""
    client = serve(database_url=database_url, sla_time=clock_time(0))
    assert client.ask("/readyz").json == {
        "status": "not ready", "database": "ok", "schema": "ok", "ledger": "late",
    }  # fmt: skip

    claim(database_url, tmp_path)
    yesterday = "(now() AT TIME ZONE 'Asia/Seoul')::date - 1"
    blocked = "status = 'blocked', verdict = 'FAIL', finished_at = now()"
    write(database_url, f"UPDATE pipeline_run_log SET day = {yesterday}, {blocked}")

    second = serve(database_url=database_url, sla_time=clock_time(0)).ask("/readyz")
    assert (second.status, second.json["status"], second.json["ledger"]) == (200, "ready", "ok")


def test_an_alert_that_nobody_took_makes_it_unready_until_somebody_deals_with_it(serve, database_url, tmp_path):
    """The word says what is wrong, the metric how many."""
    run = claim(database_url, tmp_path)
    yesterday = "(now() AT TIME ZONE 'Asia/Seoul')::date - 1"
    blocked = "status = 'blocked', verdict = 'FAIL', finished_at = now()"
    write(database_url, f"UPDATE pipeline_run_log SET day = {yesterday}, {blocked}")
    write(database_url, "INSERT INTO alert_outbox (dedupe_key, kind, day, run_id, facts, given_up_at, outcome)"
          f" VALUES ('x', 'gate_failed', {yesterday}, '{run.run_id}', '{{}}', now(), 'dead')")  # fmt: skip
    client = serve(database_url=database_url, sla_time=clock_time(0))
    answer, metrics = client.ask("/readyz"), client.ask("/metrics").body
    write(database_url, "UPDATE alert_outbox SET given_up_at = NULL, outcome = 'log', sent_at = now()")

    assert (answer.status, answer.json["alerts"]) == (503, "given up")
    assert b"\ndaygate_outbox_given_up_alerts 1.0\n" in metrics
    assert b"\ndaygate_outbox_alerts 0.0\n" in metrics
    assert serve(database_url=database_url, sla_time=clock_time(0)).ask("/readyz").status == 200


@pytest.mark.parametrize(
    ("first", "late"), [(None, False), (timedelta(days=-2), True), (timedelta(days=-1), False), (timedelta(1), False)]
)
def test_before_its_time_only_the_day_before_counts(database_url, first, late):
    """Of the days the service answers for; on an empty ledger that is yesterday and later."""
    with closing(database.connect(database_url, name="test")) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT (now() AT TIME ZONE 'Asia/Seoul')::date")
        today = cursor.fetchone()[0]
        connection.commit()
        day = None if first is None else today + first

        assert ledger_figures.is_late(connection, by=clock_time(23, 59, 59, 999999), first=day) is late


def test_a_database_that_was_never_set_up_is_not_ready(serve, empty_database_url):
    """The word says what is missing."""
    answer = serve(database_url=empty_database_url).ask("/readyz")

    assert (answer.status, answer.json["schema"]) == (503, "missing")


def test_a_database_of_another_version_is_not_ready(serve, database_url):
    """An instance of yesterday must not take part."""
    write(database_url, "UPDATE alembic_version SET version_num = '9999'")

    answer = serve(database_url=database_url).ask("/readyz")

    assert (answer.status, answer.json["schema"]) == (503, "newer")


def test_without_a_database_the_site_still_stands_and_says_so(serve, caplog):
    """No answer holds the address or the password of the database."""
    client = serve()

    assert client.ask("/").status == 200
    assert client.ask("/readyz").json == {"status": "not ready", "database": "away"}
    assert client.ask("/api/runs").json == {"error": "The ledger cannot be read now."}
    assert b"\ndaygate_database_up 0.0\n" in client.ask("/metrics").body
    for path in ("/readyz", "/api/runs", "/metrics"):
        assert b"DSNCANARY" not in client.ask(path).body
    assert "PostgreSQL is not reachable" in caplog.text
    assert "DSNCANARY" not in caplog.text


def test_an_embedded_server_that_does_not_run_is_not_started_by_readers(home):
    """Asking whether it is ready would otherwise undo `daygate down`."""
    running = web.start(Settings(home=home, web_port=0), Loop())
    try:
        assert Client(running).ask("/readyz").json == {"status": "not ready", "database": "away"}
    finally:
        running.stop()

    assert postgres.status(home).state == "absent"


@pytest.fixture
def silent_url(monkeypatch):
    """A database that accepts connections and never says a word, and the count of those connections."""
    monkeypatch.setattr(Ledger, "patience", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(0.1)
        accepted = []

        def count():
            with contextlib.suppress(TimeoutError):
                while True:
                    accepted.append(silent.accept()[0])
            return len(accepted)

        yield f"postgresql://nobody@127.0.0.1:{silent.getsockname()[1]}/none", count
        for connection in accepted:
            connection.close()


def test_a_database_that_never_answers_is_asked_once_for_all(serve, silent_url):
    """Everyone who asks for readiness has the same answer after a moment."""
    url, connections = silent_url
    client = serve(database_url=url)

    assert together(8, lambda: client.ask("/readyz").json) == [{"status": "not ready", "database": "away"}] * 8
    assert connections() == 1


def test_a_database_that_never_answers_holds_few_places_and_no_page(serve, silent_url):
    """Readers of the ledger are sent away after a moment; those of the site notice nothing."""
    url, connections = silent_url
    client = serve(database_url=url)

    assert together(30, lambda: client.ask("/api/runs").status) == [503] * 30
    assert client.ask("/").status == 200
    assert connections() <= 4


# -- metrics -------------------------------------------------------------------------------------


def families(text, parse=prometheus_families):
    return {family.name: family for family in parse(text)}


def values(family):
    """Labels' values -> value."""
    return {tuple(sample.labels.values()): sample.value for sample in family.samples}


def test_metrics_before_the_first_run_leave_out_what_nobody_knows(serve, database_url):
    """No day, no age: a figure that stands for nothing would look like news."""
    found = families(serve(database_url=database_url).ask("/metrics").body.decode())

    assert values(found["daygate_database_up"]) == {(): 1}
    assert not found.keys() & {"daygate_day_verdict", "daygate_ledger_age_seconds"}


def test_metrics_tell_the_newest_day(serve, database_url, tmp_path):
    """Events, verdict, check rates, step seconds, age of the ledger and of the outbox."""
    alert = Alert(kind="day_completed", day=DAY, dedupe_key="x", facts={})
    told = run_day(database_url, tmp_path, day_of(tmp_path), [alert])
    found = families(serve(database_url=database_url).ask("/metrics").body.decode())

    assert values(found["daygate_database_up"]) == {(): 1}
    assert values(found["daygate_runs"]) == {("published", "PASS"): 1}
    assert values(found["daygate_events"]) == {("loaded",): told.loaded, ("quarantined",): told.quarantined}
    assert values(found["daygate_day_verdict"]) == {("PASS",): 1, ("FAIL",): 0, ("INCONCLUSIVE",): 0}
    assert {labels[0] for labels in values(found["daygate_check_pass_ratio"])} <= set(CHECK_IDS)
    assert values(found["daygate_check_failed_events"])[("value_ranges",)] == 1
    assert {step for (step,) in values(found["daygate_step_duration_seconds"])} == set(told.timings)
    assert 0 <= values(found["daygate_ledger_age_seconds"])[()] < 60
    assert values(found["daygate_outbox_alerts"]) == {(): 1}
    assert 0 <= values(found["daygate_outbox_oldest_age_seconds"])[()] < 60
    assert values(found["daygate_loop_heartbeat_age_seconds"]) == {(): 1}
    assert values(found["daygate_published_day_timestamp_seconds"]) == {(): 1768402800}


def test_both_formats_tell_the_same(serve, database_url, tmp_path):
    """Each is read by its own parser."""
    run_day(database_url, tmp_path, day_of(tmp_path))
    client = serve(database_url=database_url)
    text = client.ask("/metrics").body.decode()
    other = client.ask("/metrics", Accept="application/openmetrics-text").body.decode()

    plain, opened = families(text), families(other, openmetrics_families)
    assert plain.keys() == opened.keys() >= {"daygate_runs", "daygate_build_info", "process_resident_memory_bytes"}
    for name in ("daygate_runs", "daygate_events", "daygate_day_events", "daygate_check_threshold_ratio"):
        assert values(plain[name]) == values(opened[name])


@pytest.mark.parametrize(
    ("accept", "open_metrics"),
    [
        ("application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.3,*/*;q=0.1", True),
        ("application/openmetrics-text", True),
        ("application/openmetrics-text;q=0.0,text/plain", False),
        ("application/openmetrics-text;version=x;escaping=y", True),
        ("text/plain", False),
        ("*/*", False),
        (";;,,=", False),
        ("", False),
    ],
)
def test_metrics_come_in_the_format_asked_for(quiet, accept, open_metrics):
    """Prometheus' plain text to everyone else; also while the database is away."""
    answer = quiet.ask("/metrics", Accept=accept)
    kind = "application/openmetrics-text; version=1.0.0" if open_metrics else "text/plain; version=0.0.4"

    assert answer.headers["content-type"].startswith(kind)
    assert answer.body.endswith(b"# EOF\n") == open_metrics


def test_every_metric_and_route_is_told(serve, database_url, tmp_path):
    """docs/web.md names them all."""
    run_day(database_url, tmp_path, day_of(tmp_path))
    names = set(
        re.findall(
            r"^# TYPE (daygate_\w+)", serve(database_url=database_url).ask("/metrics").body.decode(), re.MULTILINE
        )
    )
    told = (ROOT / "docs" / "web.md").read_text(encoding="utf-8")

    assert names == set(re.findall(r"^\| `(daygate_\w+)", told, re.MULTILINE))
    assert {"/healthz", "/readyz", "/metrics", "/api/runs", "/api/runs/{run_id}"} <= set(
        re.findall(r"`(/[^`]*)`", told)
    )


# -- runs ----------------------------------------------------------------------------------------


def test_runs_are_told_page_by_page(serve, database_url, tmp_path):
    """The last claimed first; following `next` shows each once, and new runs do not shift the pages."""
    for back in range(5):
        claim(database_url, tmp_path, DAY - timedelta(days=back))
    client = serve(database_url=database_url)
    seen, path = [], "/api/runs?limit=2"
    while path:
        page = client.ask(path).json
        seen += [run["day"] for run in page["runs"]]
        path = page["next"]
        if len(seen) == 2:
            claim(database_url, tmp_path, date(2026, 3, 1))

    assert seen == [f"{DAY - timedelta(days=back)}" for back in reversed(range(5))]


def test_the_runs_of_one_day_are_told(serve, database_url, tmp_path):
    """Also page by page; a day without a run has none."""
    run_day(database_url, tmp_path, day_of(tmp_path))
    run_day(database_url, tmp_path, day_of(tmp_path))
    client = serve(database_url=database_url)

    first = client.ask(f"/api/runs?day={DAY}&limit=1").json
    second = client.ask(first["next"]).json
    assert [run["attempt"] for run in first["runs"] + second["runs"]] == [2, 1]
    assert second["next"] is None
    assert client.ask("/api/runs?day=2020-02-29").json == {"runs": [], "next": None}


def test_a_run_is_told_with_its_checks(serve, database_url, tmp_path):
    """Rules and counts, no sample lines: those hold what came in events."""
    told = run_day(database_url, tmp_path, day_of(tmp_path))
    answer = serve(database_url=database_url).ask(f"/api/runs/{told.run_id}")

    run = answer.json
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert (run["run_id"], run["verdict"], run["loaded"]) == (told.run_id, "PASS", told.loaded)
    assert run["revenue"] == told.revenue
    assert {check["id"] for check in run["checks"]} == set(CHECK_IDS)
    assert all("samples" not in check for check in run["checks"])


@pytest.mark.parametrize(
    "query",
    [
        "limit=0", "limit=201", "limit=-1", "limit=1e2", "limit=%EF%BC%91", "limit=", "day=2026-1-1", "day=2026-02-30",
        "day=x'", "before=..%2f", "before=" + "a" * 101, "before=%00", "other=1",
    ],
)  # fmt: skip
def test_a_query_that_makes_no_sense_is_told(quiet, query):
    """Without repeating what was sent, and without asking the database."""
    answer = quiet.ask(f"/api/runs?{query}")

    assert answer.status == 400
    assert answer.json.keys() == {"error"}


def test_a_run_that_is_not_there_is_404(serve, database_url):
    """Its id may be of the right shape."""
    assert serve(database_url=database_url).ask(f"/api/runs/{RUN}").json == {"error": "There is no such run."}


@pytest.mark.parametrize("run_id", ["%27;DROP", "..", "a" * 200, "%00", "a%2fb", "%20", "-x"])
def test_what_is_no_run_id_is_404(quiet, run_id):
    """The database is not asked."""
    assert quiet.ask(f"/api/runs/{run_id}").status == 404


def test_the_web_cannot_write(serve, database_url):
    """Its connections are read-only, so a bug in a query cannot change a ledger."""

    async def attempt():
        await Ledger(lambda: database_url).ask(
            lambda connection: connection.cursor().execute("DELETE FROM pipeline_run_log")
        )

    with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
        asyncio.run(attempt())


def write(url, statement):
    """One change, committed."""
    with closing(database.connect(url, name="test")) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement)
