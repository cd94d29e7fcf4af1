"""Taking a delivery: hashing, private copies, decompression within limits, and files that change meanwhile."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import resource
import tempfile
import time
import zlib
from pathlib import Path

import pytest
import zstandard
from staging_fixtures import line

from pipeline import archive, delivery
from pipeline.errors import ExitCode, RefusedFile, StepFailed
from pipeline.records import Delivery

PLAIN = (line() + b"\n") * 3


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def refused(source, folder=None, **options) -> RefusedFile:
    with pytest.raises(RefusedFile) as caught, delivery.take(source, folder=folder, **options):
        pass
    assert caught.value.exit_code == ExitCode.REFUSED
    return caught.value


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_a_plain_file_is_read_where_it_is(tmp_path):
    """Without a folder nothing is copied."""
    path = written(tmp_path / "a.jsonl", PLAIN)

    with delivery.take(path, folder=None) as taken:
        assert (taken.path, taken.name, taken.size, taken.sha256) == (path, "a.jsonl", len(PLAIN), sha(PLAIN))


def test_with_a_folder_the_bytes_are_kept_privately_under_their_hash(tmp_path):
    """The archive is content-addressed, readable by its owner only, and holds nothing half-written."""
    path = written(tmp_path / "a.jsonl", PLAIN)
    folder = tmp_path / "deliveries"

    with delivery.take(path, folder=folder) as taken:
        pass

    assert taken.path == folder / f"{sha(PLAIN)}.jsonl"
    assert [entry.name for entry in folder.iterdir()] == [taken.path.name]
    assert taken.path.read_bytes() == PLAIN
    assert taken.path.stat().st_mode & 0o777 == 0o600


def test_taking_the_same_bytes_again_reuses_the_copy(tmp_path):
    """Another run may be reading it, so the file is not replaced."""
    folder = tmp_path / "deliveries"
    one, two = written(tmp_path / "a.jsonl", PLAIN), written(tmp_path / "b.jsonl", PLAIN)

    with delivery.take(one, folder=folder) as first, delivery.take(two, folder=folder) as second:
        assert first.path == second.path
        assert first.identity == second.identity


@pytest.mark.parametrize("damaged", [b"something else", PLAIN[:-5], bytes(len(PLAIN)), b""])
def test_a_damaged_copy_is_replaced(tmp_path, damaged):
    """The name promises the content; a copy that breaks the promise, as after a power cut, is made again."""
    path = written(tmp_path / "a.jsonl", PLAIN)
    kept = tmp_path / "deliveries" / f"{sha(PLAIN)}.jsonl"
    kept.parent.mkdir()
    kept.write_bytes(damaged)

    with delivery.take(path, folder=kept.parent) as taken:
        assert taken.path.read_bytes() == PLAIN


def test_who_waits_for_the_disk_hears_when_it_does_not_take_a_copy(tmp_path):
    """Nothing is said of a day whose delivery could be gone after a power cut."""
    with delivery.take(written(tmp_path / "a.jsonl", PLAIN), folder=tmp_path / "deliveries") as taken:
        pass
    with archive.settling(taken) as settled:
        settled()
    taken.path.unlink()

    with archive.settling(taken) as settled, pytest.raises(StepFailed, match="No such file"):
        settled()


def test_a_link_in_the_archive_is_not_written_through(tmp_path):
    """A planted link loses its place and its target stays untouched."""
    victim = written(tmp_path / "victim", b"precious")
    folder = tmp_path / "deliveries"
    folder.mkdir()
    (folder / f"{sha(PLAIN)}.jsonl").symlink_to(victim)

    with delivery.take(written(tmp_path / "a.jsonl", PLAIN), folder=folder) as taken:
        assert not taken.path.is_symlink()

    assert victim.read_bytes() == b"precious"


@pytest.mark.parametrize(
    ("suffix", "pack"),
    [
        (".gz", gzip.compress),
        (".gz", lambda data: gzip.compress(data[:100]) + gzip.compress(data[100:])),
        (".gz", lambda data: gzip.compress(data) + bytes(512)),
        (".zst", zstandard.compress),
        (".zst", lambda data: zstandard.compress(data[:100]) + zstandard.compress(data[100:])),
    ],
    ids=["gzip", "gzip members", "gzip padded", "zstd", "zstd frames"],
)
def test_compressed_files_are_read_by_suffix_and_magic(tmp_path, suffix, pack):
    """The hash is of the bytes as they came, the content is plain, and the copy goes away."""
    packed = pack(PLAIN)
    path = written(tmp_path / f"a.jsonl{suffix}", packed)

    with delivery.take(path, folder=None) as taken:
        assert taken.path.read_bytes() == PLAIN
        assert (taken.sha256, taken.size) == (sha(packed), len(PLAIN))

    assert not taken.path.exists()


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".zst", zstandard.compress)])
def test_cut_off_and_false_compression_is_refused(tmp_path, suffix, pack):
    """Half an archive is no delivery, and a suffix is no proof."""
    packed = pack(b"".join(line(page_url=os.urandom(40).hex()) + b"\n" for _ in range(500)))

    assert refused(written(tmp_path / f"cut{suffix}", packed[: len(packed) // 2])).reason == "damaged"
    assert refused(written(tmp_path / f"false{suffix}", PLAIN)).reason == "not_jsonl"
    assert refused(written(tmp_path / f"junk{suffix}", packed + b"junk")).reason == "damaged"
    assert refused(written(tmp_path / f"empty{suffix}", b"")).reason == "empty"
    assert refused(written(tmp_path / f"nothing{suffix}", pack(b""))).reason == "empty"


def test_row_45_a_bomb_is_refused_quickly_and_in_little_memory(tmp_path):
    """Ten gigabytes in ten megabytes stop at the ratio, not at the end."""
    engine = zlib.compressobj(9, zlib.DEFLATED, 31)
    row = line() * 1
    block = engine.compress((row + b"\n") * 200_000) + engine.flush(zlib.Z_FULL_FLUSH)
    path = tmp_path / "bomb.jsonl.gz"
    with path.open("wb") as file:
        for _ in range(20):
            file.write(block)
            block = engine.compress((row + b"\n") * 40_000) + engine.flush(zlib.Z_FULL_FLUSH)
        file.write(engine.flush())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()

    error = refused(path)

    assert error.reason == "too_large"
    assert refused(written(tmp_path / "bomb.zst", zstandard.compress(PLAIN * 20_000))).reason == "too_large"
    assert time.perf_counter() - started < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000
    assert refused(written(tmp_path / "nested.gz", gzip.compress(gzip.compress(PLAIN)))).reason == "not_jsonl"


def test_a_file_beyond_the_size_cap_is_refused(tmp_path):
    """Also when it is only as big once decompressed."""
    packed = written(tmp_path / "a.jsonl.gz", gzip.compress(PLAIN))

    assert refused(packed, most_bytes=len(PLAIN) - 1).reason == "too_large"
    with delivery.take(packed, folder=None, most_bytes=len(PLAIN)) as taken:
        assert taken.size == len(PLAIN)


def test_standard_input_is_spooled(tmp_path):
    """A stream can be read once, staging needs places: it becomes a private file."""
    with delivery.take("-", folder=None, stdin=io.BytesIO(PLAIN)) as taken:
        assert taken.path.read_bytes() == PLAIN
        assert taken.name == "standard input"

    assert not taken.path.exists()
    with delivery.take("-", folder=tmp_path / "kept", stdin=io.BytesIO(PLAIN)) as kept:
        pass
    assert kept.path.read_bytes() == PLAIN


def grow(path):
    path.write_bytes(PLAIN + PLAIN)


def shrink(path):
    os.truncate(path, 10)


def rewrite_and_set_the_clock_back(path):
    times = path.stat()
    path.write_bytes(PLAIN[::-1])
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def replace(path):
    written(path.with_name("other"), PLAIN).replace(path)


def remove(path):
    path.unlink()


def use(path, change):
    with delivery.take(path, folder=None):
        change(path)


@pytest.mark.parametrize("change", [grow, shrink, rewrite_and_set_the_clock_back, replace, remove])
def test_fault_49_a_file_that_changes_while_it_is_used_is_refused(tmp_path, change):
    """What was hashed is what was read, or nothing."""
    path = written(tmp_path / "a.jsonl", PLAIN)

    with pytest.raises(RefusedFile) as caught:
        use(path, change)

    assert caught.value.reason == "changed"


def test_an_error_inside_the_block_is_not_hidden_by_the_change_check(tmp_path):
    """The first cause is what a person hears of."""
    path = written(tmp_path / "a.jsonl", PLAIN)

    def fail(path):
        path.unlink()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        use(path, fail)


def test_what_a_killed_process_left_is_swept_later(tmp_path):
    """An old half copy goes away with the next delivery; a fresh one may be somebody's."""
    folder = tmp_path / "deliveries"
    folder.mkdir()
    fresh, old = written(folder / ".taking-a.tmp", b"x"), written(folder / ".taking-b.tmp", b"x")
    os.utime(old, (0, 0))

    with delivery.take(written(tmp_path / "a.jsonl", PLAIN), folder=folder) as taken:
        pass

    assert {*folder.iterdir()} == {fresh, taken.path}


def test_a_refused_file_leaves_nothing_behind(tmp_path):
    """No half copy stays in the archive."""
    folder = tmp_path / "deliveries"

    refused(written(tmp_path / "bad.jsonl", b"<html>\n" * 100_000), folder)

    assert list(folder.iterdir()) == []


@pytest.mark.skipif(not os.access("/dev/full", os.W_OK), reason="needs /dev/full")
def test_row_27_a_full_disk_is_a_failed_step(tmp_path):
    """The message says what to do; the file is not to blame."""
    blocks = iter([PLAIN])

    with Path("/dev/full").open("wb", buffering=0) as full, pytest.raises(StepFailed, match="No space left"):
        delivery._write(blocks, full, "a.jsonl")


@pytest.fixture
def ordinary():
    """An ordinary user for the length of a test: root may read everything."""
    nobody = 65534
    if os.geteuid() == 0:
        os.seteuid(nobody)
        yield
        os.seteuid(0)
    else:
        yield


def test_a_file_without_read_permission_is_refused(ordinary):
    """The system's reason is passed on."""
    with tempfile.TemporaryDirectory() as folder:  # the user's own, unlike pytest's
        path = written(Path(folder) / "a.jsonl", PLAIN)
        path.chmod(0)

        assert refused(path).reason == "unreadable"


def test_an_archive_folder_that_cannot_be_made_is_a_failed_step(tmp_path):
    """The data folder is to blame, not the delivery."""
    path = written(tmp_path / "a.jsonl", PLAIN)

    with pytest.raises(StepFailed, match="Not a directory"), delivery.take(path, folder=path / "kept"):
        pass


def test_a_delivery_nobody_looked_at_is_not_judged(tmp_path):
    """Records made by hand carry no identity."""
    delivery.verify_unchanged(Delivery(path=tmp_path / "no", name="no", sha256="", size=0))


def test_standard_input_must_be_given():
    """A mistake in the program, said so."""
    with pytest.raises(ValueError, match="stdin"), delivery.take("-", folder=None):
        pass


@pytest.mark.parametrize(("size", "called"), [(delivery.LARGE, 0), (delivery.LARGE + 1, 1), (3 * delivery.LARGE, 1)])
def test_who_takes_a_large_delivery_can_do_something_meanwhile(tmp_path, size, called):
    """`meanwhile` is called once, while the rest is still to be read."""
    line = PLAIN.splitlines(keepends=True)[0]
    path = written(tmp_path / "a.jsonl", (line * (size // len(line) + 1))[:size])
    calls = []
    with delivery.take(path, folder=None, meanwhile=lambda: calls.append("called")):
        pass

    assert len(calls) == called


def test_nothing_is_begun_for_a_large_file_of_another_kind(tmp_path):
    """Its head tells, before `meanwhile` is called."""
    path = written(tmp_path / "a.jsonl", b"PK\x03\x04" + bytes(2 * delivery.LARGE))
    calls = []
    with pytest.raises(RefusedFile), delivery.take(path, folder=None, meanwhile=lambda: calls.append("called")):
        pass

    assert calls == []


def test_a_file_that_grows_while_it_is_read_is_refused(tmp_path):
    """Nobody knows which of the two was meant."""
    path = written(tmp_path / "a.jsonl", b"{}\n" * delivery.LARGE)

    def grow():
        with path.open("ab") as file:
            file.write(b"{}\n")

    with (
        pytest.raises(RefusedFile, match="changed while it was read") as refused,
        delivery.take(path, folder=tmp_path / "kept", meanwhile=grow),
    ):
        pass

    assert refused.value.reason == "changed"
