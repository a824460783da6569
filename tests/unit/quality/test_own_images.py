"""Probes and benchmarks as operators bring them: what no candidate may look like is known all the same."""

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from services.cli.images import image_fault
from services.quality.own_images import read_own_image
from shared.domain import RejectionReason as Reason
from tests.unit.quality.reviewing import as_probe, desk
from tests.unit.quality.suspects import candidate, drawing, encoded, lease


def with_a_second_picture(image: Image.Image) -> bytes:
    return encoded(image, "MPO", save_all=True, append_images=[image.rotate(90)])


def of_16_bits(image: Image.Image) -> bytes:
    return encoded(Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257))


ODD: dict[str, Callable[[Image.Image], bytes]] = {
    "stray bytes": lambda image: encoded(image, "JPEG", quality=95) + b"\0" * 40,
    "a second picture": with_a_second_picture,
    "animated": lambda image: encoded(image, "WEBP", save_all=True, append_images=[image.rotate(90)], lossless=True),
    "animated PNG": lambda image: encoded(image, save_all=True, append_images=[image.rotate(90)]),
    "16 bits": of_16_bits,
}


@pytest.mark.parametrize("oddity", ODD)
async def test_candidates_that_copy_an_odd_probe_or_exam_item_are_refused(tmp_path: Path, oddity: str) -> None:
    def shown(number: int) -> Image.Image:
        return drawing(number, 256).convert("L").convert("RGB") if oddity == "16 bits" else drawing(number, 256)

    def odd(number: int) -> bytes:
        return ODD[oddity](shown(number))

    assert image_fault(odd(50)) is None, "the console takes it"
    probes = [replace(as_probe(candidate(50)), image=odd(50))]
    exam = [replace(as_probe(candidate(51), "exam"), image=odd(51))]
    async with desk(tmp_path, probes=probes, exam=exam) as at:
        made = [candidate(number, image=encoded(shown(number), "JPEG", quality=85)) for number in (50, 51, 52)]
        verdicts = (await at.review(lease(), made)).verdicts
        assert [verdict.reason for verdict in verdicts] == [Reason.PROBE_LEAK, Reason.PROBE_LEAK, None]


async def test_a_probe_without_a_readable_image_is_known_by_its_question(tmp_path: Path) -> None:
    asked = "How many red dots stand between the seventh green dot and the purple one below it?"
    probe = replace(as_probe(candidate(50)), image=encoded(drawing(50))[:90], question=asked)
    async with desk(tmp_path, probes=[probe]) as at:
        (verdict,) = (await at.review(lease(), [candidate(1, question=asked)])).verdicts
        assert verdict.reason is Reason.PROBE_LEAK, json.dumps(verdict.detail)


def test_what_holds_no_picture_is_none() -> None:
    for payload in (b"", b"GIF89a", encoded(drawing(1))[:60], b"%PDF-1.4"):
        assert read_own_image(payload) is None
    Image.new("L", (9000, 9000)).save(sink := io.BytesIO(), "PNG")
    assert read_own_image(sink.getvalue()) is None
