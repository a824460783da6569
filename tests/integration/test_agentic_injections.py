"""Orders in captions, titles, students' answers and pictures stay data: no prompt, role, operation or address comes of them."""

import json
import re
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

from services.generators.agentic.agents.consultation import prompt
from services.generators.agentic.workshop import craft_list, rules_of
from shared.bus import Bus
from shared.domain import ErrorEvidence, ErrorExample, ErrorType, Guidance, ImageCategory, Interval, LeaseTask
from shared.run_spec import QualitySpec
from shared.settings import RoomSettings
from tests.agentic_stage import assignments, stage
from tests.injections import CANARY, INJECTIONS, in_picture
from tests.integration.test_agentic_lists import failures
from tests.integration.test_agentic_web import finder, on_the_web
from tests.pool_images import Picture, draw_pictures
from tests.scripted_llm import ChatRequest
from tests.scripted_llm.sighted import Sighted
from tests.search_server import SearchServer

NATURE = ImageCategory.NATURAL_SCENE
RULES = rules_of(QualitySpec(), 4)
QUOTE = re.compile(r"<<<quoted ([0-9a-f]{12}): [^\n]*>>>\n(?:\| [^\n]*\n|\|\s?\n)*<<<end \1>>>")
PROMPTS = {
    "Blueprint": "blueprint",
    "Selection": "select",
    "Look": "look",
    "EditPlan": "edit",
    "Observations": "observe",
    "MultipleChoiceItem": "ask",
    "NumericItem": "ask",
    "TextItem": "ask",
    "Solution": "solve",
}


def ours(request: ChatRequest) -> str:
    """What a request says outside of quotes."""
    return QUOTE.sub("", "\n".join(request.texts)) + request.system


def check_requests(requests: list[ChatRequest]) -> None:
    """Whatever strangers wrote, each agent is instructed by its own prompt, and nothing of theirs stands outside of quotes."""
    for request in requests:
        assert request.system == prompt(PROMPTS[request.schema_name])
        told = ours(request)
        assert "<|" not in "\n".join(request.texts), "a mark of a chat template, which servers would read as one"
        assert CANARY not in told and CANARY.lower() not in told.lower()
        assert not re.search("ignore (all )?previous|im_start|SYS>>|attacker|169.254", told, re.IGNORECASE)


def with_orders(num: int) -> list[Picture]:
    """Pictures whose captions, licences aside, give orders; each order once or more."""
    pictures = draw_pictures(num, categories=(NATURE,))
    return [replace(picture, caption=INJECTIONS[number % len(INJECTIONS)].text) for number, picture in enumerate(pictures)]


GUIDANCE = Guidance(
    0.4,
    Interval(0.3, 0.5, 0.95),
    tuple(
        ErrorEvidence(ErrorType.WRONG_VALUE, 3, (ErrorExample(ErrorType.WRONG_VALUE, injection.text, injection.text),))
        for injection in INJECTIONS
    ),
)


async def test_orders_in_captions_and_answers_stay_between_their_fences(bus: Bus, settings: RoomSettings, tmp_path: Path) -> None:
    async with stage(bus, settings, tmp_path, pictures=with_orders(2 * len(INJECTIONS))) as on:
        for seed in range(5):
            wanted = assignments(num=8, seed=seed, guidance=GUIDANCE)
            batch = await craft_list(on.equipment, wanted, rules_of(QualitySpec(), 8))
            assert len(batch.crafted) == 8, batch.failures
            assert not any(CANARY in crafted.candidate.question + crafted.candidate.answer for crafted in batch.crafted)
        check_requests(on.llm.requests)
        shown = "\n".join(text for request in on.llm.requests for text in request.texts)
        assert CANARY in shown, "the orders were shown to the models, as data"


async def test_orders_in_titles_of_the_web_stay_between_their_fences(bus: Bus, settings: RoomSettings, tmp_path: Path) -> None:
    images = [replace(image, title=INJECTIONS[number].text) for number, image in enumerate(on_the_web(len(INJECTIONS)))]
    async with AsyncExitStack() as opened:
        server = opened.enter_context(SearchServer(images=images, find=lambda query, found: found))
        web = await finder(opened, server)
        async with stage(bus, settings, tmp_path, web=web) as on:
            for seed in range(3):
                await craft_list(on.equipment, assignments(num=4, seed=seed), RULES)
            check_requests(on.llm.requests)
            assert {seen.path for seen in server.requests} <= {"/search", *(f"/images/{image.name}" for image in images)}


async def test_a_model_that_obeys_every_order_in_sight_makes_no_candidate_and_reaches_nothing(
    bus: Bus, settings: RoomSettings, tmp_path: Path
) -> None:
    """The planner, the editor and the asker are taken in altogether; the reader is not."""
    evil = {
        "Blueprint": {"tests": f"say {CANARY}", "pool_query": CANARY, "web_query": f"http://169.254.169.254/{CANARY}", "edit": CANARY},
        "EditPlan": {
            "ops": [
                {"op": "place_text", "x": 0.5, "y": 0.5, "text": CANARY, "height": 0.1, "color": "black", "background": "white"},
                {"op": "fetch", "url": f"http://169.254.169.254/{CANARY}"},
            ],
            "diffusion": "",
        },
        "NumericItem": {"evidence": CANARY, "question": f"What is {CANARY}?", "answer": "7731", "tolerance": 0},
    }

    def script(request: ChatRequest) -> str:
        obeys = request.schema_name in evil
        return json.dumps(evil[request.schema_name]) if obeys else Sighted()(request)

    async with AsyncExitStack() as opened:
        server = opened.enter_context(SearchServer(images=on_the_web(4), find=lambda query, found: found))
        web = await finder(opened, server)
        async with stage(bus, settings, tmp_path, pictures=with_orders(30), script=script, web=web) as on:
            make = await craft_list(on.equipment, assignments(num=4), RULES)
            assert (make.crafted, set(failures(make))) == ((), {("edit", "schema")})
            annotate = await craft_list(on.equipment, assignments(num=4, task=LeaseTask.ANNOTATE), RULES)
            assert (annotate.crafted, failures(annotate)) == ((), {("solve", "disagreement"): 4})
            assert {seen.path for seen in server.requests} <= {"/search", *(f"/images/{image.name}" for image in server.images)}
            assert all(request.system == prompt(PROMPTS[request.schema_name]) for request in on.llm.requests)


async def test_pictures_of_orders_are_looked_at_and_nothing_more(bus: Bus, settings: RoomSettings, tmp_path: Path) -> None:
    pictures = [
        replace(picture, image=in_picture(injection), caption="a picture", category=NATURE)
        for picture, injection in zip(draw_pictures(len(INJECTIONS), categories=(NATURE,)), INJECTIONS, strict=True)
    ]
    async with stage(bus, settings, tmp_path, pictures=pictures) as on:
        for task in (None, LeaseTask.ANNOTATE):
            batch = await craft_list(on.equipment, assignments(num=4, task=task), RULES)
            assert (batch.crafted, failures(batch)) == ((), {("select", "no_image"): 4})
        check_requests(on.llm.requests)
