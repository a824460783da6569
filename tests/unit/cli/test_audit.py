"""What a person is shown, what they may say, and what is made of it."""

import asyncio
import io
import json
import os
import random
import termios
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from rich.console import Console

from services.cli.audit_drawing import Drawn, draw
from services.cli.audit_file import read_verdicts
from services.cli.audit_labels import LabelCounts, label_counts, last_words, overall
from services.cli.audit_origin import maker_of, origin_of
from services.cli.audit_picture import half_blocks, save_image, shown_share
from services.cli.audit_screen import described, show_image
from services.cli.audit_views import audit_json, render_audit
from services.cli.keyboard import Keyboard, open_keyboard
from shared.domain import AuditVerdict
from shared.errors import BadConfiguration, Rejected
from shared.events import LabelAudited
from shared.tables import Sample
from tests.unit.cli.example_run import CELLS, SPEC
from tests.unit.trainer.drawn import draw_samples

SAMPLES = draw_samples(60, seed=5, cells=CELLS[:4])
AGENTIC = {
    "generator": {"kind": "agentic", "version": "1.0.0"},
    "licence": "CC-BY-4.0",
    "task": "make",
    "source": {
        "origin": "web",
        "url": "https://x.example/a.png",
        "page_url": "https://x.example/a",
        "licence": "CC-BY-4.0",
        "caption": "Tea",
    },
    "edits": [{"op": "crop", "box": [0, 0, 1, 1]}, {"op": "place_text"}],
    "models": {"ask": "big-vl", "solve": "other-vl"},
    "never_heard_of": [1],
}


def word(sample_id: str, verdict: AuditVerdict, revision: int = 1, cell: int = 0) -> LabelAudited:
    return LabelAudited("demo", 1, CELLS[cell], sample_id, verdict, "ann", "", revision)


@given(st.randoms(), st.integers(0, 20), st.integers(0, 9))
@settings(deadline=None, max_examples=30)
def test_draw_is_the_same_in_any_order_and_takes_turns_over_cells(shuffler: random.Random, per_cell: int, seed: int) -> None:
    shuffled = list(SAMPLES)
    shuffler.shuffle(shuffled)
    drawn = draw(shuffled, per_cell=per_cell, seed=seed)
    assert [sample.sample_id for sample in drawn] == [sample.sample_id for sample in draw(SAMPLES, per_cell=per_cell, seed=seed)]
    assert len(drawn) == 4 * min(per_cell, 15)
    assert {sample.cell for sample in drawn[:4]} == (set(CELLS[:4]) if per_cell else set())
    more = draw(SAMPLES, per_cell=per_cell + 1, seed=seed)
    assert more[: len(drawn)] == drawn


def test_every_sample_may_be_drawn_and_another_seed_draws_others() -> None:
    first = {sample.sample_id for sample in draw(SAMPLES, per_cell=3, seed=0)}
    seen = {sample.sample_id for seed in range(60) for sample in draw(SAMPLES, per_cell=3, seed=seed)}
    assert first != {sample.sample_id for sample in draw(SAMPLES, per_cell=3, seed=1)}
    assert seen == {sample.sample_id for sample in SAMPLES}


def test_labels_are_counted_by_their_last_words() -> None:
    words = [
        word("a", AuditVerdict.WRONG),
        word("a", AuditVerdict.CORRECT, 2),
        word("b", AuditVerdict.WRONG),
        word("b", AuditVerdict.UNSURE),
    ]
    words += [word("c", AuditVerdict.CORRECT, cell=1), word("d", AuditVerdict.UNSURE, cell=1)]
    counts = label_counts(last_words(words))
    assert counts == {CELLS[0]: LabelCounts(1, 1, 0), CELLS[1]: LabelCounts(1, 0, 1)}
    assert overall(counts.values()) == LabelCounts(2, 1, 1)
    assert counts[CELLS[0]].precision == 0.5
    assert LabelCounts(0, 0, 3).precision is None
    assert LabelCounts(3, 2).is_below(0.95)
    assert not LabelCounts(4, 1).is_below(0.95)


def test_state_names_drawn_samples_and_counts_every_word() -> None:
    drawn = [Drawn(1, sample) for sample in draw(SAMPLES, per_cell=1, seed=0)]
    known = last_words([word(drawn[0].sample.sample_id, AuditVerdict.WRONG), *(word(f"other-{n}", AuditVerdict.WRONG) for n in range(3))])
    state = audit_json(SPEC, 1, drawn, known)
    json.dumps(state, allow_nan=False)
    assert state["schema"] == "spiral.audit/1"
    assert [sample["verdict"] for sample in state["samples"]] == ["wrong", None, None, None]
    assert state["samples"][0]["maker"] == "rendered"
    (cell,) = state["cells"]
    assert (cell["num_wrong"], cell["num_audited"], cell["precision"], cell["is_below_bound"]) == (4, 4, 0.0, True)


def test_table_says_which_cells_are_surely_below_the_bound() -> None:
    words = [*(word(f"w{n}", AuditVerdict.WRONG) for n in range(3)), word("r", AuditVerdict.CORRECT, cell=1)]
    console = Console(file=(shown := io.StringIO()), width=140)
    console.print(render_audit(SPEC, [], last_words(words)))
    first, second = (line for line in shown.getvalue().splitlines() if "/" in line)
    assert "surely below 95.0 %" in first and "below" not in second
    console.print(render_audit(SPEC, [], {}))
    assert "there is nothing to look at" in shown.getvalue()


def agentic(**changes: object) -> Sample:
    return replace(SAMPLES[0], scene="", provenance=json.dumps(AGENTIC | changes))


def test_origin_says_maker_source_licence_edits_and_models() -> None:
    told = dict(origin_of(agentic()))
    assert told["maker"].startswith("agentic 1.0.0 make")
    assert told["source"] == "web https://x.example/a"
    assert (told["licence"], told["edits"], told["models"]) == ("CC-BY-4.0", "crop, place text", "ask: big-vl, solve: other-vl")
    assert "agreement" in told["proof"]
    assert "scene" in dict(origin_of(SAMPLES[0]))["proof"]
    assert maker_of(SAMPLES[0]) == "rendered"


@pytest.mark.parametrize("provenance", ["", "{", "[]", '{"generator": 3}', '{"edits": {"op": 1}}'])
def test_origin_that_cannot_be_read_is_said_so(provenance: str) -> None:
    assert dict(origin_of(replace(SAMPLES[0], provenance=provenance)))["maker"] == "its provenance can't be read"


def test_strangers_texts_move_no_cursor() -> None:
    evil = "\x1b[2J\x1b]0;owned\x07\rlabel"
    caught = {**AGENTIC["source"], "caption": evil}  # type: ignore[dict-item]
    sample = replace(agentic(source=caught), question=evil, choices=(evil, "b"), answer="A")
    console = Console(record=True, force_terminal=True, width=100, file=(shown := io.StringIO()), color_system=None)
    console.print(described(sample))
    assert "\x1b]" not in shown.getvalue()
    assert "\x1b[2J" not in shown.getvalue()
    assert "\r" not in shown.getvalue()
    assert "�" in shown.getvalue()


def test_picture_shows_two_pixels_a_character_and_fits() -> None:
    image = Image.new("RGB", (4, 4), "red")
    image.putpixel((0, 1), (0, 0, 255))
    image.save(sink := io.BytesIO(), "PNG")
    text = half_blocks(sink.getvalue(), columns=4, rows=2)
    assert text.plain == "▀▀▀▀\n▀▀▀▀"
    style = text.spans[0].style
    assert not isinstance(style, str)
    assert style.color is not None
    assert style.bgcolor is not None
    assert (style.color.triplet, style.bgcolor.triplet) == ((255, 0, 0), (0, 0, 255))


@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 60), st.integers(1, 30))
@settings(deadline=None, max_examples=40)
def test_picture_of_any_size_fits_into_any_terminal(width: int, height: int, columns: int, rows: int) -> None:
    Image.new("RGBA", (width, height), (0, 0, 0, 0)).save(sink := io.BytesIO(), "PNG")
    lines = half_blocks(sink.getvalue(), columns=columns, rows=rows).plain.split("\n")
    assert len(lines) <= rows
    assert all(1 <= len(line) <= columns for line in lines)


def test_image_that_loses_detail_is_said_to() -> None:
    Image.new("RGB", (100, 40)).save(sink := io.BytesIO(), "PNG")
    payload = sink.getvalue()
    assert shown_share(payload, columns=200, rows=20) == 1.0
    assert shown_share(payload, columns=50, rows=20) == 0.5
    assert shown_share(payload, columns=200, rows=5) == 0.25
    coarse = Console(force_terminal=True, width=80, height=26, file=(shown := io.StringIO()), color_system="truecolor")
    show_image(coarse, payload, "a" * 64, None)
    assert "shown at 50.0 % of its width and height: save it by --save DIR" in shown.getvalue()


def test_image_that_is_too_large_to_be_shown_ends_no_audit_and_can_be_saved(tmp_path: Path) -> None:
    Image.new("1", (4200, 4000)).save(sink := io.BytesIO(), "PNG")
    console = Console(force_terminal=True, width=200, file=(shown := io.StringIO()), color_system="truecolor")
    show_image(console, sink.getvalue(), "a" * 64, None)
    assert "the image can't be shown (the image is 4,200 × 4,000 px" in shown.getvalue()
    show_image(console, sink.getvalue(), "a" * 64, tmp_path)
    assert (tmp_path / f"{'a' * 16}.png").read_bytes() == sink.getvalue()


def test_image_is_saved_as_it_is(tmp_path: Path) -> None:
    path = save_image(SAMPLES[0].image, tmp_path / "images", "abc")
    assert (path.name, path.read_bytes()) == ("abc.png", SAMPLES[0].image)
    with pytest.raises(Rejected, match="must be PNG, JPEG or WEBP"):
        save_image(b"GIF89a", tmp_path, "x")


def test_verdicts_are_read_from_a_file(tmp_path: Path) -> None:
    known = {sample.sample_id: Drawn(1, sample) for sample in SAMPLES}
    first, second = SAMPLES[0].sample_id, SAMPLES[1].sample_id
    path = tmp_path / "verdicts.jsonl"
    path.write_text(
        f'{{"sample_id": "{first}", "verdict": "right"}}\n\n{{"sample_id": "{second}", "verdict": "wrong", "note": "says 7, is 8"}}\n'
    )
    filed = read_verdicts(path, known)
    assert [(each.drawn.sample.sample_id, each.verdict, each.note) for each in filed] == [
        (first, AuditVerdict.CORRECT, ""),
        (second, AuditVerdict.WRONG, "says 7, is 8"),
    ]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "line 2: no JSON"),
        ('{"sample_id": "x"}', "line 2: verdict"),
        ('{"sample_id": "x", "verdict": "right"}', "no dataset"),
        (f'{{"sample_id": "{SAMPLES[0].sample_id}", "verdict": "perhaps"}}', "must be right, wrong or unsure"),
        (f'{{"sample_id": "{SAMPLES[0].sample_id}", "verdict": "right", "verdikt": 1}}', "verdikt"),
        ("[]", "line 2"),
    ],
)
def test_file_with_a_fault_is_refused_as_a_whole(tmp_path: Path, line: str, words: str) -> None:
    path = tmp_path / "verdicts.jsonl"
    path.write_text(f'{{"sample_id": "{SAMPLES[1].sample_id}", "verdict": "right"}}\n{line}\n')
    with pytest.raises(BadConfiguration, match=words):
        read_verdicts(path, {sample.sample_id: Drawn(1, sample) for sample in SAMPLES})


async def test_line_is_typed_erased_and_taken_back() -> None:
    keyboard, echoed = Keyboard(), list[str]()
    keyboard.take("täx\x7fa\r".encode()[:2])
    keyboard.take("täx\x7fa\r".encode()[2:])
    assert await keyboard.line(echoed.append) == "täa"
    assert echoed == ["t", "ä", "x", "\b \b", "a"]
    keyboard.take(b"no\x1b")
    assert await keyboard.line(echoed.append) is None
    keyboard.take(b"no")
    keyboard.take(b"")
    assert await keyboard.line(echoed.append) is None


async def test_keys_of_a_terminal_come_at_once_and_it_is_left_as_it_was() -> None:
    outer, inner = os.openpty()
    try:
        before = termios.tcgetattr(inner)
        with open_keyboard(inner) as keyboard:
            os.write(outer, b"r")
            assert await asyncio.wait_for(keyboard.key(), 5) == "r"
            assert termios.tcgetattr(inner) != before
        assert termios.tcgetattr(inner) == before
    finally:
        os.close(outer)
        os.close(inner)


async def test_keyboard_that_is_no_terminal_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "keys").open("w+") as file, pytest.raises(BadConfiguration, match="--verdicts"), open_keyboard(file.fileno()):
        pass
