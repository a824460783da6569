"""Edits of agents: exact, within the category's policy, replayable, and the label is true of the edited image."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from services.generators.agentic.crafting import Batch
from services.generators.agentic.workshop import craft_list, rules_of
from shared.bus import Bus
from shared.domain import ImageCategory
from shared.run_spec import QualitySpec
from shared.settings import RoomSettings
from tests.agentic_stage import assignments, stage
from tests.integration.test_agentic_lists import failures, is_true, remade
from tests.pool_images import draw_pictures
from tests.scripted_llm import ChatRequest, EditRequest
from tests.scripted_llm.sight import View, look
from tests.scripted_llm.sighted import Sighted

RULES = rules_of(QualitySpec(), 3)
WISH = "place a red circle where nothing is"


def free_place(view: View) -> tuple[float, float]:
    """A point with nothing around it."""
    places = [((x + 0.5) / 3, (y + 0.5) / 3) for x in range(3) for y in range(3)]
    return max(places, key=lambda place: min((abs(place[0] - s.x) + abs(place[1] - s.y) for s in view.shapes), default=1.0))


def red_circle(view: View) -> list[dict[str, Any]]:
    x, y = free_place(view)
    shape = {"op": "place_shape", "shape": "circle", "x": x, "y": y, "size": 0.2, "color": "green", "outline": None, "rotation_deg": 0}
    return [shape]


def crop_of_the_upper_half(view: View) -> list[dict[str, Any]]:
    return [{"op": "crop", "box": {"x0": 0.0, "y0": 0.0, "x1": 1.0, "y1": 0.66}}]


def asked_edits(on_requests: list[ChatRequest]) -> list[ChatRequest]:
    return [request for request in on_requests if request.schema_name == "EditPlan"]


def told_edits(batch: Batch) -> list[list[str]]:
    return [[edit["op"] for edit in json.loads(crafted.candidate.provenance)["edits"]] for crafted in batch.crafted]


@pytest.mark.parametrize("edit", [red_circle, crop_of_the_upper_half])
async def test_what_was_edited_is_made_again_from_provenance_and_labelled_as_it_is_now(
    bus: Bus, settings: RoomSettings, tmp_path: Path, edit: Callable[[View], list[dict[str, Any]]]
) -> None:
    script = Sighted(wants_edit=WISH, edit=edit)
    async with stage(bus, settings, tmp_path, pictures=draw_pictures(8), script=script) as on:
        batch = await craft_list(on.equipment, assignments(num=3), RULES)
        assert len(batch.crafted) == 3, batch.failures
        assert told_edits(batch) == [["resize", edit(look(on.llm.requests[0].images[0]))[0]["op"]]] * 3
        for crafted in batch.crafted:
            assert await remade(on.artifacts, crafted.candidate) == crafted.candidate.image
            assert is_true(crafted.candidate)
        asked = [request for request in on.llm.requests if request.schema_name == "NumericItem"]
        assert all("The image was edited." in request.texts[0] for request in asked)
        if edit is red_circle:
            assert all("added a green circle" in request.texts[0] for request in asked)


async def test_types_whose_pixels_matter_are_not_edited(bus: Bus, settings: RoomSettings, tmp_path: Path) -> None:
    script = Sighted(wants_edit=WISH, edit=crop_of_the_upper_half)
    async with stage(bus, settings, tmp_path, pictures=draw_pictures(8), script=script) as on:
        batch = await craft_list(on.equipment, assignments(ImageCategory.GEOMETRIC, num=3), RULES)
        assert failures(batch) == {("edit", "unusable"): 3}
        # Told why, each time, and asked no more often than is bounded.
        asked = asked_edits(on.llm.requests)
        assert len(asked) == 3 * 3
        assert sum("not on images of category geometric" in request.texts[-1] for request in asked) == 3 * 2


async def test_an_edit_that_cannot_be_made_is_told_and_asked_again(bus: Bus, settings: RoomSettings, tmp_path: Path) -> None:
    tiny = Sighted(wants_edit=WISH, edit=lambda view: [{**red_circle(view)[0], "size": 0.02}])
    good = Sighted(wants_edit=WISH, edit=red_circle)

    def script(request: ChatRequest) -> str:
        return (good if "why it can't be used" in request.texts[-1] else tiny)(request)

    async with stage(bus, settings, tmp_path, pictures=draw_pictures(8), script=script) as on:
        batch = await craft_list(on.equipment, assignments(num=3), RULES)
        assert len(batch.crafted) == 3
        assert len(asked_edits(on.llm.requests)) == 6


@pytest.mark.parametrize(
    "ops",
    [
        [{"op": "paint_everything", "color": "red"}],
        [{"op": "place_text", "x": 0.5, "y": 0.5, "text": "hi", "height": 9, "color": "red", "background": None}],
        [
            {
                "op": "composite",
                "source_sha256": "ab" * 32,
                "source_box": {"x0": 0, "y0": 0, "x1": 1, "y1": 1},
                "box": {"x0": 0, "y0": 0, "x1": 0.5, "y1": 0.5},
                "mask": "box",
            }
        ],
        [],
    ],
    ids=["unknown op", "out of bounds", "image that was not offered", "nothing"],
)
async def test_edits_outside_the_list_are_never_made(bus: Bus, settings: RoomSettings, tmp_path: Path, ops: list[dict[str, Any]]) -> None:
    script = Sighted(wants_edit=WISH, edit=lambda view: ops)
    async with stage(bus, settings, tmp_path, pictures=draw_pictures(8), script=script) as on:
        batch = await craft_list(on.equipment, assignments(num=2), RULES)
        assert batch.crafted == ()
        assert {role for role, _ in failures(batch)} == {"edit"}


async def test_a_composite_takes_a_part_of_an_image_that_was_offered(bus: Bus, settings: RoomSettings, tmp_path: Path) -> None:
    def script(request: ChatRequest) -> str:
        if request.schema_name != "EditPlan":
            return Sighted(wants_edit=WISH)(request)
        offered = [text.split()[-1] for text in request.texts if text.startswith("Another image")]
        whole = {"x0": 0.0, "y0": 0.0, "x1": 1.0, "y1": 1.0}
        corner = {"x0": 0.6, "y0": 0.6, "x1": 1.0, "y1": 1.0}
        return json.dumps(
            {"ops": [{"op": "composite", "source_sha256": offered[0], "source_box": whole, "box": corner, "mask": "box"}], "diffusion": ""}
        )

    async with stage(bus, settings, tmp_path, pictures=draw_pictures(20), script=script) as on:
        batch = await craft_list(on.equipment, assignments(num=3), RULES)
        assert told_edits(batch) and all(ops[-1] == "composite" for ops in told_edits(batch)), batch.failures
        for crafted in batch.crafted:
            assert len(crafted.sources) == 2
            told = json.loads(crafted.candidate.provenance)
            (pasted,) = told["pasted"]
            assert pasted["image_sha256"] == told["edits"][-1]["source_sha256"] != told["source"]["image_sha256"]
            assert (pasted["licence"], pasted["page_url"][:8]) == (told["source"]["licence"], "https://")
            assert await remade(on.artifacts, crafted.candidate) == crafted.candidate.image


async def test_a_diffusion_editors_image_is_kept_and_replayed_from_the_store(bus: Bus, settings: RoomSettings, tmp_path: Path) -> None:
    def script(request: ChatRequest) -> str:
        answer = Sighted(wants_edit=WISH)(request)
        return json.dumps({"ops": [], "diffusion": "turn it"}) if request.schema_name == "EditPlan" else answer

    def turned(request: EditRequest) -> bytes:
        sink = io.BytesIO()
        with Image.open(io.BytesIO(request.image)) as image:
            image.transpose(Image.Transpose.ROTATE_180).save(sink, format="PNG", pnginfo=None)
        return sink.getvalue()

    async with stage(bus, settings, tmp_path, pictures=draw_pictures(8), script=script, edit_image="editor") as on:
        on.llm.edit = turned
        batch = await craft_list(on.equipment, assignments(num=2), RULES)
        assert told_edits(batch) == [["diffusion", "resize"]] * 2, batch.failures
        assert {request.prompt for request in on.llm.edit_requests} == {"turn it"}
        for crafted in batch.crafted:
            assert await remade(on.artifacts, crafted.candidate) == crafted.candidate.image
            assert is_true(crafted.candidate)
            assert json.loads(crafted.candidate.provenance)["pasted"] == []
            assert json.loads(crafted.candidate.provenance)["models"]["edit_image"] == "editor"
        assert {spend.role for spend in batch.spent} >= {"edit_image"}
        # Where the category is precision-critical, nobody asks the diffusion editor.
        before = len(on.llm.edit_requests)
        strict = await craft_list(on.equipment, assignments(ImageCategory.MAP, num=2), RULES)
        assert (failures(strict), len(on.llm.edit_requests)) == ({("edit", "unusable"): 2}, before)


async def test_a_diffusion_editors_image_that_shows_nothing_is_one_candidate_less(bus: Bus, settings: RoomSettings, tmp_path: Path) -> None:
    def script(request: ChatRequest) -> str:
        answer = Sighted(wants_edit=WISH)(request)
        return json.dumps({"ops": [], "diffusion": "turn it"}) if request.schema_name == "EditPlan" else answer

    def speck(request: EditRequest) -> bytes:
        sink = io.BytesIO()
        Image.new("RGB", (900, 3)).save(sink, format="PNG")
        return sink.getvalue()

    async with stage(bus, settings, tmp_path, pictures=draw_pictures(8), script=script, edit_image="editor") as on:
        on.llm.edit = speck
        batch = await craft_list(on.equipment, assignments(num=2), RULES)
        assert (batch.crafted, failures(batch)) == ((), {("edit_image", "no_image"): 2})
        assert not [request for request in on.llm.requests if request.schema_name == "Observations"]
