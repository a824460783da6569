"""What is said about images: in captions files, beside them, and in rows."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.cli.pool_details import ImageDetails, details_of, plain_text, read_captions
from shared.domain import ImageCategory
from shared.errors import Rejected


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.jsonl", '{"file": "a/b.jpg", "caption": "A cat", "licence": "CC0"}\n\n{"file_name": "c.png", "text": "Ein Hund"}\n'),
        ("c.ndjson", '{"image": "./a/b.jpg", "text": "A  cat\\n", "license": "CC0"}\n{"file": "c.png", "caption": "Ein Hund"}'),
        ("c.csv", "file,caption,licence\na/b.jpg,A cat,CC0\nc.png,Ein Hund,\n"),
        ("c.CSV", "\ufefffile_name,text,license\r\na/b.jpg,A cat,CC0\r\nc.png,Ein Hund,\r\n"),
    ],
)
def test_captions_files(tmp_path: Path, name: str, text: str) -> None:
    found = read_captions(written(tmp_path / name, text))
    assert found == {"a/b.jpg": ImageDetails(caption="A cat", licence="CC0"), "c.png": ImageDetails(caption="Ein Hund")}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("c.jsonl", '{"file": "a"}\n{"file": "b"', "line 2: is not JSON"),
        ("c.jsonl", "[1]\n", "line 1: holds list"),
        ("c.jsonl", '{"caption": "a cat"}\n', "line 1: names no image"),
        ("c.jsonl", '{"file": "a", "category": "selfie"}\n', "line 1: column 'category'"),
        ("c.jsonl", '{"file": "a", "caption": 7}\n', "line 1: column 'caption'"),
        ("c.csv", "path,caption\na,b\n", "line 2: names no image"),
        ("c.txt", "a", "must end in"),
        ("missing.csv", None, "is not a file"),
    ],
)
def test_faults_of_captions_files_are_told_with_their_line(tmp_path: Path, name: str, text: str | None, said: str) -> None:
    path = tmp_path / name
    if text is not None:
        written(path, text)
    with pytest.raises(Rejected, match=said):
        read_captions(path)


def test_latin_1_is_told(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_bytes("file,caption\na,Käse\n".encode("latin-1"))
    with pytest.raises(Rejected, match="can't be read"):
        read_captions(tmp_path / "c.csv")


def test_what_is_nearer_to_the_image_wins() -> None:
    near, far = ImageDetails(caption="near", category=ImageCategory.MAP), ImageDetails(caption="far", licence="CC0", source="there")
    assert near.or_else(far) == ImageDetails(caption="near", category=ImageCategory.MAP, licence="CC0", source="there")


def test_nulls_and_empty_texts_say_nothing() -> None:
    assert details_of({"caption": None, "category": "", "licence": "", "source": None, "more": 1}) == ImageDetails()


@given(st.text())
def test_texts_of_others_become_one_short_line_without_control_characters(text: str) -> None:
    plain = plain_text(text, max_length=20)
    assert len(plain) <= 20
    assert plain.isprintable()
    assert plain == plain.strip() == plain_text(plain, max_length=20)


def test_characters_that_turn_the_text_around_or_hide_are_dropped() -> None:
    assert plain_text("a\u202eb\u200bc\x1b[31m\x00d\te\nf", max_length=99) == "abc[31md e f"
