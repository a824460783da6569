"""A user's probe file: what is taken, and how a fault is named."""

import base64
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from services.cli.probe_file import read_probe_file
from shared.domain import ImageCategory, QuestionType
from shared.errors import Rejected


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def fault_of(path: Path) -> str:
    with pytest.raises(Rejected) as caught:
        read_probe_file(path)
    return str(caught.value)


def huge_png() -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")


def test_jsonl_with_paths_beside_the_file(probe_file: Path) -> None:
    probes = read_probe_file(probe_file)
    assert [probe.answer for probe in probes] == [str(number) for number in range(1, 13)]
    assert {probe.cell.category for probe in probes} == {ImageCategory.GEOMETRIC}


def test_parquet_and_jsonl_with_embedded_images_are_the_same(tmp_path: Path, probe_file: Path, probe_rows: list[dict[str, Any]]) -> None:
    expected = read_probe_file(probe_file)
    images = [(tmp_path / str(row["image"])).read_bytes() for row in probe_rows]
    plain = [{**row, "answer": str(row["answer"])} for row in probe_rows]
    raw = [{**row, "image": image} for row, image in zip(plain, images, strict=True)]
    pq.write_table(pa.Table.from_pylist(raw), tmp_path / "a.parquet")
    structs = [{**row, "image": {"bytes": image, "path": None}} for row, image in zip(plain, images, strict=True)]
    pq.write_table(pa.Table.from_pylist(structs), tmp_path / "b.parquet")
    urls = ["data:image/png;base64," + base64.b64encode(image).decode() for image in images]
    write(tmp_path / "c.jsonl", [{**row, "image": url} for row, url in zip(plain, urls, strict=True)])
    for name in ("a.parquet", "b.parquet", "c.jsonl"):
        assert read_probe_file(tmp_path / name) == expected


def test_a_choice_may_be_named_by_its_text_and_the_category_left_out(tmp_path: Path, probe_rows: list[dict[str, Any]]) -> None:
    row = {
        "image": probe_rows[0]["image"],
        "question": "Which colour?",
        "question_type": "multiple_choice",
        "choices": ["blue", "red"],
        "answer": "red",
    }
    (probe,) = read_probe_file(write(tmp_path / "p.jsonl", [row]))
    assert (probe.answer, probe.cell.category, probe.cell.question_type) == ("B", ImageCategory.MIXED, QuestionType.MULTIPLE_CHOICE)


@pytest.mark.parametrize(
    ("change", "column", "words"),
    [
        ({"answer": float("nan")}, "answer", "finite"),
        ({"answer": "a few"}, "answer", "not one number"),
        ({"answer": None}, "answer", "string"),
        ({"tolerance": float("inf")}, "tolerance", "finite"),
        ({"tolerance": -1}, "tolerance", "greater than or equal to 0"),
        ({"question": ""}, "question", "at least 1 character"),
        ({"question_type": "essay"}, "question_type", "multiple_choice"),
        ({"category": "cartoon"}, "category", "geometric"),
        ({"choices": ["1", "2"]}, "answer", "choices are given"),
        ({"image": "absent.png"}, "image", "is not a file"),
        ({"image": "torn.png"}, "image", "does not decode"),
        ({"image": "huge.png"}, "image", "far more pixels than the cap"),
        ({"image": "text.png"}, "image", "PNG, JPEG or WEBP"),
        ({"image": "https://example.org/a.png"}, "image", "nothing is downloaded"),
        ({"image": ""}, "image", "empty"),
    ],
)
def test_a_fault_is_named_by_file_row_and_column(
    tmp_path: Path, probe_rows: list[dict[str, Any]], change: dict[str, Any], column: str, words: str
) -> None:
    (tmp_path / "torn.png").write_bytes((tmp_path / "dots-1.png").read_bytes()[:-60])
    (tmp_path / "huge.png").write_bytes(huge_png())
    (tmp_path / "text.png").write_text("not an image")
    probe_rows[2] = {**probe_rows[2], **change}
    text = fault_of(write(tmp_path / "mine.jsonl", probe_rows))
    assert f"mine.jsonl, row 3, column '{column}'" in text
    assert words in text


def test_every_fault_is_shown_at_once_and_many_are_counted(tmp_path: Path, probe_rows: list[dict[str, Any]]) -> None:
    text = fault_of(write(tmp_path / "mine.jsonl", [{**row, "answer": "x y"} for row in probe_rows]))
    assert "12 fault(s)" in text
    assert "row 1," in text
    assert "and 2 more" in text


def test_the_same_probe_twice_is_refused(tmp_path: Path, probe_rows: list[dict[str, Any]]) -> None:
    assert "row 13, column 'question': the same image, question and choices as row 4" in fault_of(
        write(tmp_path / "mine.jsonl", [*probe_rows, probe_rows[3]])
    )


def test_missing_columns_are_named_with_those_that_are_there(tmp_path: Path) -> None:
    pq.write_table(pa.table({"picture": [b""], "question": ["?"]}), tmp_path / "mine.parquet")
    text = fault_of(tmp_path / "mine.parquet")
    assert "lacks the column(s) 'image', 'question_type', 'answer'; it has ['picture', 'question']" in text


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("mine.jsonl", b"", "holds no probes"),
        ("mine.jsonl", b'{"image": ', "row 1: is not JSON"),
        ("mine.jsonl", b"[1]\n", "row 1: holds list"),
        ("mine.parquet", b"PAR1", "is not a Parquet file"),
        ("mine.csv", b"a,b", "must end in .parquet or .jsonl"),
    ],
)
def test_files_that_are_no_probe_files(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    assert words in fault_of(tmp_path / name)


def test_a_missing_file(tmp_path: Path) -> None:
    assert "is not a file" in fault_of(tmp_path / "absent.parquet")
