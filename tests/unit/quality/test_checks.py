"""Each planted fault is refused with its own reason, and the first check that refuses names it."""

import math
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from services.quality.checks import refuse
from services.quality.evidence import Evidence
from services.quality.refusal import MAX_DETAIL_CHARS, Refusal
from shared.domain import Candidate, Cell, ImageCategory, QuestionType
from shared.domain import RejectionReason as Reason
from tests.unit.quality.suspects import CAPS, CHOICE, JUDGED, NUMERIC, candidate, drawing, encoded, found, known, name, reason_of, scene

RED_SHAPE = scene({"op": "attribute", "where": {"color": "red"}, "name": "shape"}, {"id": "a", "color": "red", "shape": "star"})


def choice(**changes: Any) -> Candidate:
    made = candidate(1, cell=CHOICE, question="Which shape is red?", choices=("ring", "star", "cross"), answer="B", scene=RED_SHAPE)
    return replace(made, **changes)


def test_a_sound_candidate_passes() -> None:
    assert reason_of(candidate()) is None
    assert reason_of(choice()) is None


@pytest.mark.parametrize(
    "fault",
    [
        {"candidate_id": "7"},
        {"candidate_id": name("x").upper()},
        {"image": b""},
        {"question": " \n"},
        {"question": "red " * 1000},
        {"answer": ""},
        {"answer": "many"},
        {"answer": "1 or 2"},
        {"choices": ("1", "2")},
        {"tolerance": math.nan},
        {"tolerance": math.inf},
        {"tolerance": -1.0},
    ],
)
def test_numeric_questions_of_the_wrong_shape_are_refused(fault: dict[str, Any]) -> None:
    assert reason_of(candidate(**fault)) is Reason.SCHEMA


@pytest.mark.parametrize(
    ("answer", "tolerance", "is_fine"),
    [
        ("40 km", 10.0, True),
        ("40 km", 10.1, False),
        ("-40", 10.0, True),
        ("forty", 11.0, False),
        ("12.5 %", 3.0, True),
        ("0", 0.0, True),
        ("0", 0.1, False),
        ("3", 1e9, False),
    ],
)
def test_a_label_to_which_anything_would_agree_is_refused(answer: str, tolerance: float, is_fine: bool) -> None:
    made = found(1, answer=answer, tolerance=tolerance)
    assert reason_of(made, terms=JUDGED) is (None if is_fine else Reason.SCHEMA)


@pytest.mark.parametrize(
    "fault",
    [
        {"choices": ()},
        {"choices": ("star",)},
        {"choices": ("star", "Star")},
        {"choices": ("ring", "")},
        {"answer": "D"},
        {"answer": "star"},
    ],
)
def test_multiple_choice_of_the_wrong_shape_is_refused(fault: dict[str, Any]) -> None:
    assert reason_of(choice(**fault)) is Reason.SCHEMA


def test_the_wrong_cell_is_refused_by_claim_and_by_scene() -> None:
    assert reason_of(candidate(), cell=CHOICE) is Reason.WRONG_CELL
    assert reason_of(candidate(), cell=Cell(ImageCategory.MAP, QuestionType.NUMERIC)) is Reason.WRONG_CELL
    relabelled = candidate(cell=Cell(ImageCategory.MAP, QuestionType.NUMERIC))
    assert reason_of(relabelled) is Reason.WRONG_CELL


def test_wrong_labels_are_refused() -> None:
    assert reason_of(candidate(1, answer="9")) is Reason.WRONG_ANSWER
    assert reason_of(choice(answer="C")) is Reason.WRONG_ANSWER
    assert reason_of(choice(choices=("ring", "moon", "cross"))) is Reason.WRONG_ANSWER


def test_what_cannot_be_verified_is_refused() -> None:
    two = ({"id": "a", "color": "red", "shape": "star"}, {"id": "b", "color": "red", "shape": "ring"})
    ambiguous = scene({"op": "attribute", "where": {"color": "red"}, "name": "shape"}, *two)
    for text in ("", "{}", ambiguous, RED_SHAPE.replace("star", "star\\u0000") + "}"):
        assert reason_of(choice(scene=text)) is Reason.UNVERIFIABLE
    assert reason_of(candidate(question="How many blue dots are there?")) is Reason.UNVERIFIABLE


def test_bad_images_are_refused() -> None:
    whole = encoded(drawing(1))
    assert reason_of(candidate(1, image=whole[:-20])) is Reason.IMAGE_UNDECODABLE
    assert reason_of(candidate(1, image=encoded(drawing(1), "GIF"))) is Reason.IMAGE_UNDECODABLE
    assert reason_of(candidate(1, image=encoded(Image.new("RGB", (1200, 1000))))) is Reason.IMAGE_TOO_LARGE
    assert reason_of(candidate(1, image=whole + bytes(CAPS.max_image_bytes))) is Reason.IMAGE_TOO_LARGE


def test_copies_of_earlier_candidates_are_refused() -> None:
    earlier = known(earlier=(candidate(1),))
    assert reason_of(candidate(1, candidate_id=name("again")), earlier) is Reason.EXACT_DUPLICATE
    assert reason_of(candidate(1, image=encoded(drawing(1), "JPEG", quality=80)), earlier) is Reason.NEAR_DUPLICATE
    assert reason_of(candidate(1, question="Please: how many red dots?"), earlier) is Reason.NEAR_DUPLICATE
    assert reason_of(candidate(8), earlier) is None


def test_probes_do_not_leak_re_encoded_rescaled_or_with_other_choices() -> None:
    walls = known(probes=(candidate(1), choice(image=encoded(drawing(2)))))
    assert reason_of(candidate(1), walls) is Reason.PROBE_LEAK
    assert reason_of(candidate(1, image=encoded(drawing(1), "JPEG", quality=60)), walls) is Reason.PROBE_LEAK
    assert reason_of(candidate(1, image=encoded(drawing(1).resize((200, 200)), "WEBP")), walls) is Reason.PROBE_LEAK
    assert reason_of(choice(image=encoded(drawing(2), "JPEG"), choices=("star", "moon"), answer="A"), walls) is Reason.PROBE_LEAK
    assert reason_of(candidate(3), walls) is None


def test_the_cheapest_refusal_wins_and_says_what_it_saw_in_short() -> None:
    hopeless = candidate(1, answer="many", image=b"GIF89a", scene="")
    assert reason_of(hopeless, known(probes=(candidate(1),)), cell=CHOICE) is Reason.SCHEMA
    refusal = refuse(Evidence(candidate(1, scene=scene({"op": "x" * 5000})), NUMERIC, CAPS), known())
    assert refusal is not None and 0 < len(refusal.detail) <= MAX_DETAIL_CHARS


def test_a_refusals_detail_is_one_line_of_visible_letters() -> None:
    refusal = Refusal(Reason.DISPUTED, "says\n\x1b[2Jnothing\u200b at\tall").in_short()
    assert refusal.detail == "says [2Jnothing at all"
