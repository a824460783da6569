"""The trainer with real trainings of tiny models: what it learns, what it says, and what it survives."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from spiral.v1 import trainer_pb2

from deploy.local.base_model.architecture import Family, build_model, build_processor
from deploy.local.base_model.tokenizer import train_tokenizer
from services.generators.rendered.candidates import CELLS
from services.trainer.child_process import Cancelled
from services.trainer.sealed import newest_checkpoint
from shared.checkpoint import load_policy
from shared.domain import Recipe
from shared.errors import NotFound, Rejected, Retryable
from shared.events import Event, ModelUpdated, TrainingProgressed
from shared.prompt import conversation, render_question
from shared.run_spec import TrainingSpec
from shared.service import Keyed
from shared.tables import SAMPLES, Sample, write_samples
from tests.integration.trainer_room import RUN, TrainerRoom, open_trainer
from tests.unit.trainer.drawn import draw_samples

pytestmark = [pytest.mark.torch, pytest.mark.timeout(600)]

BOTH = TrainingSpec(sft_epochs=3, save_every_steps=2, grpo_batch_size=32, grpo_num_generations=4, grpo_max_steps=4)


@pytest.fixture(scope="session")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[Family, Path]:
    """A randomly initialised checkpoint of each family."""
    samples = draw_samples(300, seed=5)
    tokenizer = train_tokenizer([f"{text_of(sample)} {sample.answer}" for sample in samples], 480)
    paths: dict[Family, Path] = {}
    for family in ("qwen3_vl", "qwen2_5_vl"):
        paths[family] = tmp_path_factory.mktemp(family)
        build_model(family, len(tokenizer), 0).save_pretrained(paths[family])
        build_processor(family, tokenizer).save_pretrained(paths[family])
    return paths


@pytest.fixture(scope="session")
def mixed() -> list[Sample]:
    """Samples for both stages."""
    return [*draw_samples(40, seed=1), *draw_samples(24, seed=2, recipe=Recipe.REINFORCE)]


def text_of(sample: Sample) -> str:
    return render_question(sample.question, sample.cell.question_type, sample.choices)


async def weights_of(room: TrainerRoom, model: Event) -> dict[str, Any]:
    from safetensors.torch import load_file

    assert isinstance(model, ModelUpdated)
    return load_file(await room.artifacts.fetch_directory(model.model.checkpoint) / "model.safetensors")


def is_same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    return first.keys() == second.keys() and all(bool((tensor == second[name]).all()) for name, tensor in first.items())


def greedy_accuracy(checkpoint: Path, samples: list[Sample]) -> float:
    """Share of exact answers, asked as the evaluator asks."""
    import torch

    from services.trainer.examples import decode

    model, processor = load_policy(checkpoint)
    texts = [processor.apply_chat_template(conversation(text_of(s)), add_generation_prompt=True, tokenize=False) for s in samples]
    inputs = processor(text=texts, images=[[decode(s.image)] for s in samples], padding=True, return_tensors="pt")
    with torch.no_grad():
        answered = model.generate(**inputs, max_new_tokens=12, do_sample=False)[:, inputs["input_ids"].shape[1] :]
    said = processor.batch_decode(answered, skip_special_tokens=True)
    return sum(text.strip() == sample.answer for text, sample in zip(said, samples, strict=True)) / len(samples)


async def take(said: AsyncIterator[Event | Keyed], recipe: Recipe, step: int) -> TrainingProgressed:
    """Reads on to a stage's step."""
    async for consequence in said:
        if isinstance(consequence, Keyed):
            progress = consequence.event
            assert isinstance(progress, TrainingProgressed)
            if progress.recipe is recipe and progress.step >= step:
                return progress
    raise AssertionError(f"{recipe} step {step} never came")


async def test_supervised_training_learns_its_samples_and_publishes_once(tmp_path: Path, bases: dict[Family, Path]) -> None:
    samples = draw_samples(32, seed=3, cells=CELLS[:2])
    training = TrainingSpec(recipe="sft", sft_epochs=45, sft_batch_size=16, sft_learning_rate=3e-3, save_every_steps=500)
    async with open_trainer(tmp_path, bases["qwen3_vl"], training) as room:
        event = await room.dataset(samples)
        progress, updated = await room.outcome(event)

        assert isinstance(updated, ModelUpdated)
        assert (updated.model.model_id, updated.model.iteration, updated.model.parent_model_id) == (f"{RUN}/1", 1, f"{RUN}/0")
        assert updated.dataset == event.dataset
        losses = [keyed.event.loss for keyed in progress if isinstance(keyed.event, TrainingProgressed)]
        assert losses[-1] < 0.2 * losses[0]
        assert progress[-1].key == "teach/90"
        assert len({keyed.key for keyed in progress}) == len(progress) <= 90

        checkpoint = await room.artifacts.fetch_directory(updated.model.checkpoint)
        assert greedy_accuracy(checkpoint, samples) >= 0.9
        card = (checkpoint / "README.md").read_text(encoding="utf-8")
        assert event.dataset.sha256 in card
        assert not list(checkpoint.rglob("*.bin"))
        assert room.working_directories() == []

        # Delivered again, and on the next start: the same announcement, without another training.
        assert await room.outcome(event) == ([], updated)
        ((cause, said),) = await room.trainer.reconcile(room.spec)
        assert (cause.event_id, said) == ("dataset-event", [updated])
        state = await room.servicer.GetTraining(trainer_pb2.GetTrainingRequest(training_id=f"{RUN}/1"), None)  # type: ignore[arg-type]
        assert (state.state, state.step, state.num_steps) == (trainer_pb2.TRAINING_STATE_SUCCEEDED, 90, 90)


async def test_a_training_that_was_stopped_ends_with_the_weights_of_an_undisturbed_one(
    tmp_path: Path, bases: dict[Family, Path], mixed: list[Sample]
) -> None:
    async with open_trainer(tmp_path / "undisturbed", bases["qwen3_vl"], BOTH) as room:
        progress, updated = await room.outcome(await room.dataset(mixed))
        undisturbed = await weights_of(room, updated)
        reinforced = [
            keyed.event for keyed in progress if isinstance(keyed.event, TrainingProgressed) and keyed.key.startswith("reinforce/")
        ]
        assert [event.step for event in reinforced] == [1, 2, 3, 4]
        for event in reinforced:
            assert event.reward is not None
            assert event.accuracy is not None
            assert 0 <= event.accuracy <= event.reward <= 1

    async with open_trainer(tmp_path / "disturbed", bases["qwen3_vl"], BOTH) as room:
        dataset = await room.dataset(mixed)
        async with aclosing(room.handle(dataset)) as said:
            await take(said, Recipe.TEACH, 3)
        (working,) = room.working_directories()
        saved = newest_checkpoint(working / "stage-0-teach")
        assert saved is not None
        # The newest checkpoint is torn, as by a crash while saving: the one before counts.
        torn = saved.with_name("checkpoint-5")
        torn.mkdir(exist_ok=True)
        (torn / "model.safetensors").write_bytes(b"torn")
        _, updated = await room.outcome(dataset)
        assert is_same(await weights_of(room, updated), undisturbed)


async def test_a_training_that_was_killed_ends_with_the_weights_of_an_undisturbed_one(
    tmp_path: Path, bases: dict[Family, Path], mixed: list[Sample]
) -> None:
    async with open_trainer(tmp_path / "undisturbed", bases["qwen2_5_vl"], BOTH) as room:
        _, updated = await room.outcome(await room.dataset(mixed))
        undisturbed = await weights_of(room, updated)

    async with open_trainer(tmp_path / "disturbed", bases["qwen2_5_vl"], BOTH) as room:
        dataset = await room.dataset(mixed)
        with pytest.raises(Retryable, match="code -9"):
            async for consequence in room.handle(dataset):
                assert isinstance(consequence, Keyed)
                if consequence.key == "reinforce/3":
                    os.kill(child_of_this_process(), signal.SIGKILL)
        progress, updated = await room.outcome(dataset)
        assert progress[0].key == "reinforce/3"
        assert is_same(await weights_of(room, updated), undisturbed)


def child_of_this_process() -> int:
    """The training process."""
    import psutil

    (child,) = [child for child in psutil.Process().children() if "services.trainer.training_process" in child.cmdline()]
    return int(child.pid)


async def test_a_cancelled_training_is_not_taken_up_again(tmp_path: Path, bases: dict[Family, Path], mixed: list[Sample]) -> None:
    async with open_trainer(tmp_path, bases["qwen3_vl"], replace(BOTH, sft_epochs=1000)) as room:
        event = await room.dataset(mixed)
        said = room.handle(event)
        await take(said, Recipe.TEACH, 1)
        request = trainer_pb2.CancelTrainingRequest(training_id=f"{RUN}/1")
        await room.servicer.CancelTraining(request, None)  # type: ignore[arg-type]
        with pytest.raises(Cancelled, match="cancelled"):
            await take(said, Recipe.TEACH, 1000)
        state = await room.servicer.GetTraining(trainer_pb2.GetTrainingRequest(training_id=f"{RUN}/1"), None)  # type: ignore[arg-type]
        assert state.state == trainer_pb2.TRAINING_STATE_CANCELLED
        assert room.working_directories() == []
        with pytest.raises(Rejected, match="cancelled"):
            await room.outcome(event)
        with pytest.raises(NotFound):
            await room.servicer.CancelTraining(request, None)  # type: ignore[arg-type]


async def test_nothing_is_published_where_the_loss_is_not_a_number(tmp_path: Path, bases: dict[Family, Path], mixed: list[Sample]) -> None:
    model, processor = load_policy(bases["qwen3_vl"])
    model.lm_head.weight.data[3, 5] = float("nan")
    broken = tmp_path / "broken"
    model.save_pretrained(broken)
    processor.save_pretrained(broken)
    async with open_trainer(tmp_path / "room", broken, BOTH) as room:
        with pytest.raises(Rejected, match="loss is nan at teach step 1"):
            await room.outcome(await room.dataset(mixed))
        assert await room.artifacts.find(f"runs/{RUN}/1/checkpoint") is None
        assert room.working_directories() == []


def without_column(samples: list[Sample]) -> bytes:
    import io

    import pyarrow.parquet as pq

    sink = io.BytesIO()
    pq.write_table(pq.read_table(io.BytesIO(write_samples(samples))).drop_columns(["answer"]), sink)
    return sink.getvalue()


async def test_nothing_of_a_cell_that_is_held_back_is_trained_on_again(tmp_path: Path, bases: dict[Family, Path]) -> None:
    held, kept = CELLS[:2]
    training = TrainingSpec(recipe="sft", sft_epochs=1, sft_batch_size=8, save_every_steps=500)
    async with open_trainer(tmp_path, bases["qwen3_vl"], training) as room:
        earlier = [*draw_samples(6, seed=1, cells=[held]), *draw_samples(4, seed=2, cells=[kept])]
        before = await room.dataset(earlier)
        now = await room.dataset(draw_samples(8, seed=3, cells=[kept], iteration=2), iteration=2)
        ready = replace(now, replay_datasets=(before.dataset,), replay_share=0.5, held_back=(held,))
        _, updated = await room.outcome(ready)
        assert isinstance(updated, ModelUpdated)
        (stage,) = (await room.artifacts.manifest(updated.model.checkpoint)).metadata["stages"]
        assert stage["num_samples"] == 8 + 4, "all that is new, and of the ten earlier samples the four of the other cell"
        card = (await room.artifacts.fetch_directory(updated.model.checkpoint) / "README.md").read_text(encoding="utf-8")
        assert f"not replayed, as too many of their labels are wrong: {held}" in card


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (lambda drawn: write_samples([]), "no sample"),
        (lambda drawn: b"PAR1 but torn", "samples.parquet is not a Parquet file"),
        (without_column, "samples.parquet lacks the column 'answer'"),
        (lambda drawn: write_samples([drawn[0], replace(drawn[1], image=b"\x89PNG torn")]), "row 1, column 'images'"),
        (lambda drawn: write_samples([drawn[0], replace(drawn[1], answer="")]), "row 1, column 'answer'"),
    ],
    ids=["empty", "no parquet", "no answers", "undecodable", "no answer"],
)
async def test_a_bad_dataset_is_refused_by_file_row_and_column(
    tmp_path: Path, bases: dict[Family, Path], payload: Any, message: str
) -> None:
    assert "answer" in SAMPLES.names
    async with open_trainer(tmp_path, bases["qwen3_vl"], BOTH) as room:
        with pytest.raises(Rejected, match=message):
            await room.outcome(await room.dataset_of(payload(draw_samples(2, seed=1))))
        assert room.working_directories() == []


async def test_the_prompt_trained_is_the_prompt_evaluated(bases: dict[Family, Path]) -> None:
    from trl.data_utils import prepare_multimodal_messages

    from services.trainer.examples import AnswerCollator, decode

    (sample,) = draw_samples(1, seed=9)
    _, processor = load_policy(bases["qwen3_vl"])
    text = processor.apply_chat_template(conversation(text_of(sample)), add_generation_prompt=True, tokenize=False)
    evaluated = processor(text=[text], images=[decode(sample.image)])["input_ids"][0]

    batch = AnswerCollator(processor, [sample])([{"sample": 0}])
    is_answer = batch["labels"][0] != -100
    assert batch["input_ids"][0][~is_answer].tolist() == evaluated
    assert processor.tokenizer.decode(batch["labels"][0][is_answer]) == f"{sample.answer}<|im_end|>"

    # What GRPOTrainer makes of the text content that it is given.
    messages = prepare_multimodal_messages([{"role": "user", "content": text_of(sample)}], images=[decode(sample.image)])
    reinforced = processor.apply_chat_template([messages], add_generation_prompt=True, tokenize=True, return_dict=True)["input_ids"][0]
    assert reinforced == evaluated
