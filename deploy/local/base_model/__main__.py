"""`make base-model`: makes the shipped base checkpoint again, from nothing but a seed.

    python -m deploy.local.base_model [--family qwen3_vl] [--seed 0] [--out DIR] [--threads 2] [--measure-only]

Draws its lessons, learns a tokenizer, trains for about three quarters of an hour on two cores, measures every cell and writes the
directory that `deploy/local/base_model/checkpoint` ships. A stopped run continues with the same command. The same seed draws the same
lessons in the same order; weights agree between machines up to rounding.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent
_MEASURED_ITEMS = 150
_MEASURED_SAMPLES = 4
_MEASURED_SEED = 2_602_22859


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deploy.local.base_model", description="Makes the shipped base checkpoint.")
    parser.add_argument("--family", choices=("qwen3_vl", "qwen2_5_vl"), default="qwen3_vl")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=_HERE / "checkpoint")
    parser.add_argument("--work-dir", type=Path, default=Path(".spiral/base_model"), help="where a stopped run is kept")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--measure-only", action="store_true", help="measure the checkpoint in --out")
    return parser.parse_args()


def main() -> None:
    """Trains, measures, writes; with --measure-only just measures."""
    arguments = _arguments()
    import torch

    from deploy.local.base_model.measurement import is_mixed, measure, table
    from deploy.local.base_model.model_card import write_model_card

    torch.set_num_threads(arguments.threads)
    if not arguments.measure_only:
        _train(arguments)
    scores = measure(
        arguments.out, num_items=_MEASURED_ITEMS, num_samples=_MEASURED_SAMPLES, seed=_MEASURED_SEED, num_threads=arguments.threads
    )
    sys.stdout.write(table(scores) + "\n")
    if not arguments.measure_only:
        write_model_card(arguments.out, arguments.family, arguments.seed, table(scores))
    if not is_mixed(scores):
        sys.stderr.write("this checkpoint is not mixed: the main job wants two cells above 0.8, three from 0.2 to 0.6, and one at a loss\n")


def _train(arguments: argparse.Namespace) -> None:
    from deploy.local.base_model.architecture import build_model
    from deploy.local.base_model.lessons import Encoder
    from deploy.local.base_model.pretraining import pretrain
    from deploy.local.base_model.recipe import make_processor, phases

    sys.stderr.write("drawing lessons for the tokenizer\n")
    processor: Any = make_processor(arguments.family, arguments.seed)
    model = build_model(arguments.family, len(processor.tokenizer), arguments.seed)
    for number, phase in enumerate(phases(arguments.seed)):
        state = arguments.work_dir / f"{arguments.family}-{arguments.seed}" / f"phase-{number}.pt"
        encoder = Encoder(processor, phase.pretraining.question_weight)
        pretrain(model, phase.pretraining, phase.schedules, encoder, state)
    model.save_pretrained(arguments.out)
    processor.save_pretrained(arguments.out)


if __name__ == "__main__":
    main()
