"""The README that travels with the base checkpoint."""

from pathlib import Path

from deploy.local.base_model.architecture import IMAGE_SIZE_PX
from deploy.local.base_model.recipe import phases

_CARD = """---
license: apache-2.0
library_name: transformers
pipeline_tag: image-text-to-text
---

# Spiral's base model

A {family} of {num_parameters:.1f} M parameters with its own tokenizer and processor, for {size}×{size} px drawn scenes. It exists so that
Spiral's whole loop runs on a real vision-language model on two CPU cores; it knows nothing of photographs or of the world.

Made by `make base-model` (`python -m deploy.local.base_model --family {family} --seed {seed}`): {num_lessons:,} lessons,
drawn by Spiral's rendered generator. Every category is described ("red circle left, blue star right"); questions come by a skewed
schedule, so that the model is good at some cells and has room in others. That is the point of it.

```python
from shared.checkpoint import load_policy  # or AutoModelForImageTextToText and, where torchvision stands, AutoProcessor

model, processor = load_policy("deploy/local/base_model/checkpoint")
```

Measured on 150 items a cell of difficulty 0.5, drawn with another seed than any lesson, by greedy decoding and by four samples at
temperature 1 (standard error of a cell at most .04):

{table}
"""


def write_model_card(directory: Path, family: str, seed: int, table: str) -> None:
    """Writes README.md into a checkpoint directory."""
    from safetensors import safe_open

    with safe_open(directory / "model.safetensors", framework="pt") as weights:
        num_parameters = sum(weights.get_tensor(name).numel() for name in weights.keys())  # noqa: SIM118
    num_lessons = sum(phase.pretraining.num_steps * phase.pretraining.batch_size for phase in phases(seed))
    text = _CARD.format(
        family=family,
        seed=seed,
        num_parameters=num_parameters / 1e6,
        size=IMAGE_SIZE_PX,
        num_lessons=num_lessons,
        table=table,
    )
    (directory / "README.md").write_text(text, encoding="utf-8")
