"""A firewall knows its items by picture, by question or by both, and lets everything else pass."""

from dataclasses import replace
from random import Random

import pytest
from PIL import Image, ImageDraw

from services.quality.fingerprints import Fingerprint, fingerprint
from services.quality.firewall import Firewall, FirewallItem, Leak, Matched
from shared.domain import QuestionType
from shared.images.decoding import DecodedImage
from tests.planted.copies import CROPPED, EDITED, MIRRORED, STORED, Copy, encoded
from tests.planted.corpus import decoded
from tests.planted.pictures import draw

LONG = "According to the handwritten ledger, how many barrels of herring did the harbour at Estover receive in the autumn of 1887?"
SHORT = "What is shown?"
PICTURE = draw("landscape", 1)


def asked(image: Image.Image | bytes | None, question: str, answer: str = "7") -> tuple[Fingerprint, DecodedImage | None]:
    payload = encoded(image) if isinstance(image, Image.Image) else image
    seen = decoded(payload) if payload else None
    return fingerprint(seen, question, QuestionType.NUMERIC if question else None, (), answer), seen


def firewall(*items: tuple[Fingerprint, DecodedImage | None]) -> Firewall:
    return Firewall(FirewallItem(f"item {at}", mark) for at, (mark, _) in enumerate(items))


def crowd(question: str, answer: str) -> list[tuple[Fingerprint, DecodedImage | None]]:
    """Other pictures with the same question and answer, so that neither tells an item."""
    return [asked(draw("texture", number), question, answer) for number in range(4)]


def leak(walls: Firewall, image: Image.Image | bytes | None, question: str, answer: str = "7", *, is_drawn: bool = False) -> Leak | None:
    return walls.leak(*asked(image, question, answer), is_drawn=is_drawn)


@pytest.mark.parametrize("copy", [STORED["JPEG 50"], CROPPED["cropped 5 %, JPEG 75"], MIRRORED["mirrored, cropped 5 %, JPEG 75"]])
def test_the_picture_alone_is_a_leak(copy: Copy) -> None:
    walls = firewall(asked(draw("things", 9), "Who?"), asked(PICTURE, "What stands on the ridge?", "a hut"))
    found = leak(walls, copy(PICTURE, Random(1)), "How many hills are there?", "3")
    assert found is not None and (found.name, found.matched) == ("item 1", Matched.IMAGE)
    assert found.detail.endswith("copy of the picture of item 1")
    again = leak(walls, copy(PICTURE, Random(1)), "Please: what stands on the ridge?", "a hut")
    assert again is not None and again.matched is Matched.BOTH


def test_an_item_without_a_question_is_known_by_its_picture() -> None:
    found = leak(firewall(asked(PICTURE, "", "")), CROPPED["cropped 5 %"](PICTURE, Random(1)), SHORT)
    assert found is not None and found.matched is Matched.IMAGE


def test_an_item_without_a_picture_is_known_by_its_question() -> None:
    walls = firewall(asked(None, "How many dots?"), asked(None, LONG, "412"))
    found = leak(walls, PICTURE, LONG.replace("receive", "get"), "412")
    assert found == Leak("item 1", Matched.TEXT, "the question of item 1")
    assert leak(walls, PICTURE, "How many dots?") is None
    assert leak(walls, None, LONG) == found


def edited_by_a_lot() -> bytes:
    painted = PICTURE.copy()
    ImageDraw.Draw(painted).rectangle((40, 40, 40 + PICTURE.width // 5, 40 + PICTURE.height // 5), fill=(250, 30, 40))
    return encoded(painted)


@pytest.mark.parametrize(
    ("question", "answer", "is_leak"),
    [
        ("How many hills are there?", "3", True),
        ("How many hills are to be seen there?", "3", True),
        ("Is there a river?", "3", False),
        ("How many hills are there?", "5", False),
        ("Is there a river?", "no", False),
    ],
)
def test_an_edited_drawing_needs_its_answer_and_some_of_its_question(question: str, answer: str, is_leak: bool) -> None:
    walls = firewall(asked(PICTURE, "How many hills are there?", "3"), *crowd("How many hills are there?", "3"), *crowd(SHORT, "5"))
    assert (leak(walls, edited_by_a_lot(), question, answer, is_drawn=True) is not None) is is_leak


def test_a_question_or_an_answer_that_few_items_have_tells_an_edited_drawing() -> None:
    walls = firewall(asked(PICTURE, "Which village lies behind the third ridge?", "Tamsin Cross"), *crowd(SHORT, "5"))
    assert leak(walls, edited_by_a_lot(), "Which village lies behind the third ridge?", "5", is_drawn=True) is not None
    assert leak(walls, edited_by_a_lot(), SHORT, "Tamsin Cross", is_drawn=True) is not None
    assert leak(walls, edited_by_a_lot(), SHORT, "9", is_drawn=True) is None


@pytest.mark.parametrize("name", ["edited 1 %", "edited 3 %, JPEG 75", "edited 3 %, mirrored, JPEG 75"])
def test_one_edit_of_a_picture_that_no_template_drew_is_a_leak_whatever_is_asked(name: str) -> None:
    walls = firewall(asked(draw("document", 1), "Who?"), asked(PICTURE, "What stands on the ridge?", "a hut"), *crowd(SHORT, "5"))
    found = leak(walls, EDITED[name](PICTURE, Random(1)), SHORT, "9")
    assert found is not None and (found.name, found.matched) == ("item 1", Matched.IMAGE)


def test_documents_of_one_layout_are_no_edits_of_each_other() -> None:
    walls = firewall(*(asked(draw("document", number), SHORT, "5") for number in range(40)))
    for number in range(100, 140):
        assert leak(walls, draw("document", number), "Whose?", "9") is None


def test_pictures_without_detail_leak_only_with_their_question() -> None:
    sky = Image.linear_gradient("L").resize((96, 96)).convert("RGB")
    walls = firewall(asked(sky, "How many clouds are there?", "0"))
    brighter = encoded(sky, "JPEG", quality=90)
    assert leak(walls, brighter, "How many birds are there?", "0") is None
    found = leak(walls, brighter, "How many clouds are there?", "0")
    assert found is not None and found.matched is Matched.BOTH


def test_other_pictures_and_questions_pass() -> None:
    walls = firewall(
        *(asked(draw("landscape", number), f"What is on hill {number}?", str(number)) for number in range(1, 12)), asked(None, LONG)
    )
    for number in range(20, 40):
        assert leak(walls, draw("landscape", number), "What is on hill 3?", "3") is None


def test_an_empty_firewall_lets_everything_pass() -> None:
    assert leak(Firewall(), PICTURE, LONG) is None
    assert len(Firewall()) == 0


def test_without_the_image_its_grid_is_compared() -> None:
    walls = firewall(asked(PICTURE, SHORT))
    assert walls.leak(asked(STORED["JPEG 75"](PICTURE, Random(1)), "Who?", "x")[0]) is not None


def test_fingerprints_of_older_versions_are_compared_as_well() -> None:
    mark, seen = asked(PICTURE, SHORT)
    old = Fingerprint.from_row({key: value for key, value in mark.to_row().items() if key != "question_type"})
    assert old == replace(mark, question_type=None)
    assert Firewall([FirewallItem("old", old)]).leak(mark, seen) is not None


def test_edited_exam_items_stay_anonymous() -> None:
    walls = Firewall([FirewallItem("an exam item", asked(PICTURE, LONG)[0])])
    found = leak(walls, EDITED["edited 1 %"](PICTURE, Random(5)), LONG)
    assert found is not None and found.detail.endswith("of an exam item")
