"""`spiral pool add` from end to end: real processes, real files, killed and started again."""

import io
import json
import shutil
import signal
import time
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.integration.pool_console import ended, pool, start, stored
from tests.unit.pool.pictures import BAD_FILES, encoded, photo, tagged

NUM_MANY = 900


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    return folder


def test_a_messy_folder_becomes_a_pool(images: Path, state: Path, tmp_path: Path) -> None:
    for name, payload in BAD_FILES.items():
        (images / name).write_bytes(payload)
    (images / "cat.jpg").write_bytes(tagged(photo(101, 120, 80), 6))
    (images / "cat.txt").write_text("A cat on a bridge")
    (images / "same cat.jpg").write_bytes((images / "cat.jpg").read_bytes())
    (images / "same pixels.png").write_bytes(encoded(photo(102), "PNG"))
    (images / "same pixels too.png").write_bytes(encoded(photo(102), "PNG", compress_level=1))
    (images / "chart.webp").write_bytes(encoded(photo(103), "WEBP", lossless=True))
    (images / "pipe.jpg").symlink_to(tmp_path / "nowhere")
    captions = tmp_path / "captions.jsonl"
    captions.write_text(
        '{"file": "chart.webp", "caption": "Sales by year", "category": "chart_graph", "page_url": "https://www.example.org/sales"}\n'
    )
    options = (images, "--licence", "CC-BY-4.0", "--captions", captions, "--state-dir", state)
    added = pool("add", *options, "--json", "--refusals", tmp_path / "no.jsonl").json()
    assert (added["num_looked_at"], added["num_added"], added["num_known"], added["num_repeated"]) == (len(BAD_FILES) + 6, 3, 1, 1)
    assert added["refused"] == {"image_undecodable": len(BAD_FILES) - 2, "image_too_large": 2, "unreadable": 1}
    told = {row["file"]: row for row in map(json.loads, (tmp_path / "no.jsonl").read_text().splitlines())}
    assert set(told) == {*BAD_FILES, "pipe.jpg"}
    assert told["bomb.png"]["reason"] == "image_too_large"
    assert "50,000×50,000" in told["bomb.png"]["detail"]
    assert "bytes follow the JPEG" in told["zip-behind.jpg"]["detail"]
    assert told["pipe.jpg"]["sha256"] == ""

    stats = pool("stats", "--json", "--state-dir", state).json()
    assert stats["schema"] == "spiral.pool-stats/1"
    assert (stats["num_images"], stats["by_licence"], stats["by_source"]) == (3, {"CC-BY-4.0": 3}, {"images": 3})
    assert (stats["by_category"], stats["by_domain"]) == ({"": 2, "chart_graph": 1}, {"": 2, "example.org": 1})
    # What could not be read today may be tomorrow; the others stay refused.
    assert stats["refusals"] == {"image_undecodable": len(BAD_FILES) - 2, "image_too_large": 2}

    [hit] = pool("search", "cats", "--json", "--state-dir", state, "--save", tmp_path / "thumbs").json()["hits"]
    assert (hit["caption"], hit["licence"], hit["origin"]) == ("A cat on a bridge", "CC-BY-4.0", "cat.jpg")
    assert (hit["width_px"], hit["height_px"]) == (80, 120)
    [thumbnail] = (tmp_path / "thumbs").iterdir()
    assert Image.open(thumbnail).size == (80, 120)
    [hit] = pool("search", "sales", "--category", "chart_graph", "--json", "--state-dir", state).json()["hits"]
    assert hit["domain"] == "example.org"
    (tmp_path / "mirrored.jpg").write_bytes(encoded(photo(103).transpose(Image.Transpose.FLIP_LEFT_RIGHT).resize((70, 70))))
    [alike] = pool("search", "--like", tmp_path / "mirrored.jpg", "--json", "--state-dir", state).json()["hits"]
    assert alike["image_sha256"] == hit["image_sha256"]
    assert alike["is_mirrored"]
    table = pool("search", "--category", "chart_graph", "--state-dir", state)
    assert "Sales by year" in table.out and "chart graph" in table.out

    for path in stored(state, "blobs"):
        payload = path.read_bytes()
        assert b"Ms Doe" not in payload
        if not payload.startswith(b"PAR1"):
            assert not Image.open(io.BytesIO(payload)).getexif()

    again = pool("add", *options, "--json").json()
    assert (again["num_added"], again["num_known"], again["num_repeated"]) == (0, 4, 1)
    assert again["refused"] == added["refused"]
    assert pool("stats", "--json", "--state-dir", state).json() == stats


def write_many(folder: Path, num: int) -> None:
    for number in range(num):
        (folder / f"{number:05}.jpg").write_bytes(encoded(photo(number, 48)))


def wait_for(state: Path, kind: str, num: int) -> None:
    """Returns once so many objects of a kind stand."""
    deadline = time.monotonic() + 60
    while len(stored(state, kind)) < num:
        assert time.monotonic() < deadline, f"there are no {kind}"
        time.sleep(0.02)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_stopped_midway_it_goes_on_and_stores_nothing_twice(images: Path, state: Path, how: signal.Signals) -> None:
    write_many(images, NUM_MANY)
    options = (images, "--licence", "CC0-1.0", "--state-dir", state)
    process = start("add", *options)
    if how is signal.SIGKILL:
        wait_for(state, "manifests", 1)
    else:
        # Before the first batch is full: what was taken in so far is committed on the way out.
        wait_for(state, "blobs", 100)
        assert not stored(state, "manifests")
    decoders = psutil.Process(process.pid).children(recursive=True)
    assert decoders
    process.send_signal(how)
    stopped = ended(process)
    if how is signal.SIGINT:
        assert stopped.code == 130
        assert "The same command continues" in stopped.err
    gone, alive = psutil.wait_procs(decoders, 10)
    assert not alive and len(gone) == len(decoders)
    before = pool("stats", "--json", "--state-dir", state).json()["num_images"]
    assert 0 < before < NUM_MANY

    added = pool("add", *options, "--json").json()
    assert (added["num_known"], added["num_added"]) == (before, NUM_MANY - before)
    stats = pool("stats", "--json", "--state-dir", state).json()
    assert stats["num_images"] == NUM_MANY
    # An image and a thumbnail of each, and two tables of each batch: what the killed one stored was taken up again.
    tables = {path for path in stored(state, "blobs") if path.read_bytes().startswith(b"PAR1")}
    assert len(stored(state, "blobs")) - len(tables) == 2 * NUM_MANY
    rows = [json.loads(path.read_text())["metadata"]["num_images"] for path in stored(state, "manifests")]
    assert sum(rows) == NUM_MANY


def test_without_a_licence_nothing_is_taken_in(images: Path, state: Path) -> None:
    (images / "a.jpg").write_bytes(encoded(photo(1)))
    (images / "b.jpg").write_bytes(encoded(photo(2)))
    refused = pool("add", images, "--state-dir", state)
    assert refused.code == 2
    assert "--licence" in refused.err
    assert not stored(state, "manifests")
    # A captions file may say it, for some.
    (images / "c.csv").write_text("file,license\na.jpg,CC0\n")
    added = pool("add", images, "--captions", images / "c.csv", "--state-dir", state, "--json").json()
    assert (added["num_added"], added["refused"]) == (1, {"licence": 1})
    added = pool("add", images, "--licence", "CC-BY", "--state-dir", state, "--json").json()
    assert (added["num_added"], added["num_known"]) == (1, 1)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("add", "nowhere", "--licence", "x"), 2, "there is no nowhere"),
        (("add", "empty", "--licence", "x"), 1, "there is no image in empty"),
        (("add", "empty/c.parquet", "--licence", "x"), 1, "is not a Parquet file"),
        (("add", "s3://127.0.0.1:1", "--licence", "x"), 2, "the source must name a host and a bucket"),
        (("add", "empty", "--licence", "x", "--max-side", "4096"), 2, "or equal to 2048"),
        (("stats",), 2, "there is no pool in"),
        (("search", "cat"), 2, "there is no pool in"),
        (("search",), 2, "search for words"),
        (("search", "cat", "--like", "x.jpg"), 2, "search for words"),
        (("search", "cat", "--meaning"), 2, "--meaning needs words and a models file"),
        (("search", "--like", "nowhere.jpg"), 2, "nowhere.jpg can't be searched for"),
        (("embed",), 2, "no models file is named"),
    ],
)
def test_what_is_wrong_is_said(arguments: tuple[str, ...], code: int, said: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "c.parquet").write_bytes(b"no")
    placed = [str(tmp_path / part) if part.startswith(("nowhere", "empty")) else part for part in arguments]
    told = pool(*placed, "--state-dir", tmp_path / "state")
    assert told.code == code, told.err
    assert said.replace("no nowhere", f"no {tmp_path}/nowhere") in told.err


def test_what_may_not_be_read_is_counted_and_passed_over(images: Path, state: Path) -> None:
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("no setpriv: a root user can't be kept from reading")
    (images / "a.jpg").write_bytes(encoded(photo(1)))
    (images / "b.jpg").write_bytes(encoded(photo(2)))
    (images / "closed").mkdir()
    (images / "closed" / "c.jpg").write_bytes(encoded(photo(3)))
    (images / "b.jpg").chmod(0)
    (images / "closed").chmod(0)
    powerless = (setpriv, "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all")
    added = ended(start("add", images, "--licence", "CC0", "--state-dir", state, "--json", before=powerless)).json()
    assert (added["num_added"], added["refused"]) == (1, {"unreadable": 2})
    report = (state / "reports" / "pool-refusals.jsonl").read_text()
    assert report.count("Permission denied") == 2
    (images / "closed").chmod(0o700)


def test_a_parquet_file_says_whose_its_images_are(state: Path, tmp_path: Path) -> None:
    table = {
        "image": [{"bytes": encoded(photo(n)), "path": None} for n in range(4)],
        "licence": ["CC0", "CC-BY", None, "CC0"],
        "caption": ["A red boat", "A blue boat", "x", "y"],
        "source": ["Alice", "Bob", "Bob", None],
    }
    pq.write_table(pa.table(table), tmp_path / "boats.parquet")
    added = pool("add", tmp_path / "boats.parquet", "--limit", "3", "--state-dir", state, "--json").json()
    assert (added["num_looked_at"], added["num_added"], added["refused"]) == (3, 2, {"licence": 1})
    added = pool("add", tmp_path / "boats.parquet", "--licence", "all rights reserved", "--state-dir", state)
    assert "4 images to look at; the pool holds 2" in added.out
    assert "2 in the pool already" in added.out
    stats = pool("stats", "--json", "--state-dir", state).json()
    assert stats["by_licence"] == {"CC0": 2, "CC-BY": 1, "all rights reserved": 1}
    assert stats["by_source"] == {"Bob": 2, "Alice": 1, "boats": 1}
    hits = pool("search", "boats", "--json", "--limit", "2", "--state-dir", state).json()["hits"]
    assert len(hits) == 2
