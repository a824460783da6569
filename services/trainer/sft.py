"""The supervised stage: TRL's SFTTrainer on verified answers."""

from datasets import Dataset
from trl import SFTConfig, SFTTrainer

from services.trainer.examples import AnswerCollator
from services.trainer.replay import training_order
from services.trainer.stage import Work, load_start, run_stage, trainer_arguments
from services.trainer.supervision import Supervision


def train_supervised(work: Work) -> None:
    """Trains on the stage's samples for `sft_epochs` passes; see `run_stage` for what is left and raised."""
    spec, samples = work.job.training, work.stage.samples
    num_steps = -(-len(samples) * spec.sft_epochs // spec.sft_batch_size)
    order = training_order(len(samples), num_steps * spec.sft_batch_size, seed=work.job.seed)
    model, processor, checkpoint = load_start(work)
    supervision = Supervision(
        work.stage.recipe, num_samples=len(samples), samples_per_step=spec.sft_batch_size, report=work.report, stop=work.stop
    )
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(
            **trainer_arguments(work, batch_size=spec.sft_batch_size, num_steps=num_steps, learning_rate=spec.sft_learning_rate),
            train_sampling_strategy="sequential",
            max_length=None,
            # The collator makes tokens and pixels itself, and only once for each sample.
            dataset_kwargs={"skip_prepare_dataset": True},
        ),
        data_collator=AnswerCollator(processor, samples),
        train_dataset=Dataset.from_dict({"sample": order}),
        processing_class=processor,
        callbacks=[supervision],
    )
    run_stage(trainer, work, supervision, checkpoint=checkpoint, num_steps=num_steps)
