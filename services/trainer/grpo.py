"""The reinforcement stage: TRL's GRPOTrainer with typed rewards."""

from datasets import Dataset, Features, Image, List, Value
from trl import GRPOConfig, GRPOTrainer

from services.trainer.examples import question_text
from services.trainer.replay import training_order
from services.trainer.rewards import typed_reward
from services.trainer.stage import Work, load_start, run_stage, trainer_arguments
from services.trainer.supervision import Supervision
from shared.tables import Sample

_FEATURES = Features(
    {
        "prompt": List({"role": Value("string"), "content": Value("string")}),
        "image": Image(),
        "answer": Value("string"),
        "question_type": Value("string"),
        "choices": List(Value("string")),
        "tolerance": Value("float64"),
    }
)


def train_reinforced(work: Work) -> None:
    """Trains on the stage's samples for `grpo_max_steps` steps; see `run_stage` for what is left and raised.

    Without a KL term (beta 0) no second model is kept; the learning rate and the number of steps bound the change.
    """
    spec, samples = work.job.training, work.stage.samples
    prompts_per_step = spec.grpo_batch_size // spec.grpo_num_generations
    order = training_order(len(samples), spec.grpo_max_steps * prompts_per_step, seed=work.job.seed)
    model, processor, checkpoint = load_start(work)
    supervision = Supervision(
        work.stage.recipe, num_samples=len(samples), samples_per_step=spec.grpo_batch_size, report=work.report, stop=work.stop
    )
    trainer = GRPOTrainer(
        model=model,
        reward_funcs=[typed_reward],
        args=GRPOConfig(
            **trainer_arguments(
                work, batch_size=spec.grpo_batch_size, num_steps=spec.grpo_max_steps, learning_rate=spec.grpo_learning_rate
            ),
            num_generations=spec.grpo_num_generations,
            generation_batch_size=spec.grpo_batch_size,
            max_completion_length=spec.max_new_tokens,
            temperature=1.0,
            beta=0.0,
            shuffle_dataset=False,
        ),
        train_dataset=_dataset([samples[index] for index in order]),
        processing_class=processor,
        callbacks=[supervision],
    )
    run_stage(trainer, work, supervision, checkpoint=checkpoint, num_steps=spec.grpo_max_steps)


def _dataset(samples: list[Sample]) -> Dataset:
    return Dataset.from_dict(
        {
            # TRL puts the image before a text content: the prompt of shared/prompt.py.
            "prompt": [[{"role": "user", "content": question_text(sample)}] for sample in samples],
            "image": [{"bytes": sample.image, "path": None} for sample in samples],
            "answer": [sample.answer for sample in samples],
            "question_type": [sample.cell.question_type.value for sample in samples],
            "choices": [list(sample.choices) for sample in samples],
            "tolerance": [sample.tolerance for sample in samples],
        },
        features=_FEATURES,
    )
