"""Benchmarks as users bring them: what is taken, how a fault is named, and what is registered under a name."""

import base64
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from services.cli.benchmark_file import BenchmarkFile
from services.cli.benchmark_registry import add_benchmark, benchmarks, remove_benchmark
from services.quality.own_images import read_own_image
from shared.artifacts import Artifacts
from shared.benchmarks import BenchmarkItem, read_items
from shared.errors import NotFound, Rejected
from shared.store_directory import DirectoryStore


def png(shade: int) -> bytes:
    sink = io.BytesIO()
    Image.new("RGB", (8, 8), (shade, 0, 0)).save(sink, "PNG")
    return sink.getvalue()


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def read(path: Path) -> list[BenchmarkItem]:
    file = BenchmarkFile(path)
    items = list(file)
    file.check()
    return items


@pytest.fixture
async def artifacts(tmp_path: Path) -> AsyncIterator[Artifacts]:
    async with DirectoryStore(tmp_path / "objects") as store:
        yield Artifacts(store, cache_dir=tmp_path / "cache", producer="cli")


def test_rows_are_read_as_benchmarks_write_them(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(1))
    rows: list[dict[str, Any]] = [
        {"image": "a.png", "question": "How many?", "choices": ["1", "2"], "answer": "B", "id": "x-1", "split": "test"},
        {"question": "Why?", "answer": 7},
        {
            "images": ["data:image/png;base64," + base64.b64encode(png(2)).decode(), "a.png"],
            "problem": "Which?",
            "options": {"A": "l", "B": "r"},
        },
        {"image": {"bytes": None, "path": "a.png"}, "answer": ["yes", "yeah"], "index": 4},
    ]
    assert read(write(tmp_path / "b.jsonl", rows)) == [
        BenchmarkItem("x-1", png(1), "How many?", ("1", "2"), "B"),
        BenchmarkItem("2", b"", "Why?", (), "7"),
        BenchmarkItem("3 (1)", png(2), "Which?", ("l", "r"), ""),
        BenchmarkItem("3 (2)", png(1), "Which?", ("l", "r"), ""),
        BenchmarkItem("4", png(1), "", (), "yes"),
    ]


def test_parquet_is_read_alike(tmp_path: Path) -> None:
    rows = [{"image": {"bytes": png(number), "path": None}, "question": f"{number}?", "index": number, "other": 1.5} for number in range(5)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "b.parquet")
    assert read(tmp_path / "b.parquet") == [BenchmarkItem(str(number), png(number), f"{number}?", (), "") for number in range(5)]


def test_large_pictures_are_taken_up_to_what_quality_reads(tmp_path: Path) -> None:
    for side, is_taken in ((8000, True), (8001, False)):
        Image.new("1", (side, 8000)).save(tmp_path / "large.png")
        file = BenchmarkFile(write(tmp_path / "b.jsonl", [{"image": "large.png"}]))
        items = list(file)
        assert [read_own_image(item.image) is not None for item in items] == [True] * is_taken
        if not is_taken:
            with pytest.raises(Rejected, match="more than the cap of 64,000,000 pixels"):
                file.check()


def test_pictures_of_every_column_that_holds_some_are_read(tmp_path: Path) -> None:
    def held(number: int | None) -> dict[str, Any]:
        return {"bytes": None if number is None else png(number), "path": None}

    rows = [
        {
            "id": "a",
            "question": "<image 1> or <image 2>?",
            "options": "['one', 'two']",
            "image_1": held(1),
            "image_2": held(2),
            "answer": "A",
        },
        {"id": "b", "question": "Neither?", "options": "[]", "image_1": held(None), "image_2": None, "answer": "B"},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "several.parquet")
    assert read(tmp_path / "several.parquet") == [
        BenchmarkItem("a (1)", png(1), "<image 1> or <image 2>?", ("one", "two"), "A"),
        BenchmarkItem("a (2)", png(2), "<image 1> or <image 2>?", ("one", "two"), "A"),
        BenchmarkItem("b", b"", "Neither?", (), "B"),
    ]
    decoded = [{"pid": "7", "image": "images/7.jpg", "decoded_image": held(7), "query": "How many?", "answers": ["3", "three"]}]
    pq.write_table(pa.Table.from_pylist(decoded), tmp_path / "decoded.parquet")
    assert read(tmp_path / "decoded.parquet") == [BenchmarkItem("7", png(7), "How many?", (), "3")]
    other = [{"picture": png(5), "question": "?"}]
    pq.write_table(pa.Table.from_pylist(other), tmp_path / "other.parquet")
    assert read(tmp_path / "other.parquet") == [BenchmarkItem("1", png(5), "?", (), "")]
    url = "data:image/png;base64," + base64.b64encode(png(9)).decode()
    assert read(write(tmp_path / "several.jsonl", [{"question": "?", "image": "x.png", "decoded_image": url, "image_2": None}])) == [
        BenchmarkItem("1", png(9), "?", (), "")
    ]


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([{"answer": "1"}], "row 1, column 'image': neither an image nor a question"),
        ([{"question": "?"}, {"image": "away.png"}], "row 2, column 'image': names"),
        ([{"image": "https://pictures.test/a.png"}], "nothing is downloaded"),
        ([{"image": "data:image/png;base64,aGFsbG8="}], "does not decode"),
        ([{"question": {"text": "?"}}], "row 1, column 'question'"),
        ([{"question": "?", "options": "one, two"}], "row 1, column 'choices'"),
        ([], "holds no item"),
    ],
)
async def test_faults_are_named_and_nothing_is_registered(
    artifacts: Artifacts, tmp_path: Path, rows: list[dict[str, Any]], told: str
) -> None:
    with pytest.raises(Rejected, match=told):
        await add_benchmark(artifacts, "b", write(tmp_path / "b.jsonl", rows), lambda _: None)
    assert await benchmarks(artifacts) == []


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text("image\n")
    (tmp_path / "b.parquet").write_text("image\n")
    pq.write_table(pa.table({"text": ["?"]}), tmp_path / "c.parquet")
    for name, told in (
        ("away.jsonl", "is not a file"),
        ("b.csv", "must end in"),
        ("b.parquet", "not a Parquet"),
        ("c.parquet", "neither a column"),
    ):
        with pytest.raises(Rejected, match=told):
            BenchmarkFile(tmp_path / name)


async def test_a_benchmark_is_registered_once_listed_and_removed(artifacts: Artifacts, tmp_path: Path) -> None:
    first = write(tmp_path / "first.jsonl", [{"question": f"What is {number}?", "id": number} for number in range(600)])
    other = write(tmp_path / "other.jsonl", [{"question": "Another?"}])
    told: list[int] = []
    added, is_new = await add_benchmark(artifacts, "b", first, told.append)
    assert is_new and told == [256, 512, 600]
    assert (added.name, added.num_items, added.num_images, added.num_questions, added.source) == ("b", 600, 0, 600, "first.jsonl")
    assert await add_benchmark(artifacts, "b", first, told.append) == (added, False)
    with pytest.raises(Rejected, match="registered with another content"):
        await add_benchmark(artifacts, "b", other, told.append)
    await add_benchmark(artifacts, "a", other, told.append)
    assert [each.name for each in await benchmarks(artifacts)] == ["a", "b"]
    ref = await artifacts.find("benchmarks/b")
    assert ref is not None
    files = (await artifacts.manifest(ref)).files
    items = [item for path in sorted(files) for item in read_items(await artifacts.read_bytes(files[path]), path)]
    assert [item.item_id for item in items] == [str(number) for number in range(600)]
    await remove_benchmark(artifacts, "b")
    assert [each.name for each in await benchmarks(artifacts)] == ["a"]
    with pytest.raises(NotFound, match="no benchmark b"):
        await remove_benchmark(artifacts, "b")
    assert (await add_benchmark(artifacts, "b", other, told.append))[1]


async def test_an_add_that_was_stopped_goes_on_where_it_was(artifacts: Artifacts, tmp_path: Path) -> None:
    path = write(tmp_path / "b.jsonl", [{"question": f"What is {number}?"} for number in range(600)])

    def stop(num_items: int) -> None:
        if num_items > 256:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await add_benchmark(artifacts, "b", path, stop)
    assert await benchmarks(artifacts) == []
    num_blobs = len([each for each in (tmp_path / "objects").rglob("*") if each.is_file()])
    assert num_blobs == 2
    await add_benchmark(artifacts, "b", path, lambda _: None)
    assert [each.num_items for each in await benchmarks(artifacts)] == [600]
    assert len([each for each in (tmp_path / "objects").rglob("*") if each.is_file()]) == 4
