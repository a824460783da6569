"""Answers per second of the evaluator's in-process adapter, as a ratio to a bare batched `generate` loop.

Both answer the same questions greedily, in batches of the same size, on the same number of threads: decode the images, build the
prompts, run the processor, generate, decode the answers. Alternating rounds, the median of each. The sampled rate is the adapter's alone:
it reads each image once for all of a question's samples.

    python -m tests.bench.bench_evaluator [--questions 480] [--batch-size 64] [--threads 2] [--rounds 3] [--checkpoint DIR]
"""

import argparse
import asyncio
import io
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from services.evaluator.policy_model import Decoding, Prompt, greedy
from services.evaluator.transformers_model import TransformersModel
from services.generators.rendered.candidates import CELLS, make_candidates
from shared.checkpoint import load_policy
from shared.prompt import conversation, render_question

MAX_NEW_TOKENS = 12
NUM_SAMPLES = 4
CHECKPOINT = Path("deploy/local/base_model/checkpoint")


def questions(num: int) -> list[Prompt]:
    per_cell = -(-num // len(CELLS))
    drawn = [candidate for cell in CELLS for candidate in make_candidates(cell, per_cell, 5, 0.5, 64)][:num]
    return [Prompt(c.image, render_question(c.question, c.cell.question_type, c.choices)) for c in drawn]


@torch.inference_mode()
def bare(model: Any, processor: Any, asked: Sequence[Prompt], batch_size: int) -> list[str]:
    answers: list[str] = []
    for start in range(0, len(asked), batch_size):
        batch = asked[start : start + batch_size]
        texts = [processor.apply_chat_template(conversation(one.text), add_generation_prompt=True, tokenize=False) for one in batch]
        images = [[Image.open(io.BytesIO(one.image)).convert("RGB")] for one in batch]
        inputs = processor(text=texts, images=images, padding=True, return_tensors="pt")
        sequences = model.generate(**inputs, max_new_tokens=MAX_NEW_TOKENS, do_sample=False)
        answers += processor.batch_decode(sequences[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    return answers


async def measure(args: argparse.Namespace) -> None:
    torch.set_num_threads(args.threads)
    asked = questions(args.questions)
    model, processor = load_policy(args.checkpoint)
    rates: dict[str, list[float]] = {"bare generate loop": [], "adapter": [], f"adapter, {NUM_SAMPLES} samples": []}
    sampling = Decoding(NUM_SAMPLES, 1.0, MAX_NEW_TOKENS, seed=1)
    async with TransformersModel(dtype="float32", device="cpu", num_threads=args.threads, max_loaded=1, max_image_pixels=1 << 20) as policy:
        for _ in range(args.rounds + 1):
            started = time.perf_counter()
            expected = bare(model, processor, asked, args.batch_size)
            rates["bare generate loop"].append(len(asked) / (time.perf_counter() - started))
            started = time.perf_counter()
            answers = await policy.generate(args.checkpoint, asked, greedy(MAX_NEW_TOKENS), batch_size=args.batch_size)
            rates["adapter"].append(len(asked) / (time.perf_counter() - started))
            started = time.perf_counter()
            await policy.generate(args.checkpoint, asked, sampling, batch_size=args.batch_size)
            rates[f"adapter, {NUM_SAMPLES} samples"].append(len(asked) * NUM_SAMPLES / (time.perf_counter() - started))
    same = sum(first.strip() == second.texts[0] for first, second in zip(expected, answers, strict=True)) / len(asked)
    report(args, rates, same)


def report(args: argparse.Namespace, rates: dict[str, list[float]], same: float) -> None:
    print(f"{args.questions} questions a round, batches of {args.batch_size}, {args.threads} threads, median of {args.rounds} rounds")
    medians = {name: statistics.median(measured[1:]) for name, measured in rates.items()}
    for name, rate in medians.items():
        print(f"{name:22}{rate:>8,.0f} answers/s")
    print(f"adapter / bare: {medians['adapter'] / medians['bare generate loop']:.2f}; {same:.1%} of the greedy answers are the same text")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=480)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT)
    asyncio.run(measure(parser.parse_args()))


if __name__ == "__main__":
    main()
