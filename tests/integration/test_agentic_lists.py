"""Lists of candidates, made by agents over real HTTP: what is made is true, traceable and made again alike; what can't be is counted."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from services.generators.agentic.crafting import Batch
from services.generators.agentic.tools.edits import replay
from services.generators.agentic.workshop import craft_list, rules_of
from shared.answers import check_reference, grade
from shared.artifacts import Artifacts, blob_ref
from shared.bus import Bus
from shared.domain import (
    Candidate,
    ErrorEvidence,
    ErrorExample,
    ErrorType,
    Guidance,
    ImageCategory,
    Interval,
    LeaseTask,
    QuestionType,
)
from shared.run_spec import QualitySpec
from shared.settings import RoomSettings
from tests.agentic_stage import assignments, stage
from tests.pool_images import draw_picture, draw_pictures
from tests.scripted_llm import ChatRequest
from tests.scripted_llm.sight import look
from tests.scripted_llm.sighted import Sighted, answer_of

RULES = rules_of(QualitySpec(), 4)
EACH_TYPE = pytest.mark.parametrize("question_type", list(QuestionType))


def is_true(candidate: Candidate) -> bool:
    """Whether its label is what its image shows."""
    asked = "\n".join([candidate.question, *(f"{letter}. {choice}" for letter, choice in zip("ABCDEF", candidate.choices, strict=False))])
    said = answer_of(asked, look(candidate.image))
    return (
        said is not None
        and grade(said, question_type=candidate.cell.question_type, answer=candidate.answer, choices=candidate.choices).is_correct
    )


async def remade(artifacts: Artifacts, candidate: Candidate) -> bytes:
    """A candidate's image, made again from what its provenance says."""
    provenance = json.loads(candidate.provenance)
    digest = provenance["source"]["image_sha256"]

    async def read(digest: str) -> bytes:
        return await artifacts.read_bytes(blob_ref(digest, 0))

    source = await read(digest)
    named = {edit.get("source_sha256") or edit.get("result_sha256") for edit in provenance["edits"]} - {None}
    sources = {one: await read(one) for one in named}
    return replay(source, provenance["edits"], read_source=sources.__getitem__) if provenance["edits"] else source


def failures(batch: Batch) -> dict[tuple[str, str], int]:
    return {(failure.role, failure.reason): failure.count for failure in batch.failures}


@EACH_TYPE
async def test_every_category_gets_true_candidates_of_its_own_images(
    bus: Bus, settings: RoomSettings, tmp_path: Path, question_type: QuestionType
) -> None:
    async with stage(bus, settings, tmp_path, pictures=draw_pictures(6)) as on:
        for category in ImageCategory:
            batch = await craft_list(on.equipment, assignments(category, question_type), RULES)
            assert len(batch.crafted) == 4, batch.failures
            for crafted in batch.crafted:
                candidate = crafted.candidate
                assert look(candidate.image).category is category
                assert is_true(candidate)
                assert candidate.scene == ""
                reference = {"question_type": question_type, "answer": candidate.answer, "choices": candidate.choices}
                assert check_reference(**reference, tolerance=candidate.tolerance) is None
                assert await remade(on.artifacts, candidate) == candidate.image


async def test_a_list_that_is_made_again_costs_nothing_and_is_the_same(bus: Bus, settings: RoomSettings, tmp_path: Path) -> None:
    async with stage(bus, settings, tmp_path, pictures=draw_pictures(6)) as on:
        first = await craft_list(on.equipment, assignments(num=6), RULES)
        num_asked = len(on.llm.requests)
    assert sum(spend.num_calls for spend in first.spent) == num_asked == 6 * 5
    # A new process: nothing of the first one is left but store and broker.
    async with stage(bus, settings, tmp_path) as on:
        again = await craft_list(on.equipment, assignments(num=6), RULES)
        assert on.llm.requests == []
        other = await craft_list(on.equipment, assignments(num=6, seed=6), RULES)
        assert len(on.llm.requests) == 6 * 5
    assert [one.candidate.candidate_id for one in again.crafted] == [one.candidate.candidate_id for one in first.crafted]
    assert again.spent == ()
    assert {one.candidate.candidate_id for one in first.crafted} != {one.candidate.candidate_id for one in other.crafted}


async def test_provenance_tells_source_models_calls_and_cost(bus: Bus, settings: RoomSettings, tmp_path: Path) -> None:
    pictures = draw_pictures(3)
    async with stage(bus, settings, tmp_path, pictures=pictures) as on:
        batch = await craft_list(on.equipment, assignments(num=3), RULES)
    by_image = {picture.page_url: picture for picture in pictures}
    for crafted in batch.crafted:
        told = json.loads(crafted.candidate.provenance)
        assert told["generator"] == {"kind": "agentic", "version": "1.0.0"}
        picture = by_image[told["source"]["page_url"]]
        assert (told["source"]["origin"], told["task"], told["licence"]) == ("pool", "make", picture.licence)
        assert told["source"]["caption"] == picture.caption
        assert told["models"] == {
            "blueprint": "scripted",
            "select": "scripted",
            "observe": "scripted",
            "ask": "scripted",
            "solve": "solver",
        }
        assert [call["role"] for call in told["calls"]] == ["blueprint", "select", "observe", "ask", "solve"]
        assert sum(spend["num_calls"] for spend in told["spent"]) == 5 and all(spend["cost_usd"] > 0 for spend in told["spent"])
        assert all(ref.sha256 == path.removeprefix("sources/") for path, ref in crafted.sources.items())


async def test_the_weakness_is_told_to_those_who_plan_and_ask_and_to_nobody_else(bus: Bus, settings: RoomSettings, tmp_path: Path) -> None:
    example = ErrorExample(ErrorType.NEAR_MISS, "seventeen-sheep", "sixteen-goats")
    guidance = Guidance(0.31, Interval(0.2, 0.44, 0.95), (ErrorEvidence(ErrorType.NEAR_MISS, 9, (example,)),))
    async with stage(bus, settings, tmp_path, pictures=draw_pictures(3)) as on:
        await craft_list(on.equipment, assignments(num=3, guidance=guidance), RULES)
        told = {request.schema_name for request in on.llm.requests if "sixteen-goats" in "".join(request.texts)}
        rate = {request.schema_name for request in on.llm.requests if "31%" in "".join(request.texts)}
        assert told == rate == {"Blueprint", "NumericItem"}
        assert not any("sheep" in request.system for request in on.llm.requests)


async def test_the_asker_sees_the_image_and_the_solver_nothing_else_beside_the_question(
    bus: Bus, settings: RoomSettings, tmp_path: Path
) -> None:
    async with stage(bus, settings, tmp_path, pictures=draw_pictures(3)) as on:
        batch = await craft_list(on.equipment, assignments(num=3), RULES)
        asked = [request for request in on.llm.requests if request.schema_name == "NumericItem"]
        solved = [request for request in on.llm.requests if request.schema_name == "Solution"]
    images = {crafted.candidate.image for crafted in batch.crafted}
    assert {request.images for request in asked} == {request.images for request in solved} == {(image,) for image in images}
    assert {request.model for request in asked} == {"scripted"} and {request.model for request in solved} == {"solver"}
    captions = {json.loads(crafted.candidate.provenance)["source"]["caption"] for crafted in batch.crafted}
    for request in solved:
        text = "".join(request.texts)
        assert any(crafted.candidate.question in text for crafted in batch.crafted)
        assert not any(caption in text for caption in captions) and "evidence" not in text and "Answer with a number." in text


@EACH_TYPE
async def test_an_asker_that_errs_is_told_once_and_then_fails(
    bus: Bus, settings: RoomSettings, tmp_path: Path, question_type: QuestionType
) -> None:
    shape = {QuestionType.MULTIPLE_CHOICE: "MultipleChoiceItem", QuestionType.NUMERIC: "NumericItem", QuestionType.TEXT: "TextItem"}
    always = Sighted(errors={shape[question_type]: 1.0})
    async with stage(bus, settings, tmp_path, pictures=draw_pictures(5), script=always) as on:
        batch = await craft_list(on.equipment, assignments(question_type=question_type), RULES)
        assert (batch.crafted, failures(batch)) == ((), {("solve", "disagreement"): 4})
        asked = [request for request in on.llm.requests if request.schema_name == shape[question_type]]
        assert len(asked) == 8 and sum("Another reader" in request.texts[-1] for request in asked) == 4


async def test_an_asker_that_corrects_itself_is_believed(bus: Bus, settings: RoomSettings, tmp_path: Path) -> None:
    sighted, liar = Sighted(), Sighted(errors={"NumericItem": 1.0})

    def script(request: ChatRequest) -> str:
        return (sighted if "Another reader" in request.texts[-1] else liar)(request)

    async with stage(bus, settings, tmp_path, pictures=draw_pictures(5), script=script) as on:
        batch = await craft_list(on.equipment, assignments(), RULES)
        assert len(batch.crafted) == 4 and all(is_true(crafted.candidate) for crafted in batch.crafted)


async def test_planted_errors_of_asker_and_solver_leave_few_wrong_labels(bus: Bus, settings: RoomSettings, tmp_path: Path) -> None:
    script = Sighted(errors={"NumericItem": 0.3, "Solution": 0.2})
    async with stage(bus, settings, tmp_path, pictures=draw_pictures(30)) as on:
        on.llm.answer = script
        made = []
        for seed in range(6):
            batch = await craft_list(on.equipment, assignments(num=8, seed=seed), rules_of(QualitySpec(), 8))
            made += [crafted.candidate for crafted in batch.crafted]
        assert 30 <= len(made) < 48
        assert all(is_true(candidate) for candidate in made)


@pytest.mark.parametrize("is_labelled", [True, False])
async def test_annotation_asks_about_images_as_they_are_by_their_looks(
    bus: Bus, settings: RoomSettings, tmp_path: Path, is_labelled: bool
) -> None:
    few = (ImageCategory.MAP, ImageCategory.DIAGRAM, ImageCategory.MEDICAL)
    pictures = draw_pictures(12, categories=few)
    async with stage(bus, settings, tmp_path, pictures=pictures, is_labelled=is_labelled, script=Sighted(wants_edit="blur it")) as on:
        wanted = assignments(ImageCategory.MAP, num=4, task=LeaseTask.ANNOTATE, image_size_px=256)
        batch = await craft_list(on.equipment, wanted, RULES)
        assert len(batch.crafted) == 4, batch.failures
        assert {request.schema_name for request in on.llm.requests} == {"Look", "NumericItem", "Solution"}
        num_looks = sum(request.schema_name == "Look" for request in on.llm.requests)
        # What an image shows holds for every lease, so nobody looks again.
        await craft_list(on.equipment, [replace(one, seed=8, run_id="r2", list_id="other") for one in wanted], RULES)
        assert sum(request.schema_name == "Look" for request in on.llm.requests) <= len(pictures) if not is_labelled else num_looks + 4
    originals = {picture.image for picture in pictures}
    for crafted in batch.crafted:
        told = json.loads(crafted.candidate.provenance)
        assert (told["task"], told["edits"], told["source"]["origin"]) == ("annotate", [], "pool")
        assert crafted.candidate.image in originals and look(crafted.candidate.image).category is ImageCategory.MAP
        assert is_true(crafted.candidate)


async def test_an_image_that_somebody_put_into_the_wrong_category_is_seen_for_what_it_is(
    bus: Bus, settings: RoomSettings, tmp_path: Path
) -> None:
    wrong = [replace(picture, category=ImageCategory.MAP) for picture in draw_pictures(12, categories=(ImageCategory.GEOMETRIC,))]
    for task in (None, LeaseTask.ANNOTATE):
        async with stage(bus, settings, tmp_path, pictures=wrong) as on:
            batch = await craft_list(on.equipment, assignments(ImageCategory.MAP, num=3, task=task), RULES)
            assert (batch.crafted, failures(batch)) == ((), {("select", "no_image"): 3})


async def test_images_that_look_alike_are_asked_about_once(bus: Bus, settings: RoomSettings, tmp_path: Path) -> None:
    one = draw_picture(1, ImageCategory.NATURAL_SCENE)
    sizes = [draw_picture(1, ImageCategory.NATURAL_SCENE, side_px=side) for side in (240, 224, 208)]
    async with stage(bus, settings, tmp_path, pictures=[one, *sizes]) as on:
        batch = await craft_list(on.equipment, assignments(num=4), RULES)
        assert len(batch.crafted) == 1


async def test_images_that_the_run_does_not_let_in_are_not_looked_at(bus: Bus, settings: RoomSettings, tmp_path: Path) -> None:
    pictures = draw_pictures(9, categories=(ImageCategory.NATURAL_SCENE,))
    rules = rules_of(QualitySpec(allowed_licences=("CC0*",)), 4)
    async with stage(bus, settings, tmp_path, pictures=pictures) as on:
        batch = await craft_list(on.equipment, assignments(num=3), rules)
        assert {json.loads(crafted.candidate.provenance)["licence"] for crafted in batch.crafted} == {"CC0-1.0"}
        assert len(batch.crafted) == 3
        num_asked = len(on.llm.requests)
        none = await craft_list(on.equipment, assignments(num=3), rules_of(QualitySpec(allowed_licences=("MIT",)), 4))
        assert len(on.llm.requests) == num_asked
        assert failures(none) == {("select", "no_image"): 3}


async def test_an_image_that_vanished_costs_one_candidate(bus: Bus, settings: RoomSettings, tmp_path: Path) -> None:
    async with stage(bus, settings, tmp_path, pictures=draw_pictures(3)) as on:
        dealt = on.equipment.pool.of_category(ImageCategory.NATURAL_SCENE, limit=1)[0]
        for digest in (dealt.image_sha256, dealt.thumbnail.sha256):
            (tmp_path / "objects/blobs/sha256" / digest[:2] / digest).unlink()
        for task in (None, LeaseTask.ANNOTATE):
            batch = await craft_list(on.equipment, assignments(num=3, task=task), RULES)
            assert (len(batch.crafted), failures(batch)) == (2, {("select", "image_lost"): 1})
