"""The evaluator with real models of both families, alone and as a living room."""

import asyncio
import io
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import grpc.aio
import pytest
import torch
from PIL import Image
from spiral.v1 import evaluator_pb2, evaluator_pb2_grpc

from deploy.local.base_model.architecture import Family
from services.evaluator.policy_model import Decoding, Prompt, greedy
from services.evaluator.service import build
from services.evaluator.settings import EvaluatorSettings
from services.evaluator.transformers_model import TransformersModel
from shared import wire
from shared.artifacts import Artifacts
from shared.bus import Bus
from shared.catalogue import Room
from shared.checkpoint import load_policy
from shared.domain import Candidate, Cell, ImageCategory, ModelVersion, Question, QuestionType
from shared.errors import BadConfiguration
from shared.events import EvaluationCompleted, ModelUpdated
from shared.presence import present
from shared.prompt import conversation
from shared.publisher import publish_event
from shared.rpc import open_channel
from shared.run_spec import EvaluationSpec
from shared.runs import BusRuns
from shared.runtime import run
from shared.settings import RoomSettings
from shared.store import open_store
from shared.tables import Probe, read_answers, write_probes
from tests.examples import CAUSE, run_spec
from tests.integration.tiny_policies import FAMILIES, questions, text_of, write_policy
from tests.rooms import said, serving

pytestmark = pytest.mark.torch

SAMPLED = Decoding(num_samples=3, temperature=1.0, max_new_tokens=4, seed=11)


@pytest.fixture(scope="module", params=FAMILIES)
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    family: Family = request.param
    return write_policy(tmp_path_factory.mktemp(family), family)


@pytest.fixture
async def policy() -> AsyncIterator[TransformersModel]:
    async with TransformersModel(dtype="auto", device="cpu", num_threads=1, max_loaded=2, max_image_pixels=1 << 20) as model:
        yield model


def prompts(num: int = 1) -> list[Prompt]:
    return [Prompt(candidate.image, text_of(candidate)) for candidate in questions(num)]


def test_a_saved_checkpoint_loads_by_the_auto_classes(checkpoint: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForImageTextToText, AutoProcessor

    model, processor = load_policy(checkpoint)
    processor.save_pretrained(tmp_path)
    model.save_pretrained(tmp_path)
    again = AutoProcessor.from_pretrained(tmp_path)
    asked = again.apply_chat_template(conversation("How many?"), add_generation_prompt=True, tokenize=False)
    picture = Image.new("RGB", (64, 64), "red")
    first, second = (one(text=[asked], images=[[picture]], return_tensors="pt") for one in (processor, again))
    assert torch.equal(first["input_ids"], second["input_ids"])
    assert torch.equal(first["pixel_values"], second["pixel_values"])
    loaded = AutoModelForImageTextToText.from_pretrained(tmp_path)
    assert torch.equal(model(**first).logits, loaded.eval()(**second).logits)


def test_a_device_that_is_not_there_is_a_wrong_setting(checkpoint: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    with pytest.raises(BadConfiguration, match="no CUDA device"):
        load_policy(checkpoint, device="cuda")


async def test_micro_batches_answer_as_one_question_at_a_time_does(checkpoint: Path, policy: TransformersModel) -> None:
    model, processor = load_policy(checkpoint)
    asked = prompts()[:8]
    batched = await policy.generate(checkpoint, asked, greedy(4), batch_size=8)
    for prompt, completions in zip(asked, batched, strict=True):
        text = processor.apply_chat_template(conversation(prompt.text), add_generation_prompt=True, tokenize=False)
        image = Image.open(io.BytesIO(prompt.image))
        inputs = processor(text=[text], images=[[image]], return_tensors="pt")
        sequence = model.generate(**inputs, max_new_tokens=4, do_sample=False)[0, inputs["input_ids"].shape[1] :]
        assert completions.texts == (processor.tokenizer.decode(sequence, skip_special_tokens=True).strip(),)


async def test_the_same_request_gives_the_same_answers_whatever_else_runs(checkpoint: Path, policy: TransformersModel) -> None:
    asked = prompts()
    alone = await policy.generate(checkpoint, asked, SAMPLED, batch_size=16)
    others = (replace(SAMPLED, seed=1), greedy(4), replace(SAMPLED, seed=2))
    crowded, *_ = await asyncio.gather(
        policy.generate(checkpoint, asked, SAMPLED, batch_size=16),
        *(policy.generate(checkpoint, asked[:5], other, batch_size=16) for other in others),
    )
    assert crowded == alone
    reseeded = await policy.generate(checkpoint, asked, replace(SAMPLED, seed=12), batch_size=16)
    assert reseeded != alone
    assert all(len(completions.texts) == 3 for completions in alone)


async def test_the_event_loop_stays_free_while_the_model_answers(checkpoint: Path, policy: TransformersModel) -> None:
    answering = asyncio.create_task(policy.generate(checkpoint, prompts(3), SAMPLED, batch_size=32))
    ticks = 0
    while not answering.done():
        await asyncio.sleep(0.005)
        ticks += 1
    assert ticks > 5
    await answering


async def test_an_unreadable_image_fails_alone(checkpoint: Path, policy: TransformersModel) -> None:
    whole, torn, foreign = prompts()[:3]
    asked = [replace(torn, image=torn.image[:50]), whole, replace(foreign, image=b"GIF89a")]
    answers = await policy.generate(checkpoint, asked, greedy(3), batch_size=8)
    assert [bool(answer.failure) for answer in answers] == [True, False, True]
    assert [len(answer.texts) for answer in answers] == [0, 1, 0]


def as_probe(candidate: Candidate, split: str) -> Probe:
    return Probe(
        candidate.candidate_id[:16],
        split,
        candidate.cell,
        candidate.image,
        candidate.question,
        candidate.choices,
        candidate.answer,
        candidate.tolerance,
    )


async def test_a_living_evaluator_evaluates_a_model_and_samples_answers(checkpoint: Path, bus: Bus, settings: RoomSettings) -> None:
    own = EvaluatorSettings(**settings.model_dump(exclude_unset=True), policy_device="cpu", policy_threads=1, evaluation_chunk_size=8)
    items = questions(1)
    async with open_store(own) as store:
        artifacts = Artifacts(store, cache_dir=own.work_dir / "cache", producer="cli")
        base = ModelVersion("r1/0", 0, await artifacts.commit_directory("runs/r1/base", checkpoint, cause=CAUSE))
        spec = replace(
            run_spec("r1"),
            base_checkpoint=base.checkpoint,
            probes=await artifacts.put_bytes(write_probes([as_probe(item, "core") for item in items[:20]])),
            exam=await artifacts.put_bytes(write_probes([as_probe(item, "exam") for item in items[20:]])),
            evaluation=EvaluationSpec(num_samples_per_probe=2, max_new_tokens=3, batch_size=16),
        )
        await BusRuns(bus).create(spec)
        await publish_event(bus, Room.CLI, CAUSE, ModelUpdated("r1", 0, base))
        stop = asyncio.Event()
        room = asyncio.create_task(run(Room.EVALUATOR, own, build, stop))
        try:
            _, completed = await said(bus, "r1", 2, timeout_s=60)
            assert isinstance(completed, EvaluationCompleted)
            rows = read_answers(await artifacts.read_bytes(completed.answers), "answers")
            exam = read_answers(await artifacts.read_bytes(completed.exam_answers), "exam")
            assert (len(rows), len(exam), completed.num_probes) == (60, 4, 20)
            await serving(bus, Room.EVALUATOR)
            (address,) = [one.grpc_address for one in await present(bus) if one.room == "evaluator"]
            async with open_channel(address) as channel:
                await _sampling_streams_and_refuses(evaluator_pb2_grpc.EvaluatorServiceStub(channel), base, items[0])
        finally:
            stop.set()
            assert await asyncio.wait_for(room, 30) == 0


async def _sampling_streams_and_refuses(stub: evaluator_pb2_grpc.EvaluatorServiceStub, base: ModelVersion, item: Candidate) -> None:
    def asked(name: str, image: bytes, answer: str = "3", **changes: object) -> evaluator_pb2.SampleAnswersRequest:
        cell = Cell(ImageCategory.GEOMETRIC, QuestionType.NUMERIC)
        question = Question(name, image, item.question, cell.question_type, (), answer, 0.0)
        values = {"num_rollouts": 5, "seed": 3, "temperature": 1.0, "max_new_tokens": 3, **changes}
        return evaluator_pb2.SampleAnswersRequest(model=wire.to_wire(base), questions=[wire.to_wire(question)], **values)

    async def answers(request: evaluator_pb2.SampleAnswersRequest) -> list[evaluator_pb2.SampleAnswersResponse]:
        return [response async for response in stub.SampleAnswers(request)]

    (first,), (second,) = await answers(asked("q", item.image)), await answers(asked("q", item.image))
    assert first == second
    assert (first.question_id, first.num_rollouts) == ("q", 5)
    (unreadable,) = await answers(asked("torn", item.image[:40]))
    assert unreadable.num_rollouts == 0
    nowhere = replace(base, checkpoint=replace(base.checkpoint, uri="spiral://manifests/nowhere.json", sha256="00" * 32))
    missing = asked("q", item.image)
    missing.model.CopyFrom(wire.to_wire(nowhere))
    for request, code in (
        (missing, grpc.StatusCode.NOT_FOUND),
        (asked("q", item.image, num_rollouts=0), grpc.StatusCode.INVALID_ARGUMENT),
        (asked("q", item.image, temperature=float("nan")), grpc.StatusCode.INVALID_ARGUMENT),
        (asked("q", item.image, answer="no number"), grpc.StatusCode.INVALID_ARGUMENT),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await answers(request)
        assert refused.value.code() is code, refused.value.details()
