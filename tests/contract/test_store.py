"""One suite over both object stores: what a room may rely on, whichever it was given."""

import asyncio
import hashlib
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from shared.errors import BadConfiguration, DigestMismatch, NotFound, Rejected, Retryable
from shared.store import ObjectStore, open_store_url
from shared.store_s3 import PART_BYTES
from tests.contract.s3_endpoint import KEY, SECRET, free_port, serve_s3

ROOT = Path(__file__).parents[2]


def sha256(payload: bytes) -> str:
    return hashlib.sha256(payload).hexdigest()


def staged_in(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir() if path.name.startswith(".")]


async def test_what_is_put_is_what_is_got(store: ObjectStore, tmp_path: Path) -> None:
    for payload in (b"", b"one", os.urandom(300_000)):
        await store.put_bytes("a/b", payload)
        assert await store.get_bytes("a/b") == payload
        assert await store.stat("a/b") == len(payload)
    (tmp_path / "in").write_bytes(b"from a file")
    await store.put_file("a/c", tmp_path / "in", sha256=sha256(b"from a file"))
    await store.get_file("a/c", tmp_path / "out", sha256=sha256(b"from a file"))
    assert (tmp_path / "out").read_bytes() == b"from a file"


async def test_absent_objects_are_not_found_and_may_be_deleted(store: ObjectStore, tmp_path: Path) -> None:
    assert await store.stat("no/such") is None
    with pytest.raises(NotFound, match="no/such"):
        await store.get_bytes("no/such")
    with pytest.raises(NotFound):
        await store.get_file("no/such", tmp_path / "out")
    with pytest.raises(NotFound):
        await store.put_file("a", tmp_path / "no-file")
    await store.delete("no/such")
    await store.put_bytes("is/there", b"x")
    await store.delete("is/there")
    assert await store.stat("is/there") is None


async def test_keys_are_listed_by_prefix_in_order(store: ObjectStore) -> None:
    for key in ("m/b.json", "m/a.json", "m/deep/er/c.json", "mm/d.json", "blobs/x"):
        await store.put_bytes(key, b"x")
    assert await store.keys("m/") == ["m/a.json", "m/b.json", "m/deep/er/c.json"]
    assert await store.keys("m/de") == ["m/deep/er/c.json"]
    assert await store.keys("nothing/") == []
    assert len(await store.keys("")) == 5


@pytest.mark.parametrize(
    "key", ["", "/etc/passwd", "../up", "a/../../b", "a//b", "a/./b", "a\\b", "a\nb", "a/.hidden", ".incoming/x", "x" * 2000]
)
async def test_keys_that_leave_the_store_are_refused(store: ObjectStore, key: str, tmp_path: Path) -> None:
    for call in (store.put_bytes(key, b"x"), store.get_bytes(key), store.stat(key), store.create(key, b"x"), store.delete(key)):
        with pytest.raises(Rejected):
            await call
    with pytest.raises(Rejected):
        await store.get_file(key, tmp_path / "out")


async def test_the_first_to_create_wins(store: ObjectStore) -> None:
    assert await store.create("manifests/one.json", b"first")
    assert not await store.create("manifests/one.json", b"second")
    assert await store.get_bytes("manifests/one.json") == b"first"


async def test_writers_of_one_object_leave_one_whole_object(store: ObjectStore) -> None:
    payloads = [bytes([n]) * 200_000 for n in range(8)]
    await asyncio.gather(*(store.put_bytes("k", payload) for payload in payloads))
    assert await store.get_bytes("k") in payloads


async def test_bytes_that_are_not_those_asked_for_never_reach_a_path(store: ObjectStore, tmp_path: Path) -> None:
    await store.put_bytes("k", b"corrupted")
    out = tmp_path / "out"
    out.write_bytes(b"before")
    with pytest.raises(DigestMismatch, match=sha256(b"expected")):
        await store.get_file("k", out, sha256=sha256(b"expected"))
    assert out.read_bytes() == b"before"
    assert staged_in(tmp_path) == []


@pytest.mark.parametrize("num_bytes", [10, PART_BYTES, 3 * PART_BYTES + 7])
async def test_a_file_that_changed_is_not_stored(store: ObjectStore, tmp_path: Path, num_bytes: int) -> None:
    path = tmp_path / "in"
    path.write_bytes(b"x" * num_bytes)
    with pytest.raises(DigestMismatch):
        await store.put_file("k", path, sha256=sha256(b"y" * num_bytes))
    assert await store.stat("k") is None


async def test_a_large_file_goes_in_parts_and_comes_back_whole(store: ObjectStore, tmp_path: Path) -> None:
    path, out = tmp_path / "in", tmp_path / "out"
    payload = os.urandom(5 * PART_BYTES + 11)
    path.write_bytes(payload)
    await store.put_file("large", path, sha256=sha256(payload))
    await store.get_file("large", out, sha256=sha256(payload))
    assert out.read_bytes() == payload
    await store.put_bytes("large-bytes", payload)
    assert await store.stat("large-bytes") == len(payload)


async def child(*arguments: str) -> asyncio.subprocess.Process:
    command = [sys.executable, "-m", "tests.contract.store_child", *arguments]
    return await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)


def a_sparse_file(path: Path, num_bytes: int) -> Path:
    with path.open("wb") as file:
        file.truncate(num_bytes)
    return path


async def test_a_killed_upload_leaves_nothing_visible(store_url: str, store: ObjectStore, tmp_path: Path) -> None:
    path = a_sparse_file(tmp_path / "in", 200 << 20)
    for delay_s in (0.05, 0.3):
        writer = await child("upload", store_url, "torn", str(path))
        assert writer.stdout is not None
        assert await writer.stdout.readline() == b"started\n"
        await asyncio.sleep(delay_s)
        writer.kill()
        said, _ = await writer.communicate()
        assert said == b"", "the upload was through before the kill: the test shows nothing"
        assert await store.stat("torn") is None
        assert await store.keys("") == []
    await store.put_file("torn", path)
    assert await store.stat("torn") == 200 << 20


async def test_a_large_object_streams_in_bounded_memory(store_url: str, tmp_path: Path) -> None:
    path = a_sparse_file(tmp_path / "in", 400 << 20)
    mover = await child("roundtrip", store_url, "huge", str(path))
    said, _ = await mover.communicate()
    assert mover.returncode == 0
    peak_mib = int(said.split()[-1]) / 1024
    assert peak_mib < 250, f"400 MiB took {peak_mib:.0f} MiB"


async def test_a_full_disk_says_so_and_nothing_of_the_object_stays(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    script = 'mount -t tmpfs -o size=4m none "$1" && exec "$2" -m tests.contract.store_child fill "file://$1" key /dev/null'
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", str(disk), sys.executable]
    try:
        filler = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    except FileNotFoundError:
        pytest.skip("no `unshare` here: a small disk can't be mounted")
    said, complaint = await filler.communicate()
    if filler.returncode != 0 and (b"mount" in complaint or b"unshare" in complaint):
        pytest.skip(f"user namespaces are not allowed here: {complaint.decode().strip()}")
    assert filler.returncode == 0, complaint.decode()
    assert "is full: free some space" in said.decode()
    assert "stands: ['small']" in said.decode()


async def test_what_killed_writers_left_is_swept_after_hours_and_what_is_under_way_is_not(tmp_path: Path) -> None:
    async with open_store_url(f"file://{tmp_path}"):
        old, new = tmp_path / ".incoming" / ".staged-old", tmp_path / ".incoming" / ".staged-new"
        for path in (old, new):
            path.write_bytes(b"torn")
        os.utime(old, (0, 0))
    async with open_store_url(f"file://{tmp_path}"):
        assert not old.exists()
        assert new.exists()


async def test_wrong_urls_say_what_to_write(s3_url: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    server = urlsplit(s3_url)
    wrong = {
        "ftp://x": "scheme 'ftp'",
        "file://relative/dir": "three slashes",
        f"file://{tmp_path}/file": "name another directory",
        "s3://KEY:SECRET@host": "a host and a bucket",
        "s3://KEY:SECRET@host:port/bucket": "valid port",
        server._replace(netloc=f"{server.username}:wrong@{server.netloc.rpartition('@')[2]}").geturl(): "refuses us",
        server._replace(path="/No_Bucket!").geturl(): "no bucket name",
        server._replace(scheme="s3" if server.scheme == "s3+https" else "s3+https").geturl(): "TLS",
    }
    for url, text in wrong.items():
        with pytest.raises(BadConfiguration, match=text) as caught:
            async with open_store_url(url):
                pass
        assert "SECRET@" not in str(caught.value).replace("KEY:SECRET@host:port/bucket", "")
        assert str(server.password) not in str(caught.value)


async def test_a_missing_bucket_is_made_also_by_rooms_that_start_together(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    port = free_port()
    url = f"s3://{KEY}:{SECRET}@127.0.0.1:{port}/new-bucket"

    async def put(name: str) -> None:
        async with open_store_url(url) as opened:
            await opened.put_bytes(name, b"x")

    with serve_s3(tmp_path / "data", port):
        await asyncio.gather(*(put(f"room/{number}") for number in range(6)))
        async with open_store_url(url) as opened:
            assert await opened.keys("room/") == [f"room/{number}" for number in range(6)]


async def test_a_server_that_goes_away_may_come_back(tmp_path: Path) -> None:
    (tmp_path / "data" / "spiral").mkdir(parents=True)
    port = free_port()
    url = f"s3://{KEY}:{SECRET}@127.0.0.1:{port}/spiral"
    with pytest.raises(Retryable, match="is it running"):
        async with open_store_url(url):
            pass
    with serve_s3(tmp_path / "data", port) as server:
        async with open_store_url(url) as store:
            await store.put_bytes("k", b"kept")
            server.terminate()
            server.wait(timeout=20)
            with pytest.raises(Retryable, match="is it running"):
                await store.get_bytes("k")
            with serve_s3(tmp_path / "data", port):
                assert await store.get_bytes("k") == b"kept"
