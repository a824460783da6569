"""The README.md of a published checkpoint."""

from collections.abc import Sequence

from services.trainer.job import Job, StageSummary
from shared.domain import Recipe
from shared.prompt import PROMPT_TEMPLATE

_TRAINERS = {Recipe.TEACH: "supervised, on verified answers", Recipe.REINFORCE: "GRPO, typed rewards"}


def render_model_card(job: Job, stages: Sequence[StageSummary], *, num_new: int, num_replayed: int) -> str:
    """A model card in Hugging Face's format: where the model comes from, what it was trained on, and the figures of its training.

    The figures describe the training itself; what the model can do is said by the evaluation that follows.
    """
    spec = job.training
    rows = [
        f"| {_TRAINERS[stage.recipe]} | {stage.num_samples} | {stage.num_steps} | {stage.loss:.4f} "
        f"| {_figure(stage.reward)} | {_figure(stage.accuracy)} |"
        for stage in stages
    ]
    replay = "".join(f"\n- replayed from: `sha256:{digest}`" for digest in job.replay_sha256s)
    held_back = f"\n- not replayed, as too many of their labels are wrong: {', '.join(job.held_back)}" if job.held_back else ""
    return f"""---
library_name: transformers
pipeline_tag: image-text-to-text
base_model: {job.base_model_id}
tags:
- spiral
- dpe
- trl
---

# {job.training_id}

Trained by Spiral in iteration {job.training_id.rpartition("/")[2]} of run `{job.training_id.rpartition("/")[0]}`.

- base model: `{job.base_model_id}` (`sha256:{job.base_sha256}`)
- dataset: `sha256:{job.dataset_sha256}`, {num_new} samples{replay}
- replayed samples: {num_replayed} (share asked for: {job.replay_share:g}){held_back}
- prompt template: `{PROMPT_TEMPLATE}`
- seed: {job.seed}

| stage | samples | steps | last loss | last reward | last accuracy |
| --- | --- | --- | --- | --- | --- |
{chr(10).join(rows)}

Reward and accuracy are those of the last step's sampled completions, on training questions.

Settings: recipe `{spec.recipe}`;
supervised: {spec.sft_epochs} epochs, batch {spec.sft_batch_size}, learning rate {spec.sft_learning_rate:g};
GRPO: {spec.grpo_max_steps} steps, {spec.grpo_batch_size} completions a step, {spec.grpo_num_generations} a prompt, learning rate
{spec.grpo_learning_rate:g}.
"""


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
