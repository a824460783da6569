"""Folders, files and Parquet as sources of images: everything in a fixed order, and what can't be read is told and passed over."""

import os
import socket
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from services.cli.pool_details import ImageDetails
from services.cli.pool_source_files import FolderSource
from services.cli.pool_source_parquet import ParquetSource
from services.cli.pool_sources import Source, Unusable, open_source
from shared.domain import ImageCategory
from shared.errors import BadConfiguration, Rejected

MAX_BYTES = 1000
Seen = dict[str, tuple[bytes, ImageDetails] | str]


async def seen(source: Source) -> Seen:
    """By origin: what was read, or the reason why not."""
    found: Seen = {}
    async for file in source.found():
        try:
            found[file.origin] = await file.read()
        except Unusable as error:
            assert error.detail
            found[file.origin] = error.reason
    assert await source.count() == len(found)
    return found


def folder(root: Path, captions: dict[str, ImageDetails] | None = None) -> FolderSource:
    return FolderSource(root, captions or {}, max_bytes=MAX_BYTES)


async def test_a_folder_is_walked_in_order_and_its_texts_are_captions(tmp_path: Path) -> None:
    for name in ("b.png", "a.jpg", "sub/deep/d.webp", "sub/c.jpg", ".hidden.jpg", ".git/e.jpg", "zz.unknown"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    (tmp_path / "a.txt").write_text("A  cat\n")
    (tmp_path / "b.txt").write_text("beside")
    (tmp_path / "sub" / "c.txt").write_bytes(b"K\xe4se")
    (tmp_path / "captions.csv").write_text("file,caption\n")
    captions = {"b.png": ImageDetails(caption="in the file", category=ImageCategory.MAP), "d.webp": ImageDetails(caption="by bare name")}
    found = await seen(folder(tmp_path, captions))
    assert list(found) == ["a.jpg", "b.png", "zz.unknown", "sub/c.jpg", "sub/deep/d.webp"]
    assert found["a.jpg"] == (b"a.jpg", ImageDetails(caption="A cat"))
    assert found["b.png"] == (b"b.png", ImageDetails(caption="in the file", category=ImageCategory.MAP))
    assert found["sub/c.jpg"] == (b"sub/c.jpg", ImageDetails(caption="K\ufffdse"))
    assert found["sub/deep/d.webp"] == (b"sub/deep/d.webp", ImageDetails(caption="by bare name"))


async def test_what_is_no_readable_file_is_told_and_passed_over(tmp_path: Path) -> None:
    (tmp_path / "good.jpg").write_bytes(b"x" * MAX_BYTES)
    (tmp_path / "large.jpg").write_bytes(b"x" * (MAX_BYTES + 1))
    (tmp_path / "dangling.jpg").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    (tmp_path / "link.jpg").symlink_to(tmp_path / "good.jpg")
    (tmp_path / "around").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(tmp_path / "door.jpg"))
        found = await seen(folder(tmp_path))
    assert {origin: answer if isinstance(answer, str) else len(answer[0]) for origin, answer in found.items()} == {
        "around": "unreadable",
        "dangling.jpg": "unreadable",
        "door.jpg": "unreadable",
        "good.jpg": MAX_BYTES,
        "large.jpg": "image_too_large",
        "link.jpg": MAX_BYTES,
        "loop.jpg": "unreadable",
        "pipe.jpg": "unreadable",
    }


async def test_one_file_is_a_source_too(tmp_path: Path) -> None:
    (tmp_path / "one.jpg").write_bytes(b"one")
    assert await seen(folder(tmp_path / "one.jpg")) == {"one.jpg": (b"one", ImageDetails())}


def parquet(path: Path, columns: dict[str, list[Any]]) -> Path:
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    arrays = {
        name: pa.array(values, image) if name == "image" and any(isinstance(v, dict) for v in values) else pa.array(values)
        for name, values in columns.items()
    }
    pq.write_table(pa.table(arrays), path, row_group_size=2)
    return path


async def test_rows_of_a_parquet_file_bring_their_details(tmp_path: Path) -> None:
    path = parquet(
        tmp_path / "p.parquet",
        {
            "image": [b"1", b"2", b"3", None],
            "caption": ["one", None, "three", "four"],
            "license": ["CC0", "", None, "CC0"],
            "category": ["map", None, "selfie", None],
            "page_url": ["https://a.org", None, None, None],
            "other": [1, 2, 3, 4],
        },
    )
    source = ParquetSource(path, max_bytes=MAX_BYTES)
    assert source.may_know_licences
    assert await seen(source) == {
        "p.parquet, row 1": (b"1", ImageDetails(caption="one", licence="CC0", category="map", page_url="https://a.org")),
        "p.parquet, row 2": (b"2", ImageDetails()),
        "p.parquet, row 3": "schema",
        "p.parquet, row 4": "unreadable",
    }


async def test_images_of_hugging_face_are_bytes_or_paths_that_stay_beside_the_file(tmp_path: Path) -> None:
    inside = tmp_path / "in"
    (inside / "sub").mkdir(parents=True)
    (inside / "sub" / "a.jpg").write_bytes(b"a")
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    (inside / "out.jpg").symlink_to(tmp_path / "secret.jpg")
    rows = [
        {"bytes": b"x", "path": "sub/a.jpg"},
        {"bytes": None, "path": "sub/a.jpg"},
        {"bytes": None, "path": "../secret.jpg"},
        {"bytes": None, "path": str(tmp_path / "secret.jpg")},
        {"bytes": None, "path": "out.jpg"},
        {"bytes": None, "path": "nowhere.jpg"},
        {"bytes": None, "path": None},
        None,
    ]
    source = ParquetSource(parquet(inside / "p.parquet", {"image": rows}), max_bytes=MAX_BYTES)
    assert not source.may_know_licences
    found = list((await seen(source)).values())
    assert found == [(b"x", ImageDetails()), (b"a", ImageDetails()), *["unreadable"] * 6]


async def test_a_damaged_parquet_file_gives_what_stands_before_the_damage(tmp_path: Path) -> None:
    path = parquet(tmp_path / "p.parquet", {"image": [bytes([n]) * 500 for n in range(1, 9)]})
    payload = bytearray(path.read_bytes())
    at = pq.ParquetFile(path).metadata.row_group(2).column(0).data_page_offset
    payload[at : at + 400] = b"\xff" * 400
    path.write_bytes(payload)
    found = [file async for file in ParquetSource(path, max_bytes=MAX_BYTES).found()]
    with pytest.raises(Unusable, match="can't be read from here on"):
        await found.pop().read()
    payloads = [(await file.read())[0][0] for file in found]
    assert payloads == list(range(1, len(payloads) + 1))
    assert len(payloads) <= 4


@pytest.mark.parametrize(("payload", "said"), [(b"PAR1 no", "is not a Parquet file"), (None, "lacks the column 'image'")])
def test_what_is_no_parquet_file_of_images_is_told(tmp_path: Path, payload: bytes | None, said: str) -> None:
    path = parquet(tmp_path / "p.parquet", {"picture": [b"1"]})
    if payload is not None:
        path.write_bytes(payload)
    with pytest.raises(Rejected, match=said):
        ParquetSource(path, max_bytes=MAX_BYTES)


async def test_what_does_not_exist_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match="there is no"):
        async with open_source(str(tmp_path / "nowhere"), {}, max_bytes=MAX_BYTES):
            pass
