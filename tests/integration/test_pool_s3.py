"""The pool with S3 on either side: images that lie in a bucket, and a pool that stands in one."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.s3_endpoint import KEY, SECRET, free_port, serve_s3
from tests.integration.pool_console import pool, stored
from tests.unit.pool.pictures import BAD_FILES, encoded, photo


@pytest.fixture
def buckets(tmp_path: Path) -> Path:
    folder = tmp_path / "buckets"
    (folder / "photos" / "2024" / "may").mkdir(parents=True)
    (folder / "photos" / "elsewhere").mkdir()
    (folder / "pool").mkdir()
    for number in range(12):
        (folder / "photos" / "2024" / "may" / f"{number}.jpg").write_bytes(encoded(photo(number)))
    (folder / "photos" / "2024" / "may" / "3.txt").write_text("Three cats")
    (folder / "photos" / "2024" / "zip-behind.jpg").write_bytes(BAD_FILES["zip-behind.jpg"])
    (folder / "photos" / "2024" / "large.jpg").write_bytes(b"\xff" * 300_000)
    (folder / "photos" / "elsewhere" / "other.jpg").write_bytes(encoded(photo(99)))
    return folder


@pytest.fixture
def address(buckets: Path) -> Iterator[str]:
    port = free_port()
    with serve_s3(buckets, port):
        yield f"s3://{KEY}:{SECRET}@127.0.0.1:{port}"


def test_images_of_a_bucket(address: str, buckets: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    options = (f"{address}/photos/2024", "--licence", "CC0", "--max-bytes", "200000", "--state-dir", state, "--json")
    told = pool("add", *options)
    added = told.json()
    assert (added["num_looked_at"], added["num_added"]) == (14, 12)
    assert added["refused"] == {"image_undecodable": 1, "image_too_large": 1}
    [hit] = pool("search", "cats", "--json", "--state-dir", state).json()["hits"]
    assert hit["source"] == "photos/2024"
    assert hit["origin"].startswith(f"s3://{address.rpartition('@')[2]}/photos/2024/may/3.jpg?etag=")
    report = (state / "reports" / "pool-refusals.jsonl").read_text()
    assert {json.loads(line)["file"].partition("?")[0].rpartition("/")[2] for line in report.splitlines()} == {
        "zip-behind.jpg",
        "large.jpg",
    }
    for text in (told.out, told.err, report, *(path.read_bytes().decode(errors="replace") for path in stored(state, "manifests"))):
        assert SECRET not in text
    assert not any(SECRET.encode() in path.read_bytes() for path in stored(state, "blobs"))

    # What is known by its etag is not even read again; what changed is.
    changed = encoded(photo(500, 120))
    (buckets / "photos" / "2024" / "may" / "0.jpg").write_bytes(changed)
    again = pool("add", *options).json()
    assert (again["num_added"], again["num_known"]) == (1, 11)
    assert again["num_bytes_read"] == len(changed) + len(BAD_FILES["zip-behind.jpg"])


def test_a_bucket_that_is_missing_is_told_and_not_made(address: str, buckets: Path, tmp_path: Path) -> None:
    told = pool("add", f"{address}/nowhere", "--licence", "CC0", "--state-dir", tmp_path / "state")
    assert told.code == 2
    assert "there is no bucket 'nowhere'" in told.err
    assert not (buckets / "nowhere").exists()


def test_wrong_credentials_are_told(address: str, tmp_path: Path) -> None:
    wrong = address.replace(SECRET, "guessed-secret")
    told = pool("add", f"{wrong}/photos", "--licence", "CC0", "--state-dir", tmp_path / "state")
    assert told.code == 2
    assert "refuses us" in told.err
    assert "guessed-secret" not in told.err


def test_a_pool_may_stand_in_a_bucket(address: str, buckets: Path, tmp_path: Path) -> None:
    store = ("--store-url", f"{address}/pool/sub", "--state-dir", tmp_path / "state")
    added = pool("add", buckets / "photos", "--licence", "CC0", *store, "--json").json()
    assert added["num_added"] == 13
    assert pool("add", buckets / "photos", "--licence", "CC0", *store, "--json").json()["num_known"] == 13
    stats = pool("stats", "--json", *store).json()
    assert stats["num_images"] == 13
    told = pool("search", "cats", "--save", tmp_path / "thumbs", *store)
    assert "Three cats" in told.out
    assert len(list((tmp_path / "thumbs").iterdir())) == 1
